package watermillqueue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// asked is a queue that is both ends and can be asked.
type asked interface {
	ports.Queue
	ports.Feed
	ports.QueueStats
	Close() error
}

// awaitStats waits until a queue says what is wanted of it, but for the oldest job: answers
// travel by themselves.
func awaitStats(t *testing.T, q ports.QueueStats, waiting, taken, dead int) (depth ports.QueueDepth) {
	t.Helper()
	want := ports.QueueDepth{Waiting: ports.Count{N: waiting}, Taken: ports.Count{N: taken}, Dead: ports.Count{N: dead}}
	var last ports.QueueDepth
	require.Eventually(t, func() bool {
		var err error
		depth, err = q.Stats(bounded(t))
		require.NoError(t, err)
		last = depth
		last.Oldest = time.Time{}
		return last == want
	}, timeout, 5*time.Millisecond, "%+v instead of %+v", &last, want)
	return depth
}

// Whichever queue it is: what waits, what is in hand, and since when the oldest waits.
func TestStats(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) asked{
		"Memory":          func(*testing.T) asked { return memory.NewQueue() },
		"WatermillMemory": func(t *testing.T) asked { return newMemory(t) },
		"Postgres": func(t *testing.T) asked {
			return newPostgres(t, newPool(t, pgtest.New(t).URL), watermillqueue.Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := open(t)
			require.Equal(t, ports.QueueDepth{}, awaitStats(t, q, 0, 0, 0))
			before := time.Now().Add(-time.Minute) // the database's clock may be another
			_, err := (queuetest.Singly{Queue: q}).Enqueue(t.Context(), jobsOf("acme", "old", 0, 3))
			require.NoError(t, err)
			first := awaitStats(t, q, 3, 0, 0).Oldest
			require.WithinRange(t, first, before, time.Now().Add(time.Minute))
			_, err = (queuetest.Singly{Queue: q}).Enqueue(t.Context(), jobsOf("beta", "young", 0, 2))
			require.NoError(t, err)
			require.Equal(t, first, awaitStats(t, q, 5, 0, 0).Oldest)

			var held []ports.Delivery
			for len(held) < 3 {
				got, err := q.Receive(bounded(t), 3-len(held), ports.Skip{Tenants: []core.TenantID{"beta"}})
				require.NoError(t, err)
				held = append(held, got...)
			}
			second := awaitStats(t, q, 2, 3, 0).Oldest
			require.True(t, second.After(first), "%s and %s", first, second)
			require.NoError(t, held[1].Ack(t.Context()))
			require.NoError(t, held[0].Nack(t.Context()))
			require.NoError(t, held[2].Ack(t.Context()))
			require.Equal(t, first, awaitStats(t, q, 3, 0, 0).Oldest, "what was given back is as old as it was")
			stopped, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = q.Stats(stopped)
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, q.Close())
			_, err = q.Stats(t.Context())
			require.ErrorIs(t, err, ports.ErrClosed)
		})
	}
}

// A server's lanes hold what was not asked for yet, and a stream the rest.
func TestStatsOfJetStream(t *testing.T) {
	t.Parallel()
	s := natsServer(t, nil)
	q := newJetStream(t, s, watermillqueue.Options{Lanes: 1, Prefetch: 4})
	require.Equal(t, ports.QueueDepth{}, awaitStats(t, q, 0, 0, 0))
	enqueue(t, q, jobsOf("acme", "run", 0, 10))
	depth := awaitStats(t, q, 6, 4, 0)
	require.WithinDuration(t, time.Now(), depth.Oldest, time.Minute)
	for range 10 {
		for _, d := range receive(t, q, 1, ports.Skip{}) {
			require.NoError(t, d.Ack(t.Context()))
		}
	}
	require.Equal(t, ports.QueueDepth{}, awaitStats(t, q, 0, 0, 0))
	s.Shutdown()
	_, err := q.Stats(t.Context())
	require.Error(t, err)
}

// Dead letters are counted, and are there for commands that take no jobs.
func TestStatsOfDeadLetters(t *testing.T) {
	t.Parallel()
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		q := onPostgres(t)
		q.put("not a job")
		go func() { _, _ = q.Receive(bounded(t), 1, ports.Skip{}) }() // or nothing is fetched; Close ends it
		awaitStats(t, q, 0, 0, 1)
	})
	t.Run("JetStream", func(t *testing.T) {
		t.Parallel()
		s := natsServer(t, nil)
		q := newJetStream(t, s, watermillqueue.Options{Lanes: 1})
		put := natsPut(t, s)
		put("not a job")
		awaitStats(t, q, 0, 0, 1)
		letters, done, err := watermillqueue.OpenDeadLetters(t.Context(), s.ClientURL(), quiet(watermillqueue.Options{Lanes: 1}))
		require.NoError(t, err)
		list, err := letters.List(bounded(t), 10)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "not a job", string(list[0].Payload))
		found, err := letters.Requeue(bounded(t), list[0].ID)
		require.NoError(t, err)
		require.Equal(t, 1, found)
		require.Eventually(t, func() bool { // it is as it was, so it comes back
			again, err := letters.List(bounded(t), 10)
			require.NoError(t, err)
			return len(again) == 1 && again[0].ID != list[0].ID
		}, timeout, 5*time.Millisecond)
		require.NoError(t, done())
	})
}

// Over a pair of which nothing can be asked, that is said.
func TestStatsUnknown(t *testing.T) {
	t.Parallel()
	_, err := onPair(t).Stats(t.Context())
	require.ErrorIs(t, err, ports.ErrUnknownDepth)
}

// A large backlog is counted so far and no further; what is in hand and the oldest are
// right all the same.
func TestStatsOfALargeBacklog(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	fill(t, pool, "acme", 30_000)
	fill(t, pool, "beta", 5)
	_, err := pool.Exec(t.Context(), `UPDATE queue_messages SET enqueued_at = now() - interval '3 hours'
		WHERE seq = (SELECT min(seq) FROM queue_messages WHERE tenant_id = 'beta')`)
	require.NoError(t, err)
	q := newPostgres(t, pool, watermillqueue.Options{})
	held := receive(t, q, 7, ports.Skip{Tenants: []core.TenantID{"beta"}})
	require.Len(t, held, 7)
	var depth ports.QueueDepth
	require.Eventually(t, func() bool { // what was fetched beyond that is given back
		depth, err = q.Stats(bounded(t))
		require.NoError(t, err)
		return depth.Taken == ports.Count{N: 7}
	}, timeout, 5*time.Millisecond)
	require.Equal(t, ports.Count{N: 10_000, More: true}, depth.Waiting)
	require.WithinDuration(t, time.Now().Add(-3*time.Hour), depth.Oldest, time.Minute)
}
