package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/redrive/redrive/ports"
)

// pauses are the waits after faults in a row. The zero value is ready.
type pauses struct {
	first, most time.Duration // default half a second, and 10 s

	mu      sync.Mutex
	backoff *backoff.ExponentialBackOff
}

// next is the next wait, longer each time. It is up to half as long or half as
// long again by chance, so that workers do not come all at once.
func (p *pauses) next() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.backoff == nil {
		p.backoff = backoff.NewExponentialBackOff()
		p.backoff.InitialInterval = cmp.Or(p.first, 500*time.Millisecond)
		p.backoff.MaxInterval = cmp.Or(p.most, 10*time.Second)
	}
	return p.backoff.NextBackOff()
}

// reset begins anew: whatever was at fault works again.
func (p *pauses) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backoff = nil
}

// pause waits a moment after a fault, or until ctx ends.
func (w *Worker) pause(ctx context.Context, p *pauses) {
	_ = w.clock.Sleep(ctx, p.next()) // ends early only because ctx did, which the caller sees
}

// guard makes an error of a panic: one job, or one bad answer of an adapter, must not
// take the process and everything else in it down.
func (w *Worker) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.stats.panics.Add(1)
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// noFaultOfOne reports whether an error has to do with the store or a lock, and
// not with any one of the jobs: to try each by itself would only take longer.
func noFaultOfOne(err error) bool {
	return errors.Is(err, ports.ErrUnavailable) || errors.Is(err, ports.ErrLockTimeout) ||
		errors.Is(err, ports.ErrCommitUnknown) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// hopeless reports whether the store can never hold what it was given, however often
// it is tried.
func hopeless(err error) bool { return errors.Is(err, ports.ErrRefused) }
