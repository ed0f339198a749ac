package memory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Files is a ports.Files: contents by tenant and reference.
type Files struct {
	mu       sync.RWMutex
	contents map[fileKey][]byte
	marked   map[uploadKey]*uploadMark // uploads that were not settled yet
}

type fileKey struct {
	tenant core.TenantID
	ref    core.FileRef
}

type uploadKey struct {
	tenant core.TenantID
	upload core.RunID
}

type uploadMark struct {
	begun time.Time
	refs  []core.FileRef
}

var _ ports.Files = (*Files)(nil)

// NewFiles makes an empty one.
func NewFiles() *Files {
	return &Files{contents: map[fileKey][]byte{}, marked: map[uploadKey]*uploadMark{}}
}

// Begin implements ports.Files. ErrExists if the upload is marked already.
func (f *Files) Begin(ctx context.Context, tenant core.TenantID, id core.RunID, begun time.Time) (ports.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := uploadKey{tenant, id}
	if f.marked[key] != nil {
		return nil, ports.ErrExists
	}
	f.marked[key] = &uploadMark{begun: begun}
	return &upload{files: f, key: key}, nil
}

// upload is one that was begun.
type upload struct {
	files *Files
	key   uploadKey
}

// Add implements ports.Upload.
func (u *upload) Add(ctx context.Context, content io.Reader) (ports.Stored, error) {
	data, err := io.ReadAll(content)
	if err != nil {
		return ports.Stored{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Stored{}, err
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	f := u.files
	f.mu.Lock()
	defer f.mu.Unlock()
	mark := f.marked[u.key]
	if mark == nil {
		return ports.Stored{}, u.removed()
	}
	ref := core.FileRef(string(u.key.upload) + "/" + strconv.Itoa(len(mark.refs)) + "/sha256:" + digest)
	mark.refs = append(mark.refs, ref)
	f.contents[fileKey{u.key.tenant, ref}] = data
	return ports.Stored{Ref: ref, Size: int64(len(data)), Digest: digest}, nil
}

// Commit implements ports.Upload.
func (u *upload) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.files.mu.RLock()
	defer u.files.mu.RUnlock()
	if u.files.marked[u.key] == nil {
		return u.removed()
	}
	return nil
}

func (u *upload) removed() error {
	return fmt.Errorf("upload %s was removed before it was complete: %w", u.key.upload, ports.ErrNotFound)
}

// Open implements ports.Files.
func (f *Files) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	data, ok := f.contents[fileKey{tenant, ref}]
	if !ok {
		return nil, ports.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Leftovers implements ports.Files, by tenant and upload.
func (f *Files) Leftovers(ctx context.Context, before time.Time) iter.Seq2[ports.Leftover, error] {
	return func(yield func(ports.Leftover, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(ports.Leftover{}, err)
			return
		}
		for _, left := range f.leftovers(before) {
			if !yield(left, nil) {
				return
			}
		}
	}
}

func (f *Files) leftovers(before time.Time) (list []ports.Leftover) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for key, mark := range f.marked {
		if mark.begun.Before(before) {
			list = append(list, ports.Leftover{Tenant: key.tenant, Upload: key.upload, Begun: mark.begun})
		}
	}
	slices.SortFunc(list, func(a, b ports.Leftover) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Upload, b.Upload))
	})
	return list
}

// Keep implements ports.Files.
func (f *Files) Keep(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.marked, uploadKey{tenant, id})
	return nil
}

// Remove implements ports.Files.
func (f *Files) Remove(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := uploadKey{tenant, id}
	if mark := f.marked[key]; mark != nil {
		for _, ref := range mark.refs {
			delete(f.contents, fileKey{tenant, ref})
		}
		delete(f.marked, key)
	}
	return nil
}
