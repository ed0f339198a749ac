package watermillqueue_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func newPostgres(t testing.TB, pool *pgxpool.Pool, o watermillqueue.Options) *watermillqueue.Queue {
	t.Helper()
	q, err := watermillqueue.OpenPostgres(pool, quiet(o))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		q := newPostgres(t, newPool(t, pgtest.New(t).URL), watermillqueue.Options{})
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true, Fair: true, Quiet: 200 * time.Millisecond}
	})
}

func TestPostgresDeliversAfterTheLease(t *testing.T) {
	t.Parallel()
	queuetest.RunLease(t, func(t *testing.T) queuetest.Subject {
		q := newPostgres(t, newPool(t, pgtest.New(t).URL), watermillqueue.Options{Lease: time.Second, PollInterval: 100 * time.Millisecond})
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close}
	})
}

func onPostgres(t *testing.T) queueOn {
	t.Helper()
	pool := newPool(t, pgtest.New(t).URL)
	q := newPostgres(t, pool, watermillqueue.Options{PollInterval: 20 * time.Millisecond})
	return queueOn{q, func(payload string) {
		_, err := pool.Exec(t.Context(), `INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
			VALUES ('acme', 't', gen_random_uuid(), 1, '{}', $1)`, payload)
		require.NoError(t, err)
	}}
}

func rowsOf(t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM queue_messages").Scan(&n))
	return n
}

// What is in hand when a server stops is there for the next one at once, and what
// was acked is gone, however early in a batch the stop comes.
func TestPostgresCloseLosesNothing(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	const n = 500
	seen := map[core.JobID]int{}
	first := newPostgres(t, pool, watermillqueue.Options{})
	enqueue(t, first, jobsOf("acme", "run", 0, n))
	for stops, q := 0, first; len(seen) < n; stops++ {
		got, err := q.Receive(bounded(t), 50, ports.Skip{})
		require.NoError(t, err)
		for i, d := range got {
			switch {
			case i%3 == 0:
				require.NoError(t, d.Ack(t.Context()))
				seen[d.Jobs()[0].ID]++
			case i%3 == 1 && stops%2 == 0:
				require.NoError(t, d.Nack(t.Context()))
			}
		}
		require.NoError(t, q.Close())
		require.Equal(t, n-len(seen), rowsOf(t, pool), "acked rows are deleted and no others")
		q = newPostgres(t, pool, watermillqueue.Options{})
	}
	for id, times := range seen {
		require.Equal(t, 1, times, id)
	}
}

