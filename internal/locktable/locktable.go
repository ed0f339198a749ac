// Package locktable is the row locks of stores that run in one process: exclusive, held to
// the end of a transaction, with deadlocks found at once.
package locktable

import (
	"context"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// NewWait makes one wait of one transaction for a lock. The table calls wait
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

// Key names a row, or the rows of one kind that are locked together.
type Key struct {
	Tenant core.TenantID // empty if the row is no tenant's
	Kind   Kind
	ID     string // empty if a tenant has one such row
}

// Kind says what is locked.
type Kind uint8

// What transactions lock.
const (
	Tenant   Kind = iota // the tenant's own row
	Credits              // all balances and the ledger of a tenant
	Template             // one template and its versions
	Answer               // one idempotency key
	Reply                // one idempotency key of one operation
	Run                  // a run's row
	Files                // all files of a run
	Attempts             // attempts and amendments of a run
	Owner                // a run's ID, of whatever tenant
	Bulk                 // a tenant's part of a bulk continue, with its runs
	APIKey               // one API key
	Audit                // one event of the audit log
	Webhook              // a webhook endpoint and its deliveries
)

// Table is exclusive locks that are held to the end of the transaction and handed
// over first come, first served. The zero value is not usable.
type Table struct {
	newWait NewWait

	mu    sync.Mutex
	few   []*row       // up to fewLocks, which are faster looked through than looked up
	many  map[Key]*row // those that came when few was full
	spare []*row       // free, to be used again
}

// New makes a table whose locks are all free. A nil newWait parks the goroutine that waits.
func New(newWait NewWait) *Table {
	if newWait == nil {
		newWait = goroutineWaits
	}
	return &Table{newWait: newWait, many: map[Key]*row{}}
}

// Holder is a transaction, as the table knows it: which locks it holds and which one it
// waits for. The zero value holds nothing; a Holder must not be copied while it does.
type Holder struct {
	held     []*row // guarded by Table.mu
	waitsFor *row   // guarded by Table.mu
	room     [4]*row
}

const (
	fewLocks = 16
	// maxSpareLocks bounds how many are kept to be used again.
	maxSpareLocks = 64
)

// find gives a lock that is held, or nil. The caller holds mu.
func (l *Table) find(key Key) *row {
	for _, r := range l.few {
		if k := &r.key; k.Kind == key.Kind && k.ID == key.ID && k.Tenant == key.Tenant {
			return r
		}
	}
	if len(l.many) == 0 {
		return nil
	}
	return l.many[key]
}

// take gives a free lock to a transaction. The caller holds mu.
func (l *Table) take(h *Holder, key Key) {
	var r *row
	if n := len(l.spare); n > 0 {
		r, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		r = &row{}
	}
	r.key, r.holder = key, h
	if len(l.few) < fewLocks {
		l.few = append(l.few, r)
	} else {
		l.many[key] = r
	}
	if h.held == nil {
		h.held = h.room[:0] // enough for what a usual transaction locks
	}
	h.held = append(h.held, r)
}

// free forgets a lock that no transaction waits for. The caller holds mu.
func (l *Table) free(r *row) {
	if at := slices.Index(l.few, r); at >= 0 {
		last := len(l.few) - 1
		l.few[at], l.few[last] = l.few[last], nil
		l.few = l.few[:last]
	} else {
		delete(l.many, r.key)
	}
	r.key, r.holder = Key{}, nil
	if len(l.spare) < maxSpareLocks {
		l.spare = append(l.spare, r)
	}
}

// Reset frees all locks. The table must not be in use meanwhile.
func (l *Table) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.few)
	l.few = l.few[:0]
	clear(l.many)
}

type row struct {
	key    Key
	holder *Holder
	queue  []waiter
}

type waiter struct {
	tx   *Holder
	wake func()
}

// TryAcquire takes a lock if no other transaction holds it.
func (l *Table) TryAcquire(h *Holder, key Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.find(key)
	if r == nil {
		l.take(h, key)
		return true
	}
	return r.holder == h
}

// Acquire takes a lock, for which it waits if another transaction holds it. A lock that
// the transaction holds already is acquired at once. ports.ErrDeadlock, without a wait, if
// the one that holds it waits for this one, through any number of others; else the error of
// ctx. Either way the transaction keeps the locks that it has until Release.
func (l *Table) Acquire(ctx context.Context, h *Holder, key Key) error {
	l.mu.Lock()
	r := l.find(key)
	if r == nil {
		l.take(h, key)
		l.mu.Unlock()
		return nil
	}
	if r.holder == h {
		l.mu.Unlock()
		return nil
	}
	if r.leadsTo(h) {
		l.mu.Unlock()
		return ports.ErrDeadlock
	}
	wait, wake := l.newWait()
	r.queue = append(r.queue, waiter{h, wake})
	h.waitsFor = r
	l.mu.Unlock()

	err := wait(ctx)
	if err != nil {
		l.giveUp(h, r)
	}
	return err
}

// leadsTo reports whether the holder waits, through any number of others, for h. A
// transaction waits for one lock and a lock has one holder, so the waits form a chain.
func (r *row) leadsTo(h *Holder) bool {
	for r != nil {
		if r.holder == h {
			return true
		}
		r = r.holder.waitsFor
	}
	return false
}

// giveUp leaves the queue. If the lock was handed over meanwhile, it is among
// those that the end of the transaction releases.
func (l *Table) giveUp(h *Holder, r *row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.waitsFor = nil
	r.queue = slices.DeleteFunc(r.queue, func(w waiter) bool { return w.tx == h })
}

// Release hands every lock of the transaction to the transaction that waited longest.
func (l *Table) Release(h *Holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range h.held {
		if len(r.queue) == 0 {
			l.free(r)
			continue
		}
		next := r.queue[0]
		r.queue = r.queue[1:]
		r.holder, next.tx.waitsFor = next.tx, nil
		if next.tx.held == nil {
			next.tx.held = next.tx.room[:0]
		}
		next.tx.held = append(next.tx.held, r)
		next.wake()
	}
	h.held = nil
}
