package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// early records the results of a job's files as they arrive (ports.Task.Report). It keeps
// the last one: the final settlement, which counts the job, needs a file to record. A nil
// early has recorded nothing.
type early struct {
	record func(context.Context, core.FileResult) error
	bounds func(core.FileResult) core.FileResult

	mu    sync.Mutex
	open  map[int]bool // files that are not reported yet
	taken map[int]bool
	last  *core.FileResult
	rest  []core.FileResult // only the final settlement can record them
}

func newEarly(files []ports.TaskFile, record func(context.Context, core.FileResult) error, bounds func(core.FileResult) core.FileResult) *early {
	e := &early{record: record, bounds: bounds, open: make(map[int]bool, len(files)), taken: map[int]bool{}}
	for _, f := range files {
		e.open[f.Index] = true
	}
	return e
}

// report implements ports.Task.Report. A result that may not be reported early is an error
// of the executor; its file then counts as not reported.
func (e *early) report(ctx context.Context, r core.FileResult) error {
	if r.Outcome != core.OutcomeCompleted && r.Outcome != core.OutcomePermanent {
		return fmt.Errorf("file %d was reported as %q; only completed and permanent results may be", r.Index, r.Outcome)
	}
	r = e.bounds(r)
	e.mu.Lock()
	if !e.open[r.Index] {
		e.mu.Unlock()
		return fmt.Errorf("file %d was reported twice or is not of this job", r.Index)
	}
	delete(e.open, r.Index)
	e.taken[r.Index] = true
	if !r.Outcome.Final() { // too long: a failure, which only the final settlement may record
		e.rest = append(e.rest, r)
		e.mu.Unlock()
		return nil
	}
	if len(e.open) == 0 && len(e.rest) == 0 {
		e.last = &r
		e.mu.Unlock()
		return nil
	}
	e.mu.Unlock()
	if err := e.record(ctx, r); err != nil {
		// The result exists and is paid for: if the store fails now, the final settlement
		// records it.
		e.mu.Lock()
		e.rest = append(e.rest, r)
		e.mu.Unlock()
		return ctx.Err()
	}
	return nil
}

func (e *early) has(index int) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taken[index]
}

// finish adds the results that were kept to those of the other files.
func (e *early) finish(rest []core.FileResult) []core.FileResult {
	if e == nil {
		return rest
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	rest = append(rest, e.rest...)
	if e.last != nil {
		rest = append(rest, *e.last)
	}
	return rest
}
