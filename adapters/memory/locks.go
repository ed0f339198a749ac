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
	few   []*rowLock           // up to fewLocks, which are faster looked through than looked up
	many  map[lockKey]*rowLock // those that came when few was full
	spare []*rowLock           // free, to be used again
}

const (
	fewLocks = 16
	// maxSpareLocks bounds how many are kept to be used again.
	maxSpareLocks = 64
)

// find gives a lock that is held, or nil. The caller holds mu.
func (l *locks) find(key lockKey) *rowLock {
	for _, row := range l.few {
		if k := &row.key; k.kind == key.kind && k.id == key.id && k.tenant == key.tenant {
			return row
		}
	}
	if len(l.many) == 0 {
		return nil
	}
	return l.many[key]
}

// take gives a free lock to a transaction. The caller holds mu.
func (l *locks) take(t *txState, key lockKey) {
	row := (*rowLock)(nil)
	if n := len(l.spare); n > 0 {
		row, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		row = &rowLock{}
	}
	row.key, row.holder = key, t
	if len(l.few) < fewLocks {
		l.few = append(l.few, row)
	} else {
		l.many[key] = row
	}
	t.held = append(t.held, row)
}

// free forgets a lock that no transaction waits for. The caller holds mu.
func (l *locks) free(row *rowLock) {
	if at := slices.Index(l.few, row); at >= 0 {
		last := len(l.few) - 1
		l.few[at], l.few[last] = l.few[last], nil
		l.few = l.few[:last]
	} else {
		delete(l.many, row.key)
	}
	row.key, row.holder = lockKey{}, nil
	if len(l.spare) < maxSpareLocks {
		l.spare = append(l.spare, row)
	}
}

func (l *locks) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.few)
	l.few = l.few[:0]
	clear(l.many)
}

type rowLock struct {
	key    lockKey
	holder *txState
	queue  []waiter
}

type waiter struct {
	tx   *txState
	wake func()
}

// tryAcquire takes a lock if no other transaction holds it.
func (l *locks) tryAcquire(t *txState, key lockKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	row := l.find(key)
	if row == nil {
		l.take(t, key)
		return true
	}
	return row.holder == t
}

func (l *locks) acquire(ctx context.Context, t *txState, key lockKey) error {
	l.mu.Lock()
	row := l.find(key)
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
func (r *rowLock) leadsTo(t *txState) bool {
	for row := r; row != nil; row = row.holder.waitsFor {
		if row.holder == t {
			return true
		}
	}
	return false
}

// giveUp leaves the queue. If the lock was handed over meanwhile, it is among
// those that the end of the transaction releases.
func (l *locks) giveUp(t *txState, row *rowLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.waitsFor = nil
	row.queue = slices.DeleteFunc(row.queue, func(w waiter) bool { return w.tx == t })
}

// release hands every lock of the transaction to the transaction that waited longest.
func (l *locks) release(t *txState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range t.held {
		if len(row.queue) == 0 {
			l.free(row)
			continue
		}
		next := row.queue[0]
		row.queue = row.queue[1:]
		row.holder, next.tx.waitsFor = next.tx, nil
		next.tx.held = append(next.tx.held, row)
		next.wake()
	}
	t.held = nil
}
