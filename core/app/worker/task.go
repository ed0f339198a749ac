package worker

import (
	"context"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// task is a claimed job with its results, until they are recorded.
type task struct {
	claimed app.Claimed
	ctx     context.Context // ends when its lease is lost or the worker stops
	cancel  context.CancelFunc

	mu sync.Mutex
	// early are the results that can be recorded before the job is counted, oldest first;
	// so many of them were taken in. rest are the others.
	early []earlyResult
	taken int
	rest  []core.FileResult
}

type earlyResult struct {
	result core.FileResult
	taken  chan struct{} // closed when it was taken in; nil if no executor waits for that
}

func newTask(ctx context.Context, c app.Claimed) *task {
	t := &task{claimed: c}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

func taskOf(j *scheduler.Job) *task { return j.Work.(*task) }

// work executes one claimed job.
func (w *Worker) work(j *scheduler.Job) {
	t := taskOf(j)
	var results []core.FileResult
	err := w.guard(func() (err error) {
		results, err = w.svc.Execute(t.ctx, t.claimed, func(ctx context.Context, r core.FileResult) error {
			return w.report(ctx, j, r)
		})
		return err
	})
	if err != nil && t.ctx.Err() != nil { // the lease is lost, or the worker stops
		w.inbox.put(scheduler.Executed{Job: j, GaveUp: true})
		return
	}
	if err != nil { // the executor's own panics are caught nearer to it
		w.log.Error("the execution of a job broke down", append(attrs(j.Job), "error", err)...)
		results = brokenDown(j.Job)
	}
	e := scheduler.Executed{Job: j, Verdict: scheduler.Judge(results)}
	e.Early, e.Rest = t.end(results)
	w.inbox.put(e)
}

// report takes in a file's result while its job goes on. It blocks while too much waits
// to be recorded, and fails with the job's error if that ends first. If ctx ends first
// the result is on its way nevertheless.
func (w *Worker) report(ctx context.Context, j *scheduler.Job, r core.FileResult) error {
	t := taskOf(j)
	taken := make(chan struct{})
	t.mu.Lock()
	if err := t.ctx.Err(); err != nil {
		t.mu.Unlock()
		return err
	}
	t.early = append(t.early, earlyResult{r, taken})
	w.inbox.put(scheduler.Reported{Job: j, Cost: scheduler.ResultCost(&r)}) // in the order of early
	t.mu.Unlock()
	select {
	case <-taken:
	case <-ctx.Done():
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
	return nil
}

// accept lets the executor go on for which the next n results were taken in.
func (t *task) accept(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; n > 0 && t.taken < len(t.early); n-- {
		if c := t.early[t.taken].taken; c != nil {
			close(c)
		}
		t.taken++
	}
}

// end takes in the results that the executor has given at the end, and says what they
// cost.
func (t *task) end(results []core.FileResult) (early []int, rest int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	several := len(t.claimed.Job.Files) > 1
	for i := range results {
		r := &results[i]
		cost := scheduler.ResultCost(r)
		if several && (r.Outcome == core.OutcomeCompleted || r.Outcome == core.OutcomePermanent) {
			t.early = append(t.early, earlyResult{result: *r})
			early = append(early, cost)
			continue
		}
		rest += cost
		if several {
			t.rest = append(t.rest, *r)
		}
	}
	if !several {
		t.rest = results
	}
	return early, rest
}

// piece gives the oldest n results; saved forgets them.
func (t *task) piece(n int) []core.FileResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	results := make([]core.FileResult, min(n, len(t.early)))
	for i := range results {
		results[i] = t.early[i].result
	}
	return results
}

func (t *task) saved(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.early))
	rest := copy(t.early, t.early[n:])
	clear(t.early[rest:]) // or the outputs would be kept alive
	t.early = t.early[:rest]
	t.taken = max(t.taken-n, 0)
}

// forfeit puts in place of the oldest result, which can never be recorded, that this is so.
func (t *task) forfeit() {
	oldest := t.piece(1)
	if len(oldest) == 0 {
		return
	}
	t.saved(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, scheduler.NotRecorded(oldest[0].Index))
}

// whole gives all that is not recorded.
func (t *task) whole(notKept bool) []core.FileResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	results := t.rest
	if len(t.early) > 0 {
		results = make([]core.FileResult, 0, len(t.early)+len(t.rest))
		for i := range t.early {
			results = append(results, t.early[i].result)
		}
		results = append(results, t.rest...)
	}
	if !notKept {
		return results
	}
	lost := make([]core.FileResult, len(results))
	for i := range results {
		lost[i] = scheduler.NotRecorded(results[i].Index)
	}
	return lost
}

// drop forgets the results.
func (t *task) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.early, t.rest, t.taken = nil, nil, 0
}

// brokenDown is what becomes of a job when the service itself fails. What was recorded
// before is left out by the store.
func brokenDown(j core.Job) []core.FileResult {
	results := make([]core.FileResult, len(j.Files))
	for i, index := range j.Files {
		results[i] = core.FileResult{
			Index: index, Outcome: core.OutcomeInterrupted,
			Failure: core.Failure{Code: core.FailurePanic, Message: "the service broke down on this file; it is free to continue"},
		}
	}
	return results
}
