package worker

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/redrive/redrive/core/app"
)

// driveBulks drives the bulk continues that no other server drives, until ctx ends. It
// sleeps until there is something to do, or this server is asked for another one.
func (w *Worker) driveBulks(ctx context.Context) {
	host, err := os.Hostname()
	if err != nil {
		host = "server" // it only tells servers apart in logs; what counts is the fence
	}
	driver := w.svc.NewBulkDriver(host + "/" + strconv.Itoa(os.Getpid()))
	for ctx.Err() == nil {
		if !w.sleepUntilSignal(ctx, w.passBulks(ctx, driver)) {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bulkReleaseTimeout)
	defer cancel()
	if err := w.guard(func() error { return driver.Release(ctx) }); err != nil {
		w.log.Warn("bulk continues are taken over by others only when their leases end", "error", err)
	}
}

// bulkReleaseTimeout bounds what a stop waits for.
const bulkReleaseTimeout = 5 * time.Second

// passBulks does what can be done now, and says for how long there is nothing more.
func (w *Worker) passBulks(ctx context.Context, driver *app.BulkDriver) time.Duration {
	var next time.Time
	err := w.guard(func() (err error) {
		next, err = driver.Pass(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.log.Error("driving bulk continues failed, will try again", "error", err)
	}
	wait := w.opts.BulkEvery
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(w.clock.Now()), 0))
	}
	return wait
}

// sleepUntilSignal sleeps, at most until there is another bulk continue; false if ctx ended.
func (w *Worker) sleepUntilSignal(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	sleep, wake := context.WithCancel(ctx)
	defer wake()
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		select {
		case <-w.svc.BulkSignal():
			wake()
		case <-sleep.Done():
		}
	}()
	_ = w.clock.Sleep(sleep, d) // whether it was woken does not matter
	wake()
	<-woken
	return ctx.Err() == nil
}
