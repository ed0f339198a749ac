package memory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Files is a ports.Files: contents by tenant and SHA-256, each kept once.
type Files struct {
	mu       sync.RWMutex
	contents map[fileKey][]byte
}

type fileKey struct {
	tenant core.TenantID
	ref    core.FileRef
}

var _ ports.Files = (*Files)(nil)

// NewFiles makes an empty one.
func NewFiles() *Files { return &Files{contents: map[fileKey][]byte{}} }

// Put implements ports.Files. If reading fails, nothing is kept.
func (f *Files) Put(ctx context.Context, tenant core.TenantID, content io.Reader) (ports.Stored, error) {
	data, err := io.ReadAll(content)
	if err != nil {
		return ports.Stored{}, err
	}
	if err := ctx.Err(); err != nil {
		return ports.Stored{}, err
	}
	sum := sha256.Sum256(data)
	ref := core.FileRef("sha256:" + hex.EncodeToString(sum[:]))
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.contents[fileKey{tenant, ref}]; !there {
		f.contents[fileKey{tenant, ref}] = data
	}
	return ports.Stored{Ref: ref, Size: int64(len(data))}, nil
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
