package memory_test

import (
	"testing"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/internal/testkit/queuetest"
	"github.com/redrive/redrive/internal/testkit/storetest"
	"github.com/redrive/redrive/ports"
)

func TestStoreConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) ports.Store { return memory.NewStore() })
}

func TestQueueConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Subject {
		q := memory.NewQueue()
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true}
	})
}
