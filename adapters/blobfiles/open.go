package blobfiles

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob" // the scheme mem
)

// folderMode is the mode of every new folder: no other user of the machine may read what
// tenants upload.
const folderMode = 0o700

// OpenDir keeps contents in a folder, which is made if it is not there, as are
// those above it, with mode 0700. Several processes may use one folder at once.
func OpenDir(dir string) (*Files, error) {
	// Without this check an empty setting would fill the working directory.
	if dir == "" {
		return nil, errors.New("blobfiles: no folder is named")
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	f := &Files{root: root, fsync: (*os.File).Sync}
	if err := f.makeFolder(root); err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	f.bucket, err = fileblob.OpenBucket(root, &fileblob.Options{
		DirFileMode: folderMode, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	return f, nil
}

// Open keeps contents in the bucket of a URL, such as
// file:///var/lib/redrive?create_dir=1, mem:// or, in a program that imports the
// driver gocloud.dev/blob/s3blob, s3://bucket?region=eu-central-1. The parameter
// prefix=some/path/ puts everything below a path of the bucket. The driver finds its
// credentials itself; in the URL they are refused, because error messages quote it.
//
// In a file URL, the parameters metadata, no_tmp_dir and dir_file_mode have no effect:
// there are no sidecar files, which are not safe under concurrent writes; a content is
// written to the file system where it stays; and folders have mode 0700.
func Open(ctx context.Context, bucketURL string) (*Files, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, errors.New("blobfiles: the URL of the bucket cannot be read") // err repeats it, secrets included
	}
	if u.User != nil {
		return nil, errors.New("blobfiles: the URL of the bucket has credentials; give them to the driver by its environment")
	}
	f := &Files{fsync: (*os.File).Sync}
	if u.Scheme == fileblob.Scheme {
		if f.root, err = folderOf(u); err != nil {
			return nil, err
		}
		query := u.Query()
		if f.prefix, err = folderPrefix(query.Get("prefix")); err != nil {
			return nil, err
		}
		if query.Get("create_dir") != "" {
			if err := f.makeFolder(f.root); err != nil {
				return nil, fmt.Errorf("blobfiles: %w", err)
			}
		}
		query.Set("metadata", string(fileblob.MetadataDontWrite))
		query.Set("no_tmp_dir", "1")
		query.Set("dir_file_mode", fmt.Sprintf("%#o", folderMode))
		u.RawQuery = query.Encode()
	}
	if f.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	return f, nil
}

// folderOf gives the absolute path of a file URL as the driver understands it. It refuses
// a URL that the driver would take for the working directory, or probably for another
// folder than was meant.
func folderOf(u *url.URL) (string, error) {
	if u.Host != "" && u.Host != "localhost" && u.Host != "." {
		return "", fmt.Errorf("blobfiles: %q in the URL of the bucket is taken for a host; write file:///path", u.Host)
	}
	folder := u.Path
	if u.Host == "." || os.PathSeparator != '/' {
		folder = strings.TrimPrefix(folder, "/")
	}
	if folder == "" {
		return "", errors.New("blobfiles: the URL of the bucket names no folder; write file:///path")
	}
	root, err := filepath.Abs(filepath.FromSlash(folder))
	if err != nil {
		return "", fmt.Errorf("blobfiles: %w", err)
	}
	return root, nil
}

// folderPrefix accepts a prefix that stays inside the folder.
func folderPrefix(prefix string) (string, error) {
	if prefix == "" {
		return "", nil
	}
	folder := strings.TrimSuffix(prefix, "/")
	if !filepath.IsLocal(filepath.FromSlash(folder)) || path.Clean(folder) != folder {
		return "", fmt.Errorf("blobfiles: the prefix %q in the URL of the bucket leads out of the folder; write prefix=some/path/", prefix)
	}
	return prefix, nil
}
