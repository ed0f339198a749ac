package worker

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// receiveLoop receives as many jobs as there are free places and sends them to be
// claimed; it does not wait for that. It ends with ctx's error or
// ports.ErrClosed, after everything that is not being claimed went back to the queue.
func (w *Worker) receiveLoop(ctx context.Context) error {
	defer w.stopClaiming(ctx)
	// At the gate. Others may come any moment, so these are short.
	crowded := pauses{first: 20 * time.Millisecond, most: 250 * time.Millisecond}
	for {
		limit, ahead, err := w.takePlaces(ctx)
		if err != nil {
			return err
		}
		deliveries, err := w.receive(ctx, limit, ahead)
		shares := sharesOf(deliveries, w.jobsOf)
		w.stats.received.Add(int64(len(shares)))
		if ctx.Err() != nil || errors.Is(err, ports.ErrClosed) {
			w.tell(ctx, shares, share.nack)
			if err == nil {
				err = ctx.Err()
			}
			return err
		}
		sentBack := w.admit(ctx, shares, limit)
		switch {
		case err != nil && len(deliveries) == 0:
			w.log.Error("receive failed, will try again", "error", err)
			w.pause(ctx, &w.receivePauses)
		case sentBack > 0 && sentBack == len(shares):
			// The feed cannot look past what it was told to skip.
			w.pause(ctx, &crowded)
			continue
		case len(deliveries) > 0:
			w.receivePauses.reset()
		}
		crowded.reset()
	}
}

// ahead is what a Receive goes by, and ctx is how it is ended.
type ahead struct {
	ctx    context.Context
	cancel context.CancelFunc
	skip   ports.Skip
}

// takePlaces waits for free places and takes them, as many as may be received.
func (w *Worker) takePlaces(ctx context.Context) (int, ahead, error) {
	for {
		w.gather(ctx)
		if err := ctx.Err(); err != nil {
			return 0, ahead{}, err
		}
		limit, a, expired, till := w.tryPlaces(ctx)
		w.tell(ctx, expired, share.nack)
		if limit > 0 {
			return limit, a, nil
		}
		timer := time.NewTimer(time.Until(till))
		select {
		case <-w.pool.freed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// gather lets the first free place wait a moment for others: short jobs free
// places by ones and twos, and what is received together is claimed together.
// While all transactions are in use nothing is lost by waiting on, so the busier
// the store, the larger the groups.
func (w *Worker) gather(ctx context.Context) {
	if w.opts.Linger <= 0 {
		return
	}
	timer := time.NewTimer(w.opts.Linger)
	defer timer.Stop()
	for most := time.Now().Add(10 * w.opts.Linger); w.fewPlaces(); {
		select {
		case <-w.pool.freed:
		case <-timer.C:
			if !w.slots.busy() || time.Now().After(most) {
				return
			}
			timer.Reset(w.opts.Linger)
		case <-ctx.Done():
			return
		}
	}
}

// fewPlaces reports whether some places are free, but less than half.
func (w *Worker) fewPlaces() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pool.free > 0 && w.pool.free < w.opts.Concurrency/2
}

// idle is how long the loop waits at most before it looks again.
const idle = time.Hour

func (w *Worker) tryPlaces(ctx context.Context) (limit int, a ahead, expired []share, till time.Time) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.pool
	w.enter(p.unpark(now))
	expired = p.expire(now, false)
	o := p.gate.look(now)
	if len(p.parked) > 0 {
		if till := p.parked[0].parkedTill; o.till.IsZero() || till.Before(o.till) {
			o.till = till
		}
	}
	if till = now.Add(idle); !o.till.IsZero() && o.till.Before(till) {
		till = o.till
	}
	till = till.Add(time.Millisecond) // so that it is not a moment too early
	limit = min(p.free, o.room+p.most-len(p.parked))
	if limit <= 0 {
		return 0, a, expired, till
	}
	p.free -= limit
	a.skip = o.skip
	if o.till.IsZero() {
		a.ctx, a.cancel = context.WithCancel(ctx)
	} else {
		a.ctx, a.cancel = context.WithDeadline(ctx, till)
	}
	p.anew, p.changes = a.cancel, p.gate.breaker.changes
	p.skipping = len(o.skip.Tenants)+len(o.skip.Templates)+len(p.parked) > 0
	return limit, a, expired, till
}

// receive asks the feed. That it was told to come back is no error.
func (w *Worker) receive(ctx context.Context, limit int, a ahead) (deliveries []ports.Delivery, err error) {
	defer a.cancel()
	err = w.guard(func() (err error) {
		deliveries, err = w.feed.Receive(a.ctx, limit, a.skip)
		return err
	})
	w.mu.Lock()
	w.pool.anew = nil
	w.mu.Unlock()
	if err != nil && ctx.Err() == nil && a.ctx.Err() != nil && !errors.Is(err, ports.ErrClosed) {
		err = nil
	}
	return deliveries, err
}

// admit sorts what was received: to be claimed, parked, or back to the queue. The
// places that were taken for it and are not needed are free again.
func (w *Worker) admit(ctx context.Context, shares []share, limit int) (sentBack int) {
	s := w.sort(shares, limit)
	w.tell(ctx, s.ack, share.ack)
	w.passOn(ctx, s.nack)
	w.stats.nacked.Add(int64(len(s.nack)))
	return len(s.nack)
}

// jobsOf gives the jobs of a delivery.
func (w *Worker) jobsOf(d ports.Delivery) (jobs []core.Job) {
	if err := w.guard(func() error { jobs = d.Jobs(); return nil }); err != nil {
		w.log.Error("a delivery has no jobs; it comes again", "error", err)
	}
	return jobs
}

func (w *Worker) sort(shares []share, limit int) (s sorted) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	within := min(len(shares), limit)
	w.pool.free += limit - within
	for _, one := range shares[:within] {
		w.pool.admit(one, now, &s)
	}
	s.nack = append(s.nack, shares[within:]...) // more than there are places for
	w.enter(s.enter)
	return s
}

// tell acks or nacks. If the queue cannot be told, it delivers the job again, to
// no effect.
func (w *Worker) tell(ctx context.Context, shares []share, how func(share, context.Context) error) {
	ctx = context.WithoutCancel(ctx)
	for _, one := range shares {
		if err := w.guard(func() error { return how(one, ctx) }); err != nil {
			w.log.Warn("the queue was not told; it will deliver the job again", "error", err)
		}
	}
}

// stopClaiming lets nothing enter any more, and sends back what is parked. What
// is in the claims' lanes is sent back by them.
func (w *Worker) stopClaiming(ctx context.Context) {
	w.mu.Lock()
	w.pool.stopping = true
	parked := w.pool.expire(time.Now(), true)
	w.mu.Unlock()
	w.claims.close()
	w.tell(ctx, parked, share.nack)
}

func (w *Worker) stopping() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pool.stopping
}
