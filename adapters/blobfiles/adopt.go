package blobfiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"gocloud.dev/gcerrors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Adopted is what became of contents that were to be copied.
type Adopted struct {
	Copied     int
	Bytes      int64          // of those
	There      int            // before
	Unreadable []core.FileRef // missing or damaged where they were; they are so still
}

// Adopt copies contents of a tenant from another folder or bucket, under the references
// that they have. What is there already is left as it is, so a repeat copies the rest. The
// copies have no mark: they belong to runs. When it returns without an error they are
// durable.
func (f *Files) Adopt(ctx context.Context, from *Files, tenant core.TenantID, refs []core.FileRef) (Adopted, error) {
	var a Adopted
	var paths []string
	folders := map[string]bool{}
	u := &upload{files: f, buffer: make([]byte, 32<<10)}
	for _, ref := range refs {
		key, size, err := f.adopt(ctx, from, u, tenant, ref)
		switch {
		case errors.Is(err, ports.ErrNotFound), errors.Is(err, ErrDamaged):
			a.Unreadable = append(a.Unreadable, ref)
			continue
		case err != nil:
			return a, fmt.Errorf("blobfiles: copying %s: %w", ref, orFull(err))
		case size < 0:
			a.There++
			continue
		}
		a.Copied, a.Bytes = a.Copied+1, a.Bytes+size
		if f.root != "" {
			path := f.path(key)
			paths = append(paths, path)
			for _, folder := range f.foldersTo(filepath.Dir(path)) {
				folders[folder] = true
			}
		}
	}
	list := make([]string, 0, len(folders))
	for folder := range folders {
		list = append(list, folder)
	}
	if err := f.fsyncAll(paths, list); err != nil {
		return a, fmt.Errorf("blobfiles: making copies durable: %w", orFull(err))
	}
	return a, nil
}

// adopt copies one content. The size is -1 if it is there.
func (f *Files) adopt(ctx context.Context, from *Files, u *upload, tenant core.TenantID, ref core.FileRef) (key string, size int64, err error) {
	p, ok := parseRef(ref)
	if !ok {
		return "", 0, ports.ErrNotFound
	}
	if key, err = p.key(tenant); err != nil {
		return "", 0, ports.ErrNotFound // no such tenant can have stored anything
	}
	there, err := f.whole(ctx, tenant, ref, key)
	if err != nil || there {
		return key, -1, err
	}
	content, err := from.Open(ctx, tenant, ref)
	if err != nil {
		return key, 0, err
	}
	var copied sum
	size, err = u.write(ctx, key, content, &copied)
	return key, size, errors.Join(err, content.Close())
}

// whole reports whether a content is there as it was stored. A crash may have left a name
// with less behind it.
func (f *Files) whole(ctx context.Context, tenant core.TenantID, ref core.FileRef, key string) (bool, error) {
	there, err := f.bucket.Exists(ctx, key)
	if err != nil || !there {
		return false, err
	}
	content, err := f.Open(ctx, tenant, ref)
	if err != nil {
		return false, err
	}
	err = drain(content)
	if errors.Is(err, ErrDamaged) || gcerrors.Code(err) == gcerrors.NotFound {
		return false, content.Close()
	}
	return err == nil, errors.Join(err, content.Close())
}

// drain reads to the end, where a content that is damaged says so.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
