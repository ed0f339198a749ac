package worker

import (
	"context"
	"time"
)

// slots bound the transactions of a worker, so that they leave connections to
// others. Whoever waits for a locked run has a slot of another kind: however many
// runs are locked, they do not stop what is free.
type slots struct {
	open chan struct{} // transactions that wait for nobody
	wait chan struct{} // transactions that may wait for a run
}

func newSlots(n int) *slots {
	return &slots{open: make(chan struct{}, n), wait: make(chan struct{}, max(1, n/2))}
}

// use runs one transaction that waits for nobody. Slots are given out first come,
// first served.
func (s *slots) use(tx func()) {
	s.open <- struct{}{}
	defer func() { <-s.open }()
	tx()
}

// busy reports whether all transactions that wait for nobody are in use.
func (s *slots) busy() bool { return len(s.open) == cap(s.open) }

// useWaiting runs one transaction that may wait for a run.
func (s *slots) useWaiting(tx func()) {
	s.wait <- struct{}{}
	defer func() { <-s.wait }()
	tx()
}

// locked gets something done about a run that was found locked: by waiting for
// the lock, or, while others wait for theirs, by trying again and again. try
// reports whether the run was free. It is false if ctx ended first.
func (s *slots) locked(ctx context.Context, try func() (free bool), wait func()) (done bool) {
	for {
		retry := time.NewTimer(heldRetry)
		select {
		case s.wait <- struct{}{}:
			retry.Stop()
			defer func() { <-s.wait }()
			wait()
			return true
		case <-ctx.Done():
			retry.Stop()
			return false
		case <-retry.C:
			free := false
			s.use(func() { free = try() })
			if free {
				return true
			}
		}
	}
}
