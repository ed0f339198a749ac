package blobfiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Files is a ports.Files over a bucket. It is safe for concurrent use, also by
// several processes on one bucket.
type Files struct {
	bucket *blob.Bucket
	root   string // absolute path of a bucket that is a folder; empty for others
	fsync  func(*os.File) error
}

var _ ports.Files = (*Files)(nil)

// Close lets go of the bucket. Nothing may be begun afterwards; a content that
// is open can be read to its end.
func (f *Files) Close() error { return f.bucket.Close() }

// Put implements ports.Files. Besides what the driver holds, it takes a few
// buffers of memory, and as much disk as the content is long. ctx is looked at
// between reads: it does not interrupt a read of content that blocks.
func (f *Files) Put(ctx context.Context, tenant core.TenantID, content io.Reader) (stored ports.Stored, err error) {
	spooled, err := newSpool(ctx, content)
	if err != nil {
		return ports.Stored{}, err
	}
	defer func() {
		if closeErr := spooled.close(); err == nil && closeErr != nil {
			stored, err = ports.Stored{}, closeErr
		}
	}()
	key, err := keyOf(tenant, spooled.sum)
	if err != nil {
		return ports.Stored{}, err
	}
	there, err := f.has(ctx, tenant, spooled.sum)
	if err != nil {
		return ports.Stored{}, err
	}
	if !there {
		if err := f.write(ctx, key, spooled); err != nil {
			return ports.Stored{}, fmt.Errorf("blobfiles: storing: %w", err)
		}
	}
	return ports.Stored{Ref: spooled.sum.ref(), Size: spooled.size}, nil
}

// Open implements ports.Files. The content is to be closed, and read before ctx
// ends. Its end is ErrDamaged if what was read is not what was stored.
func (f *Files) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	s, ok := parseRef(ref)
	if !ok {
		return nil, ports.ErrNotFound
	}
	r, err := f.open(ctx, tenant, s)
	if err != nil {
		return nil, err // not r, which would be a nil pointer in an interface
	}
	return r, nil
}

func (f *Files) open(ctx context.Context, tenant core.TenantID, s sum) (*reader, error) {
	// Not every driver looks at ctx.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := keyOf(tenant, s)
	if err != nil {
		return nil, ports.ErrNotFound // no such tenant can have stored anything
	}
	var file *os.File
	blobReader, err := f.bucket.NewReader(ctx, key, &blob.ReaderOptions{
		BeforeRead: func(as func(any) bool) error {
			as(&file) // stays nil unless the bucket is a folder
			return nil
		},
	})
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ports.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("blobfiles: opening: %w", err)
	}
	return newReader(blobReader, file, tenant, s), nil
}

// has reports whether a content is there, undamaged and durable.
func (f *Files) has(ctx context.Context, tenant core.TenantID, s sum) (bool, error) {
	r, err := f.open(ctx, tenant, s)
	if errors.Is(err, ports.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, contextReader{ctx, r})
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, ErrDamaged) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("blobfiles: reading back: %w", err)
	}
	// Whoever stored it may not have come to this yet.
	return true, f.keepName(r.file)
}

// write copies the spooled content into the bucket. If it fails before the
// content has its name, nothing of it stays.
func (f *Files) write(ctx context.Context, key string, from *spool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	w, err := f.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", // else the driver would guess from the content
		BeforeWrite: func(as func(any) bool) error {
			if !as(&file) {
				return nil
			}
			return file.Chmod(0o600)
		},
	})
	if err != nil {
		return err
	}
	// The writer's ReadFrom would take a buffer of 1 MiB for each small file.
	n, err := io.Copy(struct{ io.Writer }{w}, contextReader{ctx, from.file})
	if err == nil && n != from.size {
		err = fmt.Errorf("the temporary file gave %d of %d bytes", n, from.size)
	}
	if err == nil && file != nil {
		err = f.fsync(file)
	}
	if err != nil {
		cancel()
		_ = w.Close() // drops what was written, and says only that it was cancelled
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.keepName(file)
}
