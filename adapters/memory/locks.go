package memory

import (
	"context"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// NewWait makes one wait of one transaction for a lock. The store calls wait
// once, holding nothing; it returns nil once wake was called, before or after
// wait began, or with ctx's error. wake must not block.
type NewWait func() (wait func(ctx context.Context) error, wake func())

// goroutineWaits parks the goroutine that waits.
func goroutineWaits() (wait func(ctx context.Context) error, wake func()) {
	woken := make(chan struct{})
	wait = func(ctx context.Context) error {
		select {
		case <-woken:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return wait, func() { close(woken) }
}

// lockKey names a row, or the rows of one kind that are locked together.
type lockKey struct {
	tenant core.TenantID
	kind   lockKind
	id     string
}

type lockKind uint8

const (
	lockTenant   lockKind = iota // the tenant's own row
	lockCredits                  // all balances and the ledger of a tenant
	lockTemplate                 // one template
	lockAnswer                   // one idempotency key
	lockRun                      // a run's row
	lockFiles                    // all files of a run
	lockAttempts                 // attempts and amendments of a run
)

// locks is the lock table: exclusive locks that are held to the end of the
// transaction and handed over first come, first served.
type locks struct {
	newWait NewWait

	mu    sync.Mutex
	rows  map[lockKey]*rowLock
	spare []*rowLock
	// writes are what ended transactions wrote to, to be used again.
	writes []*runWrites
}

// maxSpareWrites bounds how many are kept, and maxSpareFiles how large.
const (
	maxSpareWrites = 32
	maxSpareFiles  = 64
)

// newWrites gives an empty place for what a transaction writes of a run.
func (l *locks) newWrites(id core.RunID) *runWrites {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.writes)
	if n == 0 {
		return &runWrites{id: id}
	}
	w := l.writes[n-1]
	l.writes = l.writes[:n-1]
	w.id = id
	return w
}

// reuse keeps what an ended transaction wrote to. The caller holds mu.
func (l *locks) reuse(w *runWrites) {
	if len(l.writes) == maxSpareWrites {
		return
	}
	files := w.files
	if cap(files) > maxSpareFiles {
		files = nil
	}
	clear(files)
	*w = runWrites{files: files[:0]}
	l.writes = append(l.writes, w)
}

// maxSpareLocks bounds how many are kept to be used again.
const maxSpareLocks = 64

// take gives a lock that nobody holds to a transaction. The caller holds mu.
func (l *locks) take(t *tx, key lockKey) {
	row := (*rowLock)(nil)
	if n := len(l.spare); n > 0 {
		row, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		row = &rowLock{}
	}
	row.holder = t
	l.rows[key] = row
	t.held = append(t.held, key)
}

// free forgets a lock for which nobody waits. The caller holds mu.
func (l *locks) free(row *rowLock, key lockKey) {
	delete(l.rows, key)
	if row.holder = nil; len(l.spare) < maxSpareLocks {
		l.spare = append(l.spare, row)
	}
}

func (l *locks) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rows)
}

type rowLock struct {
	holder *tx
	queue  []waiter
}

type waiter struct {
	tx   *tx
	wake func()
}

// tryAcquire takes a lock if nobody else holds it.
func (l *locks) tryAcquire(t *tx, key lockKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	row := l.rows[key]
	if row == nil {
		l.take(t, key)
		return true
	}
	return row.holder == t
}

func (l *locks) acquire(ctx context.Context, t *tx, key lockKey) error {
	l.mu.Lock()
	row := l.rows[key]
	if row == nil {
		l.take(t, key)
		l.mu.Unlock()
		return nil
	}
	if row.holder == t {
		l.mu.Unlock()
		return nil
	}
	if row.leadsTo(t) {
		l.mu.Unlock()
		return ports.ErrDeadlock
	}
	wait, wake := l.newWait()
	row.queue = append(row.queue, waiter{t, wake})
	t.waitsFor = row
	l.mu.Unlock()

	err := wait(ctx)
	if err != nil {
		l.giveUp(t, row)
	}
	return err
}

// leadsTo reports whether the holder waits, through any number of others, for
// t. A transaction waits for one lock and a lock has one holder, so the waits
// form a chain.
func (r *rowLock) leadsTo(t *tx) bool {
	for row := r; row != nil; row = row.holder.waitsFor {
		if row.holder == t {
			return true
		}
	}
	return false
}

// giveUp leaves the queue. If the lock was handed over meanwhile, it is among
// those that the end of the transaction releases.
func (l *locks) giveUp(t *tx, row *rowLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.waitsFor = nil
	row.queue = slices.DeleteFunc(row.queue, func(w waiter) bool { return w.tx == t })
}

// release hands every lock of the transaction to whoever waited longest.
func (l *locks) release(t *tx) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range t.held {
		row := l.rows[key]
		if len(row.queue) == 0 {
			l.free(row, key)
			continue
		}
		next := row.queue[0]
		row.queue = row.queue[1:]
		row.holder, next.tx.waitsFor = next.tx, nil
		next.tx.held = append(next.tx.held, key)
		next.wake()
	}
	t.held = nil
	for _, w := range t.runs {
		l.reuse(w)
	}
	t.runs, t.runsByID = nil, nil
}
