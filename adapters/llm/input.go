package llm

import (
	"context"
	"fmt"
	"io"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// MaxFileBytes is Config.MaxFileBytes, the most bytes of a file and of its text.
func (e *Executor) MaxFileBytes() int64 { return e.cfg.MaxFileBytes }

// Accept checks a file at the upload: nil if a model can process it, else the failure
// that Execute would give, which says what files are accepted.
func (e *Executor) Accept(_ string, content []byte) *core.Failure {
	_, failure := decode(content, e.cfg.MaxFileBytes)
	return failure
}

// readText gives a file's text, or the file's result if it has no text.
func (e *Executor) readText(ctx context.Context, task ports.Task, file ports.TaskFile) (string, *core.FileResult) {
	limit := e.cfg.MaxFileBytes
	refuse := func(f *core.Failure) (string, *core.FileResult) {
		r := permanent(f.Code, f.Message)
		return "", &r
	}
	if file.Size > limit {
		return refuse(tooLarge(file.Size, limit))
	}
	content, err := read(ctx, file, limit+1)
	if err == nil && int64(len(content)) < file.Size {
		err = fmt.Errorf("%d bytes were stored, and %d are there", file.Size, len(content))
	}
	if err != nil {
		// Storage is ours: neither the tenant's fault nor the provider's.
		r := ours(core.FailureUnreadable)
		if ctx.Err() == nil {
			e.log.failed(ctx, task, file, r, "a stored file could not be read", "error", err)
		}
		return "", &r
	}
	text, failure := decode(content, limit)
	if failure != nil {
		return refuse(failure)
	}
	return text, nil
}

// read gives at most limit bytes of the file.
func read(ctx context.Context, file ports.TaskFile, limit int64) (content []byte, err error) {
	r, err := file.Open(ctx)
	if err != nil {
		return nil, err
	}
	// Some storages report only on closing that the content was damaged.
	defer func() {
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
	}()
	return io.ReadAll(io.LimitReader(r, limit))
}
