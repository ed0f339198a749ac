package watermillqueue_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/watermillqueue"
)

func quiet(o watermillqueue.Options) watermillqueue.Options {
	o.Log = slog.New(slog.DiscardHandler)
	return o
}

func newMemory(t testing.TB) *watermillqueue.Queue {
	t.Helper()
	q, err := watermillqueue.Open(t.Context(), "memory:", quiet(watermillqueue.Options{}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

func TestMemory(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		q := newMemory(t)
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true, Fair: true}
	})
}
