package worker

import (
	"context"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// share is one job of a delivery. The delivery is answered when all its shares are.
type share struct {
	of  *sharedDelivery
	job core.Job
}

// sharedDelivery is a delivery whose jobs are answered one by one.
type sharedDelivery struct {
	ports.Delivery

	mu     sync.Mutex
	open   int        // shares that are not answered
	nacked []core.Job // what is to be delivered again
	acked  bool       // something is not
}

// sharesOf takes deliveries apart.
func sharesOf(deliveries []ports.Delivery, jobsOf func(ports.Delivery) []core.Job) []share {
	var all []share
	for _, d := range deliveries {
		jobs := jobsOf(d)
		of := &sharedDelivery{Delivery: d, open: len(jobs)}
		for _, j := range jobs {
			all = append(all, share{of, j})
		}
	}
	return all
}

func (s share) ack(ctx context.Context) error {
	return s.of.answer(ctx, func() { s.of.acked = true }, 1)
}

func (s share) nack(ctx context.Context) error {
	return s.of.answer(ctx, func() { s.of.nacked = append(s.of.nacked, s.job) }, 1)
}

// answer notes the answers of n shares and, after the last, answers the delivery. A
// worker that could not claim some jobs of a message has waited for a moment already,
// so they are passed on without a back-off when others of the message were claimed.
func (d *sharedDelivery) answer(ctx context.Context, note func(), n int) error {
	d.mu.Lock()
	note()
	d.open -= n
	last, acked, nacked := d.open == 0, d.acked, d.nacked
	d.mu.Unlock()
	switch {
	case !last:
		return nil
	case !acked && len(nacked) > 0:
		return d.Nack(ctx)
	case len(nacked) > 0:
		if err := d.Release(ctx, nacked); err != nil {
			return err // all of it comes again
		}
	}
	return d.Ack(ctx)
}

// passOn lets others have jobs of a delivery for which there is no place here.
func (w *Worker) passOn(ctx context.Context, shares []share) {
	byDelivery := map[*sharedDelivery][]core.Job{}
	for _, s := range shares {
		byDelivery[s.of] = append(byDelivery[s.of], s.job)
	}
	ctx = context.WithoutCancel(ctx)
	for d, jobs := range byDelivery {
		err := w.guard(func() error {
			d.mu.Lock()
			all := d.open == len(jobs)
			d.mu.Unlock()
			if !all {
				err := d.Release(ctx, jobs)
				if err == nil {
					return d.answer(ctx, func() { d.acked = true }, len(jobs))
				}
			}
			// Nothing of it is wanted here, so it is not to come back at once.
			return d.answer(ctx, func() { d.nacked = append(d.nacked, jobs...) }, len(jobs))
		})
		if err != nil {
			w.log.Warn("the queue was not told; it will deliver the job again", "error", err)
		}
	}
}