// No connection and no transaction is used while jobs are in workers' hands.
func TestPostgresHoldsNothingForDeliveries(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	q := newPostgres(t, pool, watermillqueue.Options{})
	enqueue(t, q, jobsOf("acme", "run", 0, 300))
	held := receive(t, q, 300, ports.Skip{})
	require.Len(t, held, 300)
	// A statement of a look for more may be under way at any one moment; what is
	// held while jobs are in hand would be held at all of them.
	require.Eventually(t, func() bool {
		var open int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`).Scan(&open))
		return open == 0 && pool.Stat().AcquiredConns() == 0
	}, timeout, time.Millisecond)
}

// A delivery that is never answered comes again when its lease has run out, and
// an answer that comes later still is no harm.
func TestPostgresLease(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	o := watermillqueue.Options{Lease: 300 * time.Millisecond, PollInterval: 20 * time.Millisecond}
	dead, alive := newPostgres(t, pool, o), newPostgres(t, pool, o)
	enqueue(t, dead, jobsOf("acme", "run", 0, 2))
	held := receive(t, dead, 2, ports.Skip{})
	again := receive(t, alive, 2, ports.Skip{})
	require.NoError(t, held[0].Nack(t.Context())) // it has no hold on the new delivery
	nothing(t, alive, 100*time.Millisecond)
	for _, d := range again {
		require.NoError(t, d.Ack(t.Context()))
	}
	require.Eventually(t, func() bool { return rowsOf(t, pool) == 0 }, timeout, time.Millisecond)
}

func TestPostgresWakesOtherServers(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	o := watermillqueue.Options{PollInterval: time.Hour} // only a notification helps
	sender, receiver := newPostgres(t, pool, o), newPostgres(t, pool, o)
	for i := range 5 {
		got := make(chan []ports.Delivery)
		go func() {
			d, err := receiver.Receive(bounded(t), 1, ports.Skip{})
			if err != nil {
				t.Error(err)
			}
			got <- d
		}()
		if i == 2 { // the listener comes back by itself
			_, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
			require.NoError(t, err)
		}
		enqueue(t, sender, jobsOf("acme", "run", i, i+1))
		for _, d := range <-got {
			require.NoError(t, d.Ack(t.Context()))
		}
	}
}

// A restart of Postgres ends every connection; a caller that waits goes on waiting and
// then gets its jobs.
func TestPostgresSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t, pgtest.Options{})
	pool := newPool(t, s.New(t).URL)
	q := newPostgres(t, pool, watermillqueue.Options{PollInterval: 50 * time.Millisecond})
	enqueue(t, q, jobsOf("acme", "run", 0, 3))
	held := receive(t, q, 1, ports.Skip{})
	got := make(chan []ports.Delivery)
	s.Stop(t)
	require.NoError(t, held[0].Ack(t.Context()), "the answer is sent when Postgres is back")
	go func() { got <- receive(t, q, 3, ports.Skip{}) }()
	_, err := q.Enqueue(bounded(t), jobsOf("acme", "run", 9, 10))
	require.Error(t, err)
	s.Start(t)
	require.Eventually(t, func() bool {
		_, err := q.Enqueue(bounded(t), jobsOf("acme", "run", 3, 4))
		return err == nil
	}, timeout, 20*time.Millisecond)
	for _, d := range <-got {
		require.NotEqual(t, held[0].Jobs()[0], d.Jobs()[0])
		require.NoError(t, d.Ack(t.Context()))
	}
	require.Eventually(t, func() bool { return rowsOf(t, pool) == 0 }, timeout, 5*time.Millisecond)
}

// Far more than a statement's 65,535 parameters, twice, and each job is there once.
func TestPostgresPublishesInChunks(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	q := newPostgres(t, pool, watermillqueue.Options{CommitAsync: true})
	const n = 30_000 // 150,000 values
	for range 2 {
		enqueue(t, q, jobsOf("acme", "run", 0, n))
		require.Equal(t, n, rowsOf(t, pool))
	}
	drain(t, q, 3, 300, n)
	nothing(t, q, 100*time.Millisecond)
}

// Two servers and tenants whose jobs are skipped by one of them.
func TestPostgresServersShareTheQueue(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	a, b := newPostgres(t, pool, watermillqueue.Options{}), newPostgres(t, pool, watermillqueue.Options{})
	enqueue(t, a, jobsOf("acme", "run", 0, 200))
	enqueue(t, b, jobsOf("beta", "run", 0, 200))
	seen := map[core.TenantID]int{}
	for range 200 {
		for _, d := range receive(t, a, 1, ports.Skip{Tenants: []core.TenantID{"beta"}}) {
			seen[d.Jobs()[0].Tenant]++
			require.NoError(t, d.Ack(t.Context()))
		}
	}
	require.Equal(t, map[core.TenantID]int{"acme": 200}, seen)
	drain(t, b, 2, 50, 200)
}

// A queue without its tables says so when it is used, and works once they are there.
func TestPostgresWithoutTables(t *testing.T) {
	t.Parallel()
	q := newPostgres(t, newPool(t, pgtest.NewEmpty(t).URL), watermillqueue.Options{})
	accepted, err := q.Enqueue(bounded(t), jobsOf("acme", "run", 0, 1))
	require.ErrorContains(t, err, "queue_messages")
	require.Zero(t, accepted)
	_, err = q.DeadLetters().List(bounded(t), 1)
	require.ErrorContains(t, err, "queue_dead")
}
