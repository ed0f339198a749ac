package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// runWorker runs a pool on the world's queue until stop is called, or the test ends.
func (w *world) runWorker(t testing.TB, o worker.Options) (pool *worker.Worker, stop func()) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	pool, err := worker.New(w.Service, w.Queue, o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return pool, stop
}

// 200 jobs that take long are worked on at once with a pool of 10 connections, and
// while they are, no transaction is open for them: leases are renewed in short ones,
// and everybody else finds the database free.
func TestExecutorsHoldNoTransaction(t *testing.T) {
	t.Parallel()
	const jobs, connections = 200, 10
	release := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	var executing atomic.Int64
	w := newWorld(t, postgres.Config{MaxConns: connections}, func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		executing.Add(1)
		<-release
		return []core.FileResult{resultOf(task.Files[0].Index, core.OutcomeCompleted)}, nil
	})
	w.AddTenant(t, "globex")
	var runs []core.Run
	for i := range 4 {
		run, err := w.Start(t.Context(), []core.TenantID{"acme", "globex"}[i%2], jobs/4)
		require.NoError(t, err)
		runs = append(runs, run)
	}
	// A connection of our own, so that looking changes nothing.
	watch, err := pgx.Connect(t.Context(), w.pool.Config().ConnString())
	require.NoError(t, err)
	defer func() { require.NoError(t, watch.Close(context.Background())) }()
	count := func(where string) (n int) {
		require.NoError(t, watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND `+where).Scan(&n))
		return n
	}
	noTransaction := func() bool { return count(`xact_start IS NOT NULL`) == 0 }

	pool, stop := w.runWorker(t, worker.Options{Concurrency: jobs, RecoverEvery: 24 * time.Hour})
	defer letGo() // before the pool is waited for
	require.Eventually(t, func() bool { return executing.Load() == jobs }, testTimeout, time.Millisecond)
	require.Eventually(t, noTransaction, testTimeout, time.Millisecond, "all jobs hang in the executor")

	lease := w.Options().Recovery.Lease
	for round := range 10 { // three leases
		w.Clock.Advance(lease/3 + time.Second)
		behind := func() bool {
			return count(`xact_start IS NOT NULL`) > 6 || // Transactions, and half as many
				w.Number(t, `SELECT count(*) FROM files WHERE status = 'processing' AND lease_until < $1`, w.Clock.Now().Add(lease)) > 0
		}
		require.Eventually(t, func() bool { return !behind() }, testTimeout, time.Millisecond, "every lease is renewed, round %d", round)
		require.Eventually(t, noTransaction, testTimeout, time.Millisecond)
		require.LessOrEqual(t, count(`true`), connections)
	}
	require.GreaterOrEqual(t, pool.Stats().RenewGroups, int64(20))
	require.LessOrEqual(t, pool.Stats().RenewGroups, int64(40), "leases are renewed by tenant, not job by job")
	require.EqualValues(t, jobs, pool.Stats().Running)
	_, err = w.Cancel(t.Context(), admin, runs[3].ID) // the database is there for others
	require.NoError(t, err)

	letGo()
	require.Eventually(t, func() bool {
		return w.Number(t, `SELECT count(*) FROM runs WHERE status = 'COMPLETED'`) == 3
	}, testTimeout, time.Millisecond)
	stop()
	require.EqualValues(t, jobs, executing.Load(), "nothing was executed twice")
	w.requireInvariants(t)
}

// BenchmarkWorker works no-op jobs from the memory queue through a database with
// fsync on: claim, execute, settle, close. The figure to look at is jobs/s.
func BenchmarkWorker(b *testing.B) {
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	const files = 1000
	for _, c := range []struct{ concurrency, tenants, runs int }{
		{100, 1, 20}, {500, 1, 20}, {500, 4, 5}, {500, 1, 1}, {1000, 1, 20},
	} {
		b.Run(fmt.Sprintf("concurrency=%d/tenants=%d/runs=%d", c.concurrency, c.tenants, c.runs), func(b *testing.B) {
			w := newWorld(b, postgres.Config{URL: server.New(b).URL, MaxConns: 16}, func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
				return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted}}, nil
			})
			total := int64(0)
			for tenant := range c.tenants {
				id := core.TenantID(fmt.Sprint("tenant-", tenant))
				w.AddTenant(b, id)
				for range c.runs * b.N {
					n := files
					if c.runs == 1 {
						n = 10 * files
					}
					_, err := w.Start(b.Context(), id, n)
					require.NoError(b, err)
					total += int64(n)
				}
			}
			_, err := w.pool.Exec(b.Context(), `VACUUM ANALYZE`)
			require.NoError(b, err)
			b.ResetTimer()
			pool, stop := w.runWorker(b, worker.Options{Concurrency: c.concurrency})
			for pool.Stats().Settled < total {
				time.Sleep(time.Millisecond)
			}
			elapsed := b.Elapsed()
			b.StopTimer()
			stop()
			require.Zero(b, w.Number(b, `SELECT count(*) FROM runs WHERE status <> 'COMPLETED'`))
			s := pool.Stats()
			b.ReportMetric(float64(total)/elapsed.Seconds(), "jobs/s")
			b.ReportMetric(float64(s.Claimed)/float64(s.ClaimGroups), "jobs/claim")
			b.ReportMetric(float64(s.Settled)/float64(s.SettleGroups), "jobs/settle")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var (
	_ = app.Options{}
	_ = memory.NewQueue
)
