package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// places are the free places of the pool, one token each.
type places chan struct{}

// take waits for one free place and takes all there are; 0 if ctx ended.
func (p places) take(ctx context.Context) int {
	select {
	case <-p:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case <-p:
		default:
			return n
		}
	}
}

func (p places) giveBack(n int) {
	for range n {
		p <- struct{}{}
	}
}

// claimLoop receives as many jobs as there are free places, claims them in
// groups of one run, and starts them. Receiving no more than can be worked on is
// what pushes back on the queue and keeps memory bounded.
func (w *Worker) claimLoop(ctx, working context.Context, jobs *sync.WaitGroup) error {
	free := make(places, w.opts.Concurrency)
	free.giveBack(w.opts.Concurrency)
	for {
		taken := free.take(ctx)
		if taken == 0 {
			return ctx.Err()
		}
		deliveries, err := w.feed.Receive(ctx, taken, ports.Skip{})
		if ctx.Err() != nil || errors.Is(err, ports.ErrClosed) {
			// What was received and not claimed is for another worker.
			return errors.Join(err, nackAll(context.WithoutCancel(ctx), deliveries))
		}
		if err != nil {
			w.log.Error("receive failed, will try again", "error", err)
			free.giveBack(taken)
			w.pause(ctx)
			continue
		}
		started := w.claim(ctx, deliveries, func(c app.Claimed) {
			jobContext, cancel := context.WithCancel(working)
			w.hold(c.Job, cancel)
			jobs.Go(func() {
				defer func() {
					cancel()
					w.letGo(c.Job)
					free.giveBack(1)
				}()
				w.work(jobContext, c)
			})
		})
		free.giveBack(taken - started)
	}
}

// claim claims deliveries in groups of one run, and starts the jobs of a group
// before the next is claimed: a run that is locked must not let the leases of
// others run out unused. A delivery is acked once its claim is durable or it
// turned out to have no effect; if claiming failed it is nacked, since then nobody
// knows.
func (w *Worker) claim(ctx context.Context, deliveries []ports.Delivery, start func(app.Claimed)) (started int) {
	jobs := make([]core.Job, len(deliveries))
	byKey := make(map[heldKey][]ports.Delivery, len(deliveries)) // a queue may deliver twice at once
	for i, d := range deliveries {
		jobs[i] = d.Job()
		byKey[keyOf(jobs[i])] = append(byKey[keyOf(jobs[i])], d)
	}
	// A stop must not leave in the dark whether a claim was made.
	claiming := context.WithoutCancel(ctx)
	faults := false
	for _, group := range app.ByRun(jobs) {
		claimed, err := w.svc.Claim(claiming, group)
		for _, c := range claimed {
			start(c)
		}
		started += len(claimed)
		tell := ports.Delivery.Ack
		if err != nil {
			w.log.Error("claim failed, the jobs go back to the queue", "run", group[0].Run, "jobs", len(group), "error", err)
			tell, faults = ports.Delivery.Nack, true
		}
		for _, job := range group {
			for _, d := range byKey[keyOf(job)] {
				if err := tell(d, claiming); err != nil {
					w.log.Warn("the queue was not told; it will deliver the job again, to no effect", "job", job.ID, "error", err)
				}
			}
		}
	}
	if faults {
		w.pause(ctx)
	}
	return started
}

func nackAll(ctx context.Context, deliveries []ports.Delivery) error {
	var errs []error
	for _, d := range deliveries {
		errs = append(errs, d.Nack(ctx))
	}
	return errors.Join(errs...)
}

// work executes one claimed job and sees to it that its result is recorded,
// however long the store is away: what was worked for is given up only when the
// lease is lost or the worker stops, which both end ctx.
func (w *Worker) work(ctx context.Context, c app.Claimed) {
	results, err := w.svc.Execute(ctx, c)
	if err != nil {
		return
	}
	settlement := core.Settlement{Job: c.Job, Results: results}
	for try := 1; ctx.Err() == nil; try++ {
		err := w.settling.settle(ctx, settlement)
		if err == nil {
			return
		}
		w.log.Warn("result not recorded, will try again", "tenant", c.Job.Tenant, "run", c.Job.Run, "job", c.Job.ID, "try", try, "error", err)
		w.pause(ctx)
	}
}

// renewLoop extends the leases of everything that is being worked on, three
// times per lease, so that two renewals may fail before one runs out. Runs are
// renewed side by side: one that is locked must not cost others their leases.
func (w *Worker) renewLoop(ctx context.Context) {
	interval := w.svc.Options().Recovery.Lease / 3
	var renewals sync.WaitGroup
	defer renewals.Wait()
	for w.clock.Sleep(ctx, interval) == nil {
		for _, group := range app.ByRun(w.heldJobs()) {
			renewals.Go(func() { w.renew(ctx, group, interval) })
		}
	}
}

func (w *Worker) renew(ctx context.Context, group []core.Job, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	lost, err := w.svc.Renew(ctx, group)
	if err != nil {
		w.log.Warn("leases not renewed, will try again", "run", group[0].Run, "jobs", len(group), "error", err)
		return
	}
	for _, job := range lost {
		w.cancelJob(job)
	}
}

// pause waits a moment after a fault.
func (w *Worker) pause(ctx context.Context) {
	_ = w.clock.Sleep(ctx, faultPause) // ends early only because ctx did, which the caller sees
}
