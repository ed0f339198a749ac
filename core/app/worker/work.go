package worker

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// start begins the execution of a claimed job. The caller holds mu.
func (w *Worker) start(e *entry, c app.Claimed) {
	e.ctx, e.cancel = context.WithCancel(w.working)
	w.running.Go(func() { w.work(e, c) })
}

// work executes one claimed job and sends its results to be recorded.
func (w *Worker) work(e *entry, c app.Claimed) {
	err := w.guard(func() (err error) {
		e.results, err = w.svc.Execute(e.ctx, c, nil)
		return err
	})
	switch {
	case err == nil:
	case e.ctx.Err() != nil: // the lease is lost, or the worker stops
		w.giveUp(e)
		return
	default: // the executor's own panics are caught nearer to it
		w.log.Error("the execution of a job broke down", append(attrs(e.job), "error", err)...)
		e.results = brokenDown(e.job)
	}
	if w.report(e, judge(e.results)) {
		w.handBacks.add(e)
		return
	}
	w.mu.Lock()
	e.executed = true
	w.vacateLocked(e)
	w.mu.Unlock()
	w.results.add(e)
}

func brokenDown(j core.Job) []core.FileResult {
	results := make([]core.FileResult, len(j.Files))
	for i, index := range j.Files {
		results[i] = core.FileResult{
			Index: index, Outcome: core.OutcomeTransient,
			Failure: core.Failure{Code: core.FailurePanic, Message: "the execution of this job broke down"},
		}
	}
	return results
}

// giveUp lets go of a claimed job without recording anything. If the worker
// stops, the job is remembered, to be handed back.
func (w *Worker) giveUp(e *entry) {
	if w.working.Err() != nil {
		w.mu.Lock()
		w.pool.undone = append(w.pool.undone, e.job)
		w.mu.Unlock()
	}
	w.done(e)
}

// done lets go of claimed jobs, once their deliveries are acked: what the queue
// counts as ours must not be more than there are places.
func (w *Worker) done(entries ...*entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	acked := make([]*entry, 0, len(entries))
	for _, e := range entries {
		e.cancel()
		e.claimed = false
		if e.over = !e.acked; !e.over {
			acked = append(acked, e)
		}
	}
	w.releaseLocked(acked)
}

// handBackGroup gives jobs back whose provider is down. They wait in the queue,
// as pending files, until it is back.
func (w *Worker) handBackGroup(take func() []*entry) {
	for _, group := range byRun(take()) {
		w.running.Go(func() { w.handBackOfRun(group) })
	}
}

func (w *Worker) handBackOfRun(group []*entry) {
	var err error
	w.slots.useWaiting(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.working), handBackTimeout)
		defer cancel()
		err = w.guard(func() error { return w.svc.HandBack(ctx, jobsOf(group)) })
	})
	w.runs.free(group)
	if err != nil {
		w.log.Warn("jobs not handed back, will try again", append(attrs(group[0].job), "jobs", len(group), "error", err)...)
		w.tryLater(group, w.handBacks)
		return
	}
	w.stats.handedBack.Add(int64(len(group)))
	w.done(group...)
}

// tryLater does something about claimed jobs again after a pause, unless their
// lease is lost by then or the worker gives them up.
func (w *Worker) tryLater(group []*entry, to *lanes) {
	for _, e := range group {
		w.running.Go(func() {
			w.pause(e.ctx, &e.pauses)
			if e.ctx.Err() != nil {
				w.giveUp(e)
				return
			}
			to.add(e)
		})
	}
}
