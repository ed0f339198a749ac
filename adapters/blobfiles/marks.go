package blobfiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// mark writes the mark of an upload, with the time when it was begun.
func (f *Files) mark(ctx context.Context, key string, begun time.Time) error {
	content := []byte(begun.UTC().Format(time.RFC3339Nano) + "\n")
	if f.root != "" {
		return f.markFile(f.path(key), content)
	}
	err := f.bucket.WriteAll(ctx, key, content, &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return ports.ErrExists
	}
	return err
}

// markFile writes a mark that is durable before the first content is written: a content
// without a mark would stay for ever. A crash may tear the mark: its name gives tenant
// and upload, and its modification time stands in for the time inside.
func (f *Files) markFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := f.makeFolder(dir); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // G304: the path is made of hex
	if errors.Is(err, fs.ErrExist) {
		return ports.ErrExists
	}
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.fsyncAll([]string{path}, f.foldersTo(dir))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// marked looks for the mark of an upload.
func (f *Files) marked(ctx context.Context, tenant core.TenantID, upload core.RunID) (bool, error) {
	key, err := markKey(tenant, upload)
	if err != nil {
		return false, err
	}
	there, err := f.bucket.Exists(ctx, key)
	if err != nil {
		return false, fmt.Errorf("blobfiles: looking for the mark of an upload: %w", err)
	}
	return there, nil
}

// Keep implements ports.Files. If a crash undoes the removal of the mark, the upload is a
// leftover again, but its run exists.
func (f *Files) Keep(ctx context.Context, tenant core.TenantID, upload core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, err := markKey(tenant, upload)
	if err != nil {
		return err
	}
	if err := f.remove(ctx, key); err != nil {
		return fmt.Errorf("blobfiles: removing the mark of an upload: %w", err)
	}
	return nil
}

// Remove implements ports.Files. In a folder it also removes partly written files of a
// process that was killed.
func (f *Files) Remove(ctx context.Context, tenant core.TenantID, upload core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	marked, err := f.marked(ctx, tenant, upload)
	if err != nil || !marked {
		return err
	}
	prefix, err := contentsPrefix(tenant, upload)
	if err != nil {
		return err
	}
	if f.root != "" {
		err = f.removeFolder(f.path(prefix))
	} else {
		err = f.removeAll(ctx, prefix)
	}
	if err != nil {
		return fmt.Errorf("blobfiles: removing an upload: %w", err)
	}
	return f.Keep(ctx, tenant, upload)
}

// removeFolder removes the contents of an upload, durably: its mark is removed after them.
func (f *Files) removeFolder(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return f.fsyncFolder(filepath.Dir(dir))
}

// removalsAtOnce is how many objects of a bucket are removed at once: each is a
// request to a service, and an upload can have thousands.
const removalsAtOnce = 16

func (f *Files) removeAll(ctx context.Context, prefix string) error {
	var removing sync.WaitGroup
	keys := make(chan string)
	errs := make([]error, removalsAtOnce)
	for i := range errs {
		removing.Go(func() {
			for key := range keys {
				if err := f.remove(ctx, key); errs[i] == nil {
					errs[i] = err
				}
			}
		})
	}
	var err error
	objects := f.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		object, listErr := objects.Next(ctx)
		if listErr != nil {
			if !errors.Is(listErr, io.EOF) {
				err = listErr
			}
			break
		}
		keys <- object.Key
	}
	close(keys)
	removing.Wait()
	return errors.Join(append(errs, err)...)
}

// remove removes an object, if it is there.
func (f *Files) remove(ctx context.Context, key string) error {
	err := f.bucket.Delete(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return err
}

// Leftovers implements ports.Files. It ignores other objects among the marks.
func (f *Files) Leftovers(ctx context.Context, before time.Time) iter.Seq2[ports.Leftover, error] {
	return func(yield func(ports.Leftover, error) bool) {
		objects := f.bucket.List(&blob.ListOptions{Prefix: marksPrefix})
		for {
			object, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				err = ctx.Err() // not every driver checks it
			}
			if err != nil {
				yield(ports.Leftover{}, fmt.Errorf("blobfiles: listing uploads: %w", err))
				return
			}
			left, ok, err := f.leftover(ctx, object)
			if err == nil && (!ok || !left.Begun.Before(before)) {
				continue
			}
			if !yield(left, err) {
				return
			}
		}
	}
}

// leftover reads a mark; ok is false if there is none, or none any more.
func (f *Files) leftover(ctx context.Context, object *blob.ListObject) (left ports.Leftover, ok bool, err error) {
	if left.Tenant, left.Upload, ok = parseMarkKey(object.Key); !ok {
		return left, false, nil
	}
	content, err := f.bucket.ReadAll(ctx, object.Key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return left, false, nil
	}
	if err != nil {
		return left, false, fmt.Errorf("blobfiles: reading the mark of an upload: %w", err)
	}
	if left.Begun, err = time.Parse(time.RFC3339Nano, strings.TrimSpace(string(content))); err != nil {
		left.Begun = object.ModTime.UTC() // torn by a crash, see markFile
	}
	return left, true, nil
}
