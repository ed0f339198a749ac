package memory_test

import (
	"sync"
	"testing"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
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

func TestQueueConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Subject {
		q := memory.NewQueue()
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true}
	})
}
