package ports

import (
	"context"
	"io"
	"time"

	"github.com/redrive/redrive/core"
)

// Executor does the work of a job. It is called outside any transaction, by
// many goroutines at once, and possibly again for the same files when a worker
// died: it should be harmless to repeat.
type Executor interface {
	// Execute answers for each file of the task. A file without a result counts
	// as failed (transient); an error counts as a transient failure of every
	// file; a panic as an interruption of every file, which is ours and free. When
	// ctx ends, return soon: what was reported by then counts, the rest does not.
	Execute(ctx context.Context, task Task) ([]core.FileResult, error)
}

// Acceptor is an Executor that says which files it takes, so that what it does not
// take is refused at the upload, before anything is charged for it (spec 2).
type Acceptor interface {
	// MaxFileBytes is the most bytes that a file may have. Each uploaded file is held
	// in memory for Accept, so it must be above 0 and should be small.
	MaxFileBytes() int64
	// Accept looks at a file's name and whole content, which it must not change or
	// keep. It gives nil if the executor takes it, else the failure that it would end
	// with, whose message says what is taken instead. It asks no network.
	Accept(name string, content []byte) *core.Failure
}

// ExecutorFunc makes an Executor of a function.
type ExecutorFunc func(ctx context.Context, task Task) ([]core.FileResult, error)

// Execute calls the function.
func (f ExecutorFunc) Execute(ctx context.Context, task Task) ([]core.FileResult, error) {
	return f(ctx, task)
}

// Task is a claimed job with what is needed to do it.
type Task struct {
	Job      core.Job
	Template core.Template // with the instructions of the run's version; it may be soft-deleted
	Files    []TaskFile    // the job's files, or on an in-job retry those still to be done
	Try      int           // 1 for the first execution of the job

	// Report records the result of one file while others are still being worked on,
	// so that a cancel or a crash loses none that is there, and a large job need not
	// hold its outputs in memory. It may block while results wait to be recorded, and
	// may be called by several goroutines at once. Only completed and permanent
	// results may be reported; a file that was is left out of Execute's answer. The
	// error is ctx's. It is nil where a job has one file.
	Report func(ctx context.Context, r core.FileResult) error
}

// TaskFile is one input. Open may be called several times.
type TaskFile struct {
	Index int
	Name  string
	Size  int64 // bytes
	Open  func(ctx context.Context) (io.ReadCloser, error)
}

// Clock says what time it is, and waits. A clock may jump.
type Clock interface {
	// Now is the current time in UTC.
	Now() time.Time
	// Sleep waits for d, or until ctx ends and then gives ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// IDs makes identifiers.
type IDs interface {
	// NewID gives an ID that was never given before and that core.ValidID accepts,
	// preferably ascending by time.
	NewID() string
}
