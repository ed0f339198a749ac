package worker

import (
	"context"
	"time"

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
	if w.holds(e) {
		w.handBacks.add(e)
		return
	}
	err := w.guard(func() (err error) {
		e.results, err = w.svc.Execute(e.ctx, c, func(ctx context.Context, r core.FileResult) error {
			return w.recordEarly(ctx, e, r)
		})
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
	d := w.report(e, judge(e.results, w.answeredPartly(e)))
	if d.handBack {
		e.results, e.interrupt = nil, d.interrupt
		w.handBacks.add(e)
		return
	}
	w.finish(e)
}

// finish sends the results of a job that was executed to be recorded.
func (w *Worker) finish(e *entry) {
	rest, err := w.bulk(e)
	var refused []core.FileResult
	if err == nil {
		refused, err = w.piecesSaved(e)
	}
	if err != nil { // the lease is lost, or the worker stops
		w.giveUp(e)
		return
	}
	e.results = append(rest, refused...)
	w.mu.Lock()
	e.executed = true
	w.vacateLocked(e)
	w.mu.Unlock()
	w.results.add(e)
}

// holds reports whether a claimed job is better handed back than begun.
func (w *Worker) holds(e *entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pool.gate.breaker.holds(e.job, &e.pass, time.Now())
}

// answeredPartly reports whether results of the job were taken in while it went on.
func (w *Worker) answeredPartly(e *entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return e.pieces.any
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

// giveUp lets go of a claimed job without recording anything. If the worker
// stops, the job is remembered, to be handed back.
func (w *Worker) giveUp(e *entry) {
	if e.of != nil {
		w.pieceOver(e, false)
		return
	}
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

// handBackGroup gives jobs back that could not be done now. They wait in the queue, as
// pending files, until they can.
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
	for _, e := range group { // now that no file of their runs is processing because of them
		w.interrupt(e.interrupt)
	}
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
