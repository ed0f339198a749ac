package blobfiles

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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
	prefix string // of every key in that folder
	fsync  func(*os.File) error
}

var _ ports.Files = (*Files)(nil)

// Close closes the bucket. No call may begin afterwards; an open content can be read to
// its end.
func (f *Files) Close() error { return f.bucket.Close() }

// path is the file of a key in a bucket that is a folder.
func (f *Files) path(key string) string {
	return filepath.Join(f.root, filepath.FromSlash(f.prefix+key))
}

// Begin implements ports.Files. ErrExists if the upload is marked already.
func (f *Files) Begin(ctx context.Context, tenant core.TenantID, id core.RunID, begun time.Time) (ports.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := markKey(tenant, id)
	if err != nil {
		return nil, err
	}
	prefix, err := contentsPrefix(tenant, id)
	if err != nil {
		return nil, err
	}
	if err := f.mark(ctx, key, begun); err != nil {
		return nil, fmt.Errorf("blobfiles: beginning an upload: %w", orFull(err))
	}
	return &upload{files: f, tenant: tenant, id: id, prefix: prefix}, nil
}

// Open implements ports.Files. The content must be read before ctx ends, and closed. It
// ends with ErrDamaged if it differs from the content that was stored.
func (f *Files) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	// Not every driver checks ctx.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, ok := parseRef(ref)
	if !ok {
		return nil, ports.ErrNotFound
	}
	key, err := p.key(tenant)
	if err != nil {
		return nil, ports.ErrNotFound // no such tenant can have stored anything
	}
	content, err := f.bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ports.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("blobfiles: opening: %w", err)
	}
	return newReader(content, tenant, p), nil
}
