package blobfiles

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"gocloud.dev/blob"

	"github.com/redrive/redrive/core"
)

// ErrDamaged says that a content is no longer as it was stored: it was cut off, or
// changed.
var ErrDamaged = errors.New("stored content is damaged")

// reader checks the content's sum at its end.
type reader struct {
	blob   *blob.Reader
	tenant core.TenantID
	want   place
	hash   hash.Hash
	read   int64 // bytes
}

func newReader(r *blob.Reader, tenant core.TenantID, want place) *reader {
	return &reader{blob: r, tenant: tenant, want: want, hash: sha256.New()}
}

// Read implements io.Reader. The error at the end is io.EOF, or ErrDamaged with the
// reference.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.blob.Read(p)
	_, _ = r.hash.Write(p[:n]) // a hash takes everything
	r.read += int64(n)
	if errors.Is(err, io.EOF) {
		err = io.EOF
		if got := sum(r.hash.Sum(nil)); got != r.want.sum {
			err = fmt.Errorf("blobfiles: %s of tenant %s: %w: it has %d bytes with %s", r.want.ref(), r.tenant, ErrDamaged, r.read, refPrefix+got.hex())
		}
	}
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.blob.Close() }

// contextReader stops at the next read when ctx has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
