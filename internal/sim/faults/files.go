package faults

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Files wraps the files that all processes share.
type Files struct {
	Env     *Env
	Library ports.Files // what was uploaded before the world began; it is only read
	Inner   ports.Files
	Used    bool // something was uploaded
}

var _ ports.Files = (*Files)(nil)

var errFiles = errors.New("bucket does not answer")

// ask is one request to the bucket.
func (f *Files) ask(op trace.Op, tenant core.TenantID, upload core.RunID) error {
	f.Env.outsideTx(op)
	f.Env.step(op, tenant, upload)
	if f.Env.fault(FilesFault, "") != 0 {
		return errFiles
	}
	return nil
}

// Begin implements ports.Files.
func (f *Files) Begin(ctx context.Context, tenant core.TenantID, id core.RunID, begun time.Time) (ports.Upload, error) {
	if err := f.ask(trace.UploadBegin, tenant, id); err != nil {
		return nil, err
	}
	f.Used = true
	inner, err := f.Inner.Begin(ctx, tenant, id, begun)
	if err != nil {
		return nil, err
	}
	return &upload{files: f, inner: inner, tenant: tenant, id: id}, nil
}

// Open implements ports.Files.
func (f *Files) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	if err := f.ask(trace.FileOpen, tenant, ""); err != nil {
		return nil, err
	}
	if content, err := f.Library.Open(ctx, tenant, ref); err == nil {
		return content, nil
	}
	return f.Inner.Open(ctx, tenant, ref)
}

// Leftovers implements ports.Files.
func (f *Files) Leftovers(ctx context.Context, before time.Time) iter.Seq2[ports.Leftover, error] {
	if err := f.ask(trace.UploadList, "", ""); err != nil {
		return func(yield func(ports.Leftover, error) bool) { yield(ports.Leftover{}, err) }
	}
	return f.Inner.Leftovers(ctx, before)
}

// Keep implements ports.Files.
func (f *Files) Keep(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := f.ask(trace.UploadKeep, tenant, id); err != nil {
		return err
	}
	return f.Inner.Keep(ctx, tenant, id)
}

// Remove implements ports.Files.
func (f *Files) Remove(ctx context.Context, tenant core.TenantID, id core.RunID) error {
	if err := f.ask(trace.UploadRemove, tenant, id); err != nil {
		return err
	}
	return f.Inner.Remove(ctx, tenant, id)
}

// upload wraps one that was begun.
type upload struct {
	files  *Files
	inner  ports.Upload
	tenant core.TenantID
	id     core.RunID
}

// Add implements ports.Upload.
func (u *upload) Add(ctx context.Context, content io.Reader) (ports.Stored, error) {
	if err := u.files.ask(trace.FilePut, u.tenant, u.id); err != nil {
		return ports.Stored{}, err
	}
	return u.inner.Add(ctx, content)
}

// Commit implements ports.Upload.
func (u *upload) Commit(ctx context.Context) error {
	if err := u.files.ask(trace.UploadCommit, u.tenant, u.id); err != nil {
		return err
	}
	return u.inner.Commit(ctx)
}
