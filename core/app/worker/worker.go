package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redrive/redrive/core/app"
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

	slots     *slots
	runs      *runsInUse
	claims    *lanes
	results   *lanes
	handBacks *lanes

	receiving   context.Context // ends when nothing more is to be claimed
	working     context.Context // ends when running jobs are to be given up
	stopWorking context.CancelFunc
	claiming    sync.WaitGroup // whatever may still claim
	running     sync.WaitGroup // claimed jobs that are not done with

	claimPauses, receivePauses pauses

	mu   sync.Mutex
	pool pool // guarded by mu
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
		slots: newSlots(o.Transactions), runs: newRunsInUse(),
	}
	w.pool = newPool(o)
	w.claims = newLanes(claiming, w.runs, &w.claiming, (*entry).files, w.claimGroup)
	w.results = newLanes(settling, w.runs, &w.running, (*entry).resultCost, w.settleGroup)
	w.results.linger = max(o.Linger, 0)
	w.handBacks = newLanes(handingBack, w.runs, &w.running, (*entry).files, w.handBackGroup)
	return w, nil
}

// Run works until ctx ends. Then it claims nothing more, lets running jobs
// finish within DrainTimeout, hands back the rest for another worker, and
// returns nil. If the feed is closed it stops in the same way and returns
// ports.ErrClosed. Call it once.
func (w *Worker) Run(ctx context.Context) error {
	var stopReceiving context.CancelFunc
	w.receiving, stopReceiving = context.WithCancel(ctx)
	defer stopReceiving()
	// The work itself outlives the stop, up to the end of the drain.
	w.working, w.stopWorking = context.WithCancel(context.WithoutCancel(ctx))
	defer w.stopWorking()

	var loops sync.WaitGroup
	loops.Go(func() { w.renewLoop(w.working) })
	loops.Go(func() { w.watchLoop(w.working) })
	loops.Go(func() { w.every(w.receiving, w.opts.RecoverEvery, "recovery", w.recover) })
	loops.Go(func() { w.every(w.receiving, w.opts.RefillEvery, "refill", w.svc.Refill) })
	loops.Go(func() { w.every(w.receiving, w.opts.SweepEvery, "sweep of uploads", w.svc.Sweep) })

	err := w.receiveLoop(w.receiving)
	stopReceiving()
	w.drain()
	w.stopWorking()
	loops.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
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

func (w *Worker) recover(ctx context.Context) error {
	_, err := w.svc.Recover(ctx, recoverPage)
	return err
}
