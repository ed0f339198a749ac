package memory_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestStoreConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) ports.Store { return memory.NewStore() })
}

// A store that was used and emptied is as good as a new one.
func TestStoreConformanceAfterReset(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var emptied []*memory.Store
	storetest.Run(t, func(t *testing.T) ports.Store {
		mu.Lock()
		defer mu.Unlock()
		s := memory.NewStore()
		if n := len(emptied); n > 0 {
			s, emptied = emptied[n-1], emptied[:n-1]
		}
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			s.Reset()
			emptied = append(emptied, s)
		})
		return s
	})
}

func TestOutboxConformance(t *testing.T) {
	t.Parallel()
	storetest.RunOutbox(t, func(*testing.T) storetest.OutboxSubject {
		q := memory.NewQueue()
		return storetest.OutboxSubject{Store: memory.NewStore(memory.WithOutbox(q)), Queue: q, Feed: q}
	})
}

// What a transaction sends is as true as the rest of it: if the queue does not take it,
// nothing of the transaction is there.
func TestOutboxOfAClosedQueue(t *testing.T) {
	t.Parallel()
	q := memory.NewQueue()
	store := memory.NewStore(memory.WithOutbox(q))
	require.NoError(t, q.Close())
	err := store.InTx(t.Context(), "acme", func(tx ports.Tx) error {
		if err := tx.Tenants().Insert(t.Context(), core.Tenant{ID: "acme"}); err != nil {
			return err
		}
		return ports.OutboxOf(tx).Send(t.Context(), []core.Job{{Tenant: "acme", Run: "r", ID: "r", Files: []int{0}, Epoch: 1}})
	})
	require.ErrorIs(t, err, ports.ErrClosed)
	err = store.View(t.Context(), "acme", func(tx ports.Tx) error {
		_, err := tx.Tenants().Get(t.Context())
		return err
	})
	require.ErrorIs(t, err, ports.ErrNotFound)
}

func TestQueueConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Subject {
		q := memory.NewQueue()
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true}
	})
}
