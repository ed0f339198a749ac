package worker

import (
	"context"
	"errors"
	"sync"

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
		deliveries, err := w.feed.Receive(ctx, taken)
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
		claimed := w.claim(ctx, deliveries)
		for _, c := range claimed {
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
		}
		free.giveBack(taken - len(claimed))
	}
}

// claim claims deliveries in groups of one run. A delivery is acked once its
// claim is durable or it turned out to have no effect; if claiming failed it is
// nacked, since then nobody knows.
func (w *Worker) claim(ctx context.Context, deliveries []ports.Delivery) []app.Claimed {
	jobs := make([]core.Job, len(deliveries))
	byKey := make(map[heldKey][]ports.Delivery, len(deliveries)) // a queue may deliver twice at once
	for i, d := range deliveries {
		jobs[i] = d.Job()
		byKey[keyOf(jobs[i])] = append(byKey[keyOf(jobs[i])], d)
	}
	// A stop must not leave in the dark whether a claim was made.
	claiming := context.WithoutCancel(ctx)
	var all []app.Claimed
	for _, group := range app.ByRun(jobs) {
		claimed, err := w.svc.Claim(claiming, group)
		if err != nil {
			w.log.Error("claim failed, the jobs go back to the queue", "run", group[0].Run, "jobs", len(group), "error", err)
			w.pause(ctx)
		}
		tell := ports.Delivery.Ack
		if err != nil {
			tell = ports.Delivery.Nack
		}
		for _, job := range group {
			for _, d := range byKey[keyOf(job)] {
				if err := tell(d, claiming); err != nil {
					w.log.Warn("the queue was not told; it will deliver the job again, to no effect", "job", job.ID, "error", err)
				}
			}
		}
		all = append(all, claimed...)
	}
	return all
}

func nackAll(ctx context.Context, deliveries []ports.Delivery) error {
	var errs []error
	for _, d := range deliveries {
		errs = append(errs, d.Nack(ctx))
	}
	return errors.Join(errs...)
}

// work executes one claimed job and sees to it that its result is recorded. If
// ctx ends first (the lease is lost, or the worker stops), there is no result.
func (w *Worker) work(ctx context.Context, c app.Claimed) {
	results, err := w.svc.Execute(ctx, c)
	if err != nil {
		return
	}
	o := outcome{core.Settlement{Job: c.Job, Results: results}, make(chan error, 1)}
	for try := 1; ; try++ {
		select {
		case w.settling <- o:
		case <-ctx.Done():
			return
		}
		err := <-o.done
		if err == nil {
			return
		}
		log := w.log.With("tenant", c.Job.Tenant, "run", c.Job.Run, "job", c.Job.ID, "try", try, "error", err)
		if try == settleTries {
			log.Error("result not recorded; the job will be worked again when its lease has run out")
			return
		}
		log.Warn("result not recorded, will try again")
		w.pause(ctx)
	}
}

// outcome is a result on its way to the store, and where its worker waits.
type outcome struct {
	settlement core.Settlement
	done       chan error
}

// settleLoop records results. While one group is being written the next one
// gathers, so groups grow with the load and nobody waits for company.
func (w *Worker) settleLoop(ctx context.Context) {
	for {
		var group []outcome
		select {
		case o := <-w.settling:
			group = append(group, o)
		case <-ctx.Done():
			return
		}
		for gathering := true; gathering; {
			select {
			case o := <-w.settling:
				group = append(group, o)
			default:
				gathering = false
			}
		}
		w.settle(ctx, group)
	}
}

// settle writes a group run by run. If a run's group fails, its results are
// written one by one, so that a bad one does not take the others with it.
func (w *Worker) settle(ctx context.Context, group []outcome) {
	ctx = context.WithoutCancel(ctx) // a result in hand is recorded even while stopping
	runs := make(map[ports.RunKey][]outcome)
	var order []ports.RunKey
	for _, o := range group {
		key := ports.RunKey{Tenant: o.settlement.Job.Tenant, Run: o.settlement.Job.Run}
		if runs[key] == nil {
			order = append(order, key)
		}
		runs[key] = append(runs[key], o)
	}
	for _, key := range order {
		of := runs[key]
		settlements := make([]core.Settlement, len(of))
		for i, o := range of {
			settlements[i] = o.settlement
		}
		err := w.svc.Settle(ctx, settlements)
		for _, o := range of {
			if err != nil && len(of) > 1 {
				o.done <- w.svc.Settle(ctx, []core.Settlement{o.settlement})
				continue
			}
			o.done <- err
		}
	}
}

// renewLoop extends the leases of everything that is being worked on, three
// times per lease, so that two renewals may fail before one runs out.
func (w *Worker) renewLoop(ctx context.Context) {
	interval := w.svc.Options().Recovery.Lease / 3
	for w.clock.Sleep(ctx, interval) == nil {
		for _, group := range app.ByRun(w.heldJobs()) {
			lost, err := w.svc.Renew(ctx, group)
			if err != nil {
				if ctx.Err() == nil {
					w.log.Warn("leases not renewed, will try again", "run", group[0].Run, "jobs", len(group), "error", err)
				}
				continue
			}
			for _, job := range lost {
				w.cancelJob(job)
			}
		}
	}
}

// pause waits a moment after a fault.
func (w *Worker) pause(ctx context.Context) {
	_ = w.clock.Sleep(ctx, faultPause) // ends early only because ctx did, which the caller sees
}
