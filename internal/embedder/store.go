package embedder

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Store counts what goes through a store, for the embedder's own metrics. What it is put
// around keeps its promises: it changes nothing and repeats nothing.
type Store struct {
	FullStore
	committed, failed, unknown atomic.Int64
	open                       atomic.Int64
	nanoseconds                atomic.Int64
}

// FullStore is what a store has that serves the page too. A wrapper of ports.Store alone
// would hide the sessions and tickets.
type FullStore interface {
	ports.Store
	ports.SessionStore
	ports.TicketStore
}

// Counts is what a Store has counted.
type Counts struct {
	Committed int64 // transactions
	Failed    int64 // that were rolled back
	Unknown   int64 // whose outcome is not known
	Open      int64 // at the moment
	Took      time.Duration
}

// NewStore counts what goes through a store.
func NewStore(s FullStore) *Store { return &Store{FullStore: s} }

// InTx implements ports.Store.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) (err error) {
	began := time.Now()
	s.open.Add(1)
	counted := &s.failed // also when fn panics
	defer func() {
		counted.Add(1)
		s.open.Add(-1)
		s.nanoseconds.Add(int64(time.Since(began)))
	}()
	err = s.FullStore.InTx(ctx, tenant, fn)
	switch {
	case err == nil:
		counted = &s.committed
	case errors.Is(err, ports.ErrCommitUnknown):
		counted = &s.unknown
	}
	return err
}

// Counts reads the counters. They need not be of one moment.
func (s *Store) Counts() Counts {
	return Counts{
		Committed: s.committed.Load(), Failed: s.failed.Load(), Unknown: s.unknown.Load(), Open: s.open.Load(),
		Took: time.Duration(s.nanoseconds.Load()),
	}
}
