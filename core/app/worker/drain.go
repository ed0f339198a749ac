package worker

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// drain waits for running jobs, and gives back those that take too long.
func (w *Worker) drain() {
	claimed, finished := make(chan struct{}), make(chan struct{})
	go func() {
		w.claiming.Wait() // first: they start jobs
		close(claimed)
		w.running.Wait()
		close(finished)
	}()
	if w.within(w.opts.DrainTimeout, finished) {
		return
	}
	w.stopWorking() // executors are told to return; what they still answer is fenced
	if !w.within(abandonAfter, claimed) {
		w.log.Error("stopping: a claim is not answered; if it was made, recovery takes over when the lease runs out")
	}
	w.handBackRest()
	if !w.within(abandonAfter, finished) {
		w.log.Error("stopping: an executor did not return when told to")
	}
}

// handBackRest gives back what is claimed and not done, for another worker to
// claim at once.
func (w *Worker) handBackRest() {
	w.mu.Lock()
	left := append(w.pool.claimedJobs(), w.pool.undone...)
	w.mu.Unlock()
	if len(left) == 0 {
		return
	}
	w.log.Warn("stopping: handing back unfinished jobs", "jobs", len(left))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.working), handBackTimeout)
	defer cancel()
	var groups sync.WaitGroup
	for _, group := range app.ByRun(left) {
		groups.Go(func() {
			w.slots.use(func() { w.handBack(ctx, group) })
		})
	}
	groups.Wait()
}

func (w *Worker) handBack(ctx context.Context, group []core.Job) {
	if err := w.guard(func() error { return w.svc.HandBack(ctx, group) }); err != nil {
		w.log.Error("hand back failed, recovery will take over when the leases run out", append(attrs(group[0]), "jobs", len(group), "error", err)...)
		return
	}
	w.stats.handedBack.Add(int64(len(group)))
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
