package embedder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Files is a ports.Files over a Bucket. Redrive's IDs have no slash, so that
// content/tenant/upload/number/digest and mark/tenant/upload are one-to-one.
type Files struct{ bucket *Bucket }

var _ ports.Files = (*Files)(nil)

// NewFiles keeps files in a bucket.
func NewFiles(b *Bucket) *Files { return &Files{b} }

func markOf(tenant core.TenantID, id core.RunID) string {
	return "mark/" + string(tenant) + "/" + string(id)
}

func contentsOf(tenant core.TenantID) string { return "content/" + string(tenant) + "/" }

// Begin implements ports.Files.
func (f *Files) Begin(ctx context.Context, tenant core.TenantID, id core.RunID, begun time.Time) (ports.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !f.bucket.Create(markOf(tenant, id), []byte(begun.UTC().Format(time.RFC3339Nano))) {
		return nil, ports.ErrExists
	}
	return &upload{files: f, tenant: tenant, id: id}, nil
}

// upload is one that was begun.
type upload struct {
	files  *Files
	tenant core.TenantID
	id     core.RunID
	added  int
}

// Add implements ports.Upload.
func (u *upload) Add(ctx context.Context, content io.Reader) (ports.Stored, error) {
	data, err := io.ReadAll(content)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return ports.Stored{}, err
	}
	stored := ports.Stored{Size: int64(len(data)), Digest: digestOf(data)}
	stored.Ref = core.FileRef(fmt.Sprintf("%s/%d/%s", u.id, u.added, stored.Digest))
	name := contentsOf(u.tenant) + string(stored.Ref)
	u.files.bucket.Put(name, data)
	if err := u.marked(); err != nil { // it was removed, and this content came too late for that
		u.files.bucket.Delete(name)
		return ports.Stored{}, err
	}
	u.added++
	return stored, nil
}

// Commit implements ports.Upload. What is in a bucket is durable.
func (u *upload) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return u.marked()
}

func (u *upload) marked() error {
	if _, there := u.files.bucket.Get(markOf(u.tenant, u.id)); !there {
		return fmt.Errorf("upload %s was removed: %w", u.id, ports.ErrNotFound)
	}
	return nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Open implements ports.Files.
func (f *Files) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, there := f.bucket.Get(contentsOf(tenant) + string(ref))
	if !there {
		return nil, ports.ErrNotFound
	}
	var content io.Reader = bytes.NewReader(data)
	if path.Base(string(ref)) != digestOf(data) {
		content = io.MultiReader(content, broken{ref})
	}
	return io.NopCloser(content), nil
}

// broken is the end of a content that is not what was stored.
type broken struct{ ref core.FileRef }

// Read implements io.Reader.
func (b broken) Read([]byte) (int, error) { return 0, fmt.Errorf("content %s was changed", b.ref) }

// Leftovers implements ports.Files.
func (f *Files) Leftovers(ctx context.Context, before time.Time) iter.Seq2[ports.Leftover, error] {
	return func(yield func(ports.Leftover, error) bool) {
		for _, name := range f.bucket.List("mark/") {
			left, found, err := f.leftover(ctx, name)
			if err == nil && (!found || !left.Begun.Before(before)) {
				continue
			}
			if !yield(left, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// leftover reads a mark; found is false if it was settled meanwhile.
func (f *Files) leftover(ctx context.Context, name string) (left ports.Leftover, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return left, false, err
	}
	mark, found := f.bucket.Get(name)
	if !found {
		return left, false, nil
	}
	tenant, id, _ := strings.Cut(strings.TrimPrefix(name, "mark/"), "/")
	begun, err := time.Parse(time.RFC3339Nano, string(mark))
	return ports.Leftover{Tenant: core.TenantID(tenant), Upload: core.RunID(id), Begun: begun}, true, err
}

// Keep implements ports.Files.
func (f *Files) Keep(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.bucket.Delete(markOf(tenant, id))
	return nil
}

// Remove implements ports.Files. It removes once more when the mark is gone: an Add that
// came in between has found its mark and will not come back for what it stored.
func (f *Files) Remove(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mark := markOf(tenant, id)
	if _, there := f.bucket.Get(mark); !there {
		return nil
	}
	f.removeContents(tenant, id)
	f.bucket.Delete(mark)
	f.removeContents(tenant, id)
	return nil
}

func (f *Files) removeContents(tenant core.TenantID, id core.RunID) {
	for _, name := range f.bucket.List(contentsOf(tenant) + string(id) + "/") {
		f.bucket.Delete(name)
	}
}
