package bench

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

const (
	template = core.TemplateID("noop")
)

// tenants is over how many tenants the groups are spread: runs of one tenant wait
// for its credits, which is for the ledger's sake and not the queue's.
const tenants = 20

func tenantOf(group int) core.TenantID { return core.TenantID(fmt.Sprintf("bench-%d", group%tenants)) }

var operator = core.Actor{Subject: "bench", Role: core.RolePlatformAdmin}

type redriveSide struct {
	pool    *pgxpool.Pool
	svc     *app.Service
	feed    ports.Feed
	workers int

	failing  atomic.Bool // the executor fails every file
	executed atomic.Int64
}

func newRedrive(b *testing.B, server *pgtest.Server, workers int) *redriveSide {
	b.Helper()
	ctx := b.Context()
	config := postgres.Config{URL: server.New(b).URL, MaxConns: int32(*conns)}
	pool, err := postgres.Connect(ctx, config)
	require.NoError(b, err)
	b.Cleanup(pool.Close) // after the queue's
	store, err := postgres.New(pool, config)
	require.NoError(b, err)
	r := &redriveSide{pool: pool, workers: workers}
	queue, feed := newQueue(b, pool)
	r.feed = feed
	if q, ok := queue.(*watermillqueue.Queue); ok && *outbox {
		store = store.WithOutbox(q.Outbox())
	}
	r.svc, err = app.New(app.Deps{
		Store: store, Queue: queue, Executor: ports.ExecutorFunc(r.execute), Files: memory.NewFiles(),
		Log: quiet,
	}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	require.NoError(b, err)

	for i := range tenants {
		tenant := tenantOf(i)
		_, err = r.svc.CreateTenant(ctx, operator, tenant, "Bench", 0)
		require.NoError(b, err)
		_, err = r.svc.PurchaseCredits(ctx, operator, tenant, "all", 1<<40)
		require.NoError(b, err)
		_, err = r.svc.CreateTemplate(ctx, operator, core.Template{ID: template, Tenant: tenant, Name: "No-op", CreditsPerRun: 1, Mode: core.ModePerFile})
		require.NoError(b, err)
		_, err = r.svc.PublishTemplate(ctx, operator, tenant, template)
		require.NoError(b, err)
	}
	return r
}

// quiet lets the pool's errors through: a fault must not pass for slowness.
var quiet = slog.New(slog.NewTextHandler(testOutput{}, &slog.HandlerOptions{Level: slog.LevelWarn}))

func (r *redriveSide) database() *pgxpool.Pool { return r.pool }

func (r *redriveSide) execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "ok"}
		if r.failing.Load() {
			results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "no_answer", Message: "says nothing of the provider, so that its breaker stays closed"}}
		}
	}
	r.executed.Add(int64(len(results)))
	return results, nil
}

// work starts the worker pool, and gives what stops it.
func (r *redriveSide) work(b *testing.B) (stop func()) {
	b.Helper()
	pool, err := worker.New(r.svc, r.feed, worker.Options{Concurrency: r.workers, Log: quiet})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := pool.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

func (r *redriveSide) initiate(b *testing.B, l load) []core.RunID {
	b.Helper()
	files := make([]core.NewFile, l.each)
	for i := range files {
		files[i] = core.NewFile{Name: fmt.Sprintf("file-%d.txt", i), Ref: core.FileRef(fmt.Sprintf("sha256:%064d", i)), Size: 1000}
	}
	runs := make([]core.RunID, l.groups)
	require.NoError(b, l.eachGroup(func(group int) error {
		run, err := r.svc.Initiate(b.Context(), operator, app.InitiateRequest{Tenant: tenantOf(group), Template: template, Files: files})
		runs[group] = run.ID
		return err
	}))
	return runs
}

func (r *redriveSide) retryFailed(b *testing.B, l load, runs []core.RunID) {
	b.Helper()
	require.NoError(b, l.eachGroup(func(group int) error {
		_, err := r.svc.RetryFailed(b.Context(), operator, runs[group], app.RetryRequest{})
		return err
	}))
}

// closed waits until as many jobs have been executed since and no run is
// running. The database is asked only once everything was executed, so that the
// question takes nothing from the answer.
func (r *redriveSide) closed(b *testing.B, since int64, jobs int) {
	b.Helper()
	late := time.Now().Add(timeout)
	for r.executed.Load() < since+int64(jobs) {
		require.Less(b, time.Now(), late, "Redrive did not execute its jobs")
		time.Sleep(time.Millisecond)
	}
	for {
		var running bool
		require.NoError(b, r.pool.QueryRow(b.Context(), `SELECT EXISTS (SELECT FROM runs WHERE status = 'RUNNING')`).Scan(&running))
		if !running {
			return
		}
		require.Less(b, time.Now(), late, "Redrive did not close its runs")
		time.Sleep(time.Millisecond)
	}
}

func (r *redriveSide) measure(b *testing.B, l load, timed stopwatch) (f figures) {
	b.Helper()
	stop := r.work(b)
	r.initiate(b, warmUp)
	r.closed(b, 0, warmUp.jobs())

	before := r.executed.Load()
	f.endToEnd = timed("end to end", func() {
		r.initiate(b, l)
		r.closed(b, before, l.jobs())
	})

	r.failing.Store(true)
	before = r.executed.Load()
	failed := r.initiate(b, l)
	r.closed(b, before, l.jobs())
	r.failing.Store(false)
	before = r.executed.Load()
	f.again = timed("Continue end to end", func() {
		r.retryFailed(b, l, failed)
		r.closed(b, before, l.jobs())
	})
	stop()

	r.initiate(b, l)
	before = r.executed.Load()
	f.workOnly = timed("work only", func() {
		stop = r.work(b)
		r.closed(b, before, l.jobs())
	})
	stop()

	// Everything was done, once, and the books agree.
	var files, left int
	require.NoError(b, r.pool.QueryRow(b.Context(),
		`SELECT count(*), count(*) FILTER (WHERE status <> 'completed') FROM files`).Scan(&files, &left))
	require.Equal(b, 3*l.jobs()+warmUp.jobs(), files)
	require.Zero(b, left)
	for i := range tenants {
		differences, err := r.svc.CheckLedger(b.Context(), operator, tenantOf(i))
		require.NoError(b, err)
		require.Empty(b, differences)
	}
	return f
}
