// Package worker runs the use cases of a live process: a bounded pool that
// claims, executes and settles jobs, the renewal of their leases, and the loops of
// recovery and of the monthly refill. Goroutines live here and not in package
// app, so that a deterministic scheduler can drive app without them.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Options are the numbers that an operator may set. Zero means the default.
type Options struct {
	Concurrency  int           // jobs executed at once; default 16
	RecoverEvery time.Duration // how often recovery looks for due runs; default 5 s
	RefillEvery  time.Duration // how often the monthly refill is looked after; default 10 min
	// DrainTimeout is how long running jobs may go on after the stop before
	// they are handed back; default 30 s. Negative: hand back at once.
	DrainTimeout time.Duration
	Log          *slog.Logger // nil: slog.Default()
}

func (o Options) withDefaults() Options {
	if o.Concurrency == 0 {
		o.Concurrency = 16
	}
	if o.RecoverEvery == 0 {
		o.RecoverEvery = 5 * time.Second
	}
	if o.RefillEvery == 0 {
		o.RefillEvery = 10 * time.Minute
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

const (
	// recoverPage bounds the runs that recovery asks for at a time.
	recoverPage = 100
	// faultPause is the wait after a fault of the store or the queue, so that
	// an outage is not hammered.
	faultPause = time.Second
	// abandonAfter bounds the wait for executors that do not return when told to.
	abandonAfter = 2 * time.Second
	// handBackTimeout bounds the bookkeeping at the very end of a stop.
	handBackTimeout = 10 * time.Second
)

// Worker is a pool over one feed. Any number of workers, in any number of
// processes, may share a store and a queue.
type Worker struct {
	svc   *app.Service
	feed  ports.Feed
	clock ports.Clock
	opts  Options
	log   *slog.Logger

	settling *settler
	mu       sync.Mutex
	held     map[heldKey]*heldJob // what this worker has claimed and not settled
}

// New makes a Worker; Run starts it.
func New(svc *app.Service, feed ports.Feed, o Options) (*Worker, error) {
	o = o.withDefaults()
	switch {
	case svc == nil || feed == nil:
		return nil, errors.New("worker.New: a service and a feed are required")
	case o.Concurrency < 1 || o.RecoverEvery < 0 || o.RefillEvery < 0:
		return nil, errors.New("worker.New: Concurrency must be 1 or more, RecoverEvery and RefillEvery positive")
	}
	return &Worker{
		svc: svc, feed: feed, clock: svc.Clock(), opts: o, log: o.Log,
		settling: newSettler(svc), held: map[heldKey]*heldJob{},
	}, nil
}

// Run works until ctx ends. Then it claims nothing more, lets running jobs
// finish within DrainTimeout, hands back the rest for another worker, and
// returns nil. If the feed is closed it stops in the same way and returns
// ports.ErrClosed. Call it once.
func (w *Worker) Run(ctx context.Context) error {
	claiming, stopClaiming := context.WithCancel(ctx)
	defer stopClaiming()
	// The work itself outlives the stop, up to the end of the drain.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()

	var loops, jobs sync.WaitGroup
	loops.Go(func() { w.renewLoop(working) })
	loops.Go(func() { w.every(claiming, w.opts.RecoverEvery, "recovery", w.recover) })
	loops.Go(func() { w.every(claiming, w.opts.RefillEvery, "refill", w.svc.Refill) })

	err := w.claimLoop(claiming, working, &jobs)
	stopClaiming()
	w.drain(working, stopWorking, &jobs)
	stopWorking()
	loops.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// drain waits for running jobs, and gives back those that take too long.
func (w *Worker) drain(working context.Context, stopWorking func(), jobs *sync.WaitGroup) {
	finished := make(chan struct{})
	go func() {
		jobs.Wait()
		close(finished)
	}()
	if w.within(w.opts.DrainTimeout, finished) {
		return
	}
	left := w.heldJobs()
	w.log.Warn("stopping: handing back unfinished jobs", "jobs", len(left))
	stopWorking() // executors are told to return; what they still answer is fenced
	ctx, cancel := context.WithTimeout(context.WithoutCancel(working), handBackTimeout)
	defer cancel()
	for _, group := range app.ByRun(left) {
		if err := w.svc.HandBack(ctx, group); err != nil {
			w.log.Error("hand back failed, recovery will take over when the leases run out", "run", group[0].Run, "jobs", len(group), "error", err)
		}
	}
	if !w.within(abandonAfter, finished) {
		w.log.Error("stopping: an executor did not return when told to")
	}
}

// within reports whether finished was closed within d.
func (w *Worker) within(d time.Duration, finished <-chan struct{}) bool {
	if d > 0 {
		waiting, stop := context.WithCancel(context.Background())
		defer stop()
		over := make(chan struct{})
		go func() {
			defer close(over)
			_ = w.clock.Sleep(waiting, d) // ends early only because nobody waits any more
		}()
		select {
		case <-finished:
			return true
		case <-over:
		}
	}
	select {
	case <-finished:
		return true
	default:
		return false
	}
}

// every calls do at once and then again and again until ctx ends.
func (w *Worker) every(ctx context.Context, d time.Duration, what string, do func(context.Context) error) {
	for ctx.Err() == nil {
		if err := do(ctx); err != nil && ctx.Err() == nil {
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

// heldKey tells claims apart: a file is claimed at most once per epoch.
type heldKey struct {
	run   core.RunID
	job   core.JobID
	epoch core.Epoch
}

func keyOf(j core.Job) heldKey { return heldKey{j.Run, j.ID, j.Epoch} }

// heldJob is a claimed job that is being worked on.
type heldJob struct {
	job    core.Job
	cancel context.CancelFunc
}

func (w *Worker) hold(j core.Job, cancel context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[keyOf(j)] = &heldJob{j, cancel}
}

func (w *Worker) letGo(j core.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, keyOf(j))
}

func (w *Worker) heldJobs() []core.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	jobs := make([]core.Job, 0, len(w.held))
	for _, h := range w.held {
		jobs = append(jobs, h.job)
	}
	return jobs
}

// cancelJob stops the execution of a job whose lease is lost.
func (w *Worker) cancelJob(j core.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.held[keyOf(j)]; h != nil {
		h.cancel()
	}
}
