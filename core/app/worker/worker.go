package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

// Worker is a pool over one feed. Any number of workers, in any number of
// processes, may share a store and a queue.
type Worker struct {
	svc   *app.Service
	feed  ports.Feed
	clock ports.Clock
	opts  Options
	log   *slog.Logger
	stats counters

	inbox      inbox
	alarm      *alarm
	deliveries deliveries
	closed     bool // the feed is; written before the event that says so

	base      context.Context // never ends: what is under way outlives the stop
	receiving context.Context // ends when nothing more is to be claimed
	// cancelReceive ends the Receive that is under way. Used by the loop alone.
	cancelReceive context.CancelFunc

	mu        sync.Mutex // of the loop and of Stats
	scheduler *scheduler.Scheduler
	time      timeline
}

// New makes a Worker; Run starts it.
func New(svc *app.Service, feed ports.Feed, o Options) (*Worker, error) {
	if svc == nil || feed == nil {
		return nil, errors.New("worker.New: a service and a feed are required")
	}
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.guardCallbacks()
	w := &Worker{
		svc: svc, feed: feed, clock: svc.Clock(), opts: o, log: o.Log,
		inbox:     newInbox(),
		scheduler: scheduler.New(o.config(svc.Options().Recovery.Lease)),
		time:      newTimeline(svc.Clock()),
	}
	w.alarm = newAlarm(w.clock, w.inbox.wake)
	return w, nil
}

// Run works until ctx ends. Then it claims nothing more, lets running jobs
// finish within DrainTimeout, hands back the rest for another worker, and
// returns nil. If the feed is closed it stops in the same way and returns
// ports.ErrClosed. Call it once.
func (w *Worker) Run(ctx context.Context) error {
	w.base = context.WithoutCancel(ctx)
	var stopReceiving context.CancelFunc
	w.receiving, stopReceiving = context.WithCancel(ctx)
	defer stopReceiving()
	defer context.AfterFunc(ctx, func() { w.inbox.put(scheduler.Stop{}) })()

	var loops sync.WaitGroup
	loops.Go(func() { w.every(w.receiving, w.opts.RecoverEvery, "recovery", w.recover) })
	loops.Go(func() { w.every(w.receiving, w.opts.RefillEvery, "refill", w.svc.Refill) })
	loops.Go(func() { w.every(w.receiving, w.opts.SweepEvery, "sweep", w.sweep) })
	loops.Go(func() { w.every(w.receiving, w.opts.SweepEvery, "sweep of webhooks", w.sweepWebhooks) })
	if w.svc.WebhooksEnabled() {
		loops.Go(func() { w.sendWebhooks(w.receiving) })
	}
	loops.Go(func() { w.every(w.receiving, w.opts.SweepEvery, "sweep of bulk continues", w.svc.SweepBulk) })
	loops.Go(func() { w.driveBulks(w.receiving) })

	w.loop()
	stopReceiving()
	loops.Wait()
	if w.closed && ctx.Err() == nil {
		return ports.ErrClosed
	}
	return nil
}

// every calls do at once and then again and again until ctx ends.
func (w *Worker) every(ctx context.Context, d time.Duration, what string, do func(context.Context) error) {
	for ctx.Err() == nil {
		err := w.guard(func() error { return do(ctx) })
		if err != nil && ctx.Err() == nil {
			w.log.Error(what+" failed, will try again", "error", err)
		}
		if w.clock.Sleep(ctx, d) != nil {
			return
		}
	}
}

// sweep removes what became of no use: uploads of no run, and old idempotency keys.
func (w *Worker) sweep(ctx context.Context) error {
	return errors.Join(w.svc.Sweep(ctx), w.svc.ForgetKeys(ctx))
}

func (w *Worker) recover(ctx context.Context) error {
	_, err := w.svc.Recover(ctx, recoverPage)
	return err
}
