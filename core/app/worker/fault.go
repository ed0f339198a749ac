package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

// guard makes an error of a panic: one job, or one bad answer of an adapter, must not
// take the process and everything else in it down.
func (w *Worker) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.stats.panics.Add(1)
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// faultOf tells what an error of the store says about the jobs that it was asked about.
func faultOf(err error) scheduler.Fault {
	switch {
	case errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrLockTimeout),
		errors.Is(err, ports.ErrCommitUnknown), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return scheduler.FaultOfStore
	case errors.Is(err, ports.ErrRefused):
		return scheduler.FaultRefused
	}
	return scheduler.FaultOfOne
}

// attrs name a job in the log.
func attrs(j core.Job) []any {
	return []any{"tenant", j.Tenant, "run", j.Run, "job", j.ID, "epoch", j.Epoch}
}
