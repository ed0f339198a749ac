package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// testTimeout bounds what must happen; only a hang uses it up.
const testTimeout = time.Minute

// world is the use cases on a store in Postgres, with everything else in memory.
type world struct {
	*app.Service
	store *postgres.Store
	pool  *pgxpool.Pool
	queue *flakyQueue
	clock *memory.ManualClock
}

var (
	admin    = core.Actor{Subject: "root", Role: core.RolePlatformAdmin}
	customer = core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
)

// newWorld has a tenant "acme" with a published template "summarize" at 2
// credits a file, 10 credits of allowance for the month and 1,000,000 purchased.
func newWorld(t testing.TB, c postgres.Config, execute ports.ExecutorFunc) *world {
	t.Helper()
	w := emptyWorld(t, c, execute)
	w.addTenant(t, "acme")
	return w
}

// emptyWorld has no tenant.
func emptyWorld(t testing.TB, c postgres.Config, execute ports.ExecutorFunc) *world {
	t.Helper()
	store, pool := pgtest.Open(t, c)
	return worldOf(t, store, pool, execute)
}

func worldOf(t testing.TB, store *postgres.Store, pool *pgxpool.Pool, execute ports.ExecutorFunc) *world {
	t.Helper()
	w := &world{
		store: store, pool: pool,
		queue: &flakyQueue{Queue: memory.NewQueue()},
		clock: memory.NewManualClock(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)),
	}
	w.Service = install.Service(t, app.Deps{Store: store, Queue: w.queue, Executor: execute, Clock: w.clock}, app.Options{})
	return w
}

func (w *world) addTenant(t testing.TB, id core.TenantID) {
	t.Helper()
	install.Make(t, w.Service, install.Tenant{ID: id, Name: "Tenant " + string(id), Allowance: 10, Purchased: 1_000_000, Templates: []core.Template{
		{ID: "summarize", Instructions: "do it", CreditsPerRun: 2},
		{ID: "digest", Instructions: "do it", CreditsPerRun: 2, Mode: core.ModeBatch},
	}})
	require.NoError(t, w.Refill(t.Context()))
}

// initiate starts a run of n files.
func (w *world) initiate(ctx context.Context, tenant core.TenantID, n int) (core.Run, error) {
	files := make([]core.NewFile, n)
	for i := range files {
		files[i] = core.NewFile{Name: fmt.Sprintf("file-%d.txt", i), Ref: core.FileRef(fmt.Sprintf("ref-%d", i)), Size: 100}
	}
	return w.Initiate(ctx, admin, app.InitiateRequest{Tenant: tenant, Template: "summarize", Files: files})
}

// settled starts a run of n files and settles each with the outcome that the
// function gives it; no outcome leaves the file pending.
func (w *world) settled(t testing.TB, n int, outcome func(i int) core.Outcome) core.Run {
	t.Helper()
	return w.settledOf(t, "acme", n, outcome)
}

// settledOf is settled for a tenant.
func (w *world) settledOf(t testing.TB, tenant core.TenantID, n int, outcome func(i int) core.Outcome) core.Run {
	t.Helper()
	ctx := t.Context()
	run, err := w.initiate(ctx, tenant, n)
	require.NoError(t, err)
	w.queue.drain(t)
	w.settle(t, run, outcome)
	return w.read(t, run.ID)
}

// settle claims and settles every job of the run that has an outcome.
func (w *world) settle(t testing.TB, run core.Run, outcome func(i int) core.Outcome) {
	t.Helper()
	var jobs []core.Job
	for _, f := range w.files(t, run.ID) {
		if f.Status == core.FilePending && outcome(f.Index) != "" {
			jobs = append(jobs, core.Job{Tenant: run.Tenant, Run: run.ID, Epoch: f.Epoch, ID: core.FileJobID(run.ID, f.Index), Template: run.Template, Files: []int{f.Index}})
		}
	}
	claimed, _, err := w.Claim(t.Context(), jobs, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, len(jobs))
	settlements := make([]core.Settlement, len(jobs))
	for i, job := range jobs {
		settlements[i] = core.Settlement{Job: job, Results: []core.FileResult{resultOf(job.Files[0], outcome(job.Files[0]))}}
	}
	require.NoError(t, settle(t.Context(), w.Service, settlements))
}

func resultOf(index int, o core.Outcome) core.FileResult {
	r := core.FileResult{Index: index, Outcome: o}
	if o == core.OutcomeCompleted {
		r.Output = fmt.Sprintf("output %d", index)
	} else {
		r.Failure = core.Failure{Code: "rate_limited", Message: "try later"}
	}
	return r
}

func allFail(int) core.Outcome { return core.OutcomeTransient }

func (w *world) read(t testing.TB, id core.RunID) core.Run {
	t.Helper()
	view, err := w.Run(t.Context(), admin, id)
	require.NoError(t, err)
	return view.Run
}

func (w *world) files(t testing.TB, id core.RunID) []core.File {
	t.Helper()
	files, err := w.RunFiles(t.Context(), admin, id, ports.FileFilter{Limit: 1_000_000, OutputBytes: 1 << 20})
	require.NoError(t, err)
	return files
}

func (w *world) balance(t testing.TB, tenant core.TenantID) core.Balance {
	t.Helper()
	b, err := w.Balance(t.Context(), admin, tenant)
	require.NoError(t, err)
	return b
}

// number reads one number by SQL.
func (w *world) number(t testing.TB, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	require.NoError(t, w.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

var errQueueDown = errors.New("queue down")

// flakyQueue is a queue that fails when it is told to, and remembers what it was
// asked to carry.
type flakyQueue struct {
	*memory.Queue
	mu       sync.Mutex
	fail     func() error // nil: never
	enqueued []core.Job
}

func (q *flakyQueue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	q.mu.Lock()
	fail := q.fail
	q.enqueued = append(q.enqueued, jobs...)
	q.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return 0, err
		}
	}
	return queuetest.Singly{Queue: q.Queue}.Enqueue(ctx, jobs)
}

func (q *flakyQueue) failWith(fail func() error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = fail
}

// drain throws away what waits and gives what was enqueued since the last time.
func (q *flakyQueue) drain(t testing.TB) []core.Job {
	t.Helper()
	for q.Len() > 0 {
		deliveries, err := q.Receive(t.Context(), 1000, ports.Skip{})
		require.NoError(t, err)
		for _, d := range deliveries {
			require.NoError(t, d.Ack(t.Context()))
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := q.enqueued
	q.enqueued = nil
	return jobs
}

// noExecution is for tests that settle by hand.
func noExecution(context.Context, ports.Task) ([]core.FileResult, error) {
	return nil, errors.New("nothing is executed here")
}

// together runs fn n times at the same moment and gives the errors in order.
func together(n int, fn func(i int) error) []error {
	start := make(chan struct{})
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// bounded ends when a hang is certain.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// settle records results of jobs of one run.
func settle(ctx context.Context, server *app.Service, settlements []core.Settlement) error {
	_, err := server.Settle(ctx, settlements, app.WaitForLock)
	return err
}
