package sqltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// testTimeout bounds what must happen; only a hang uses it up.
const testTimeout = time.Minute

// Database is what a suite asks beside the store.
type Database struct {
	// Rows reads by SQL, with arguments $1, $2 in the order of their first use.
	Rows func(ctx context.Context, sql string, args ...any) ([][]any, error)
	// Index is how the column with a file's index is called; SQL has {index} for it.
	Index string
	// Invariants fails the test if the database breaks one.
	Invariants func(t testing.TB)
}

// NewWorld makes a world whose store has at least so many connections, 0 for any number: with a
// tenant "acme" with a published template "summarize" at 2 credits a file, 10 credits of
// allowance for the month and 1,000,000 purchased.
type NewWorld func(t testing.TB, connections int, execute ports.ExecutorFunc) *World

// World is the use cases on a store in an SQL database, with everything else in memory.
type World struct {
	*app.Service

	Queue *Queue
	Clock *memory.ManualClock
	DB    Database
}

// New is the use cases on a store that may have something in it.
func New(t testing.TB, store ports.Store, db Database, execute ports.ExecutorFunc) *World {
	t.Helper()
	w := &World{
		Queue: &Queue{Queue: memory.NewQueue()},
		Clock: memory.NewManualClock(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)),
		DB:    db,
	}
	w.Service = install.Service(t, app.Deps{Store: store, Queue: w.Queue, Executor: execute, Clock: w.Clock}, app.Options{})
	return w
}

// Rows asks the database.
func (w *World) Rows(t testing.TB, sql string, args ...any) [][]any {
	t.Helper()
	rows, err := w.DB.Rows(t.Context(), strings.ReplaceAll(sql, "{index}", w.DB.Index), args...)
	require.NoError(t, err)
	return rows
}

// Number reads one number by SQL.
func (w *World) Number(t testing.TB, sql string, args ...any) int64 {
	t.Helper()
	rows := w.Rows(t, sql, args...)
	require.Len(t, rows, 1)
	switch n := rows[0][0].(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	}
	require.Fail(t, "no number", "%T %v", rows[0][0], rows[0][0])
	return 0
}

var (
	Admin    = core.Actor{Subject: "root", Role: core.RolePlatformAdmin}
	Customer = core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
)

func (w *World) AddTenant(t testing.TB, id core.TenantID) {
	t.Helper()
	install.Make(t, w.Service, install.Tenant{ID: id, Name: "Tenant " + string(id), Allowance: 10, Purchased: 1_000_000, Templates: []core.Template{
		{ID: "summarize", Instructions: "do it", CreditsPerRun: 2},
		{ID: "digest", Instructions: "do it", CreditsPerRun: 2, Mode: core.ModeBatch},
	}})
	require.NoError(t, w.Refill(t.Context()))
}

// Start starts a run of n files.
func (w *World) Start(ctx context.Context, tenant core.TenantID, n int) (core.Run, error) {
	files := make([]core.NewFile, n)
	for i := range files {
		files[i] = core.NewFile{Name: fmt.Sprintf("file-%d.txt", i), Ref: core.FileRef(fmt.Sprintf("ref-%d", i)), Size: 100}
	}
	return w.Initiate(ctx, Admin, app.InitiateRequest{Tenant: tenant, Template: "summarize", Files: files})
}

// Settled starts a run of n files and settles each with the outcome that the
// function gives it; no outcome leaves the file pending.
func (w *World) Settled(t testing.TB, n int, outcome func(i int) core.Outcome) core.Run {
	t.Helper()
	return w.SettledOf(t, "acme", n, outcome)
}

// SettledOf is Settled for a tenant.
func (w *World) SettledOf(t testing.TB, tenant core.TenantID, n int, outcome func(i int) core.Outcome) core.Run {
	t.Helper()
	run, err := w.Start(t.Context(), tenant, n)
	require.NoError(t, err)
	w.Queue.Drain(t)
	w.SettleAll(t, run, outcome)
	return w.Read(t, run.ID)
}

// SettleAll claims and settles every job of the run that has an outcome.
func (w *World) SettleAll(t testing.TB, run core.Run, outcome func(i int) core.Outcome) {
	t.Helper()
	var jobs []core.Job
	for _, f := range w.FilesOf(t, run.ID) {
		if f.Status == core.FilePending && outcome(f.Index) != "" {
			jobs = append(jobs, core.Job{Tenant: run.Tenant, Run: run.ID, Epoch: f.Epoch, ID: core.FileJobID(run.ID, f.Index), Template: run.Template, Files: []int{f.Index}})
		}
	}
	claimed, _, err := w.Claim(t.Context(), jobs, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, len(jobs))
	settlements := make([]core.Settlement, len(jobs))
	for i, job := range jobs {
		settlements[i] = core.Settlement{Job: job, Results: []core.FileResult{ResultOf(job.Files[0], outcome(job.Files[0]))}}
	}
	require.NoError(t, Settle(t.Context(), w.Service, settlements))
}

func ResultOf(index int, o core.Outcome) core.FileResult {
	r := core.FileResult{Index: index, Outcome: o}
	if o == core.OutcomeCompleted {
		r.Output = fmt.Sprintf("output %d", index)
	} else {
		r.Failure = core.Failure{Code: "rate_limited", Message: "try later"}
	}
	return r
}

func AllFail(int) core.Outcome { return core.OutcomeTransient }

func (w *World) Read(t testing.TB, id core.RunID) core.Run {
	t.Helper()
	view, err := w.Run(t.Context(), Admin, id)
	require.NoError(t, err)
	return view.Run
}

func (w *World) FilesOf(t testing.TB, id core.RunID) []core.File {
	t.Helper()
	files, err := w.RunFiles(t.Context(), Admin, id, ports.FileFilter{Limit: 1_000_000, OutputBytes: 1 << 20})
	require.NoError(t, err)
	return files
}

func (w *World) BalanceOf(t testing.TB, tenant core.TenantID) core.Balance {
	t.Helper()
	b, err := w.Balance(t.Context(), Admin, tenant)
	require.NoError(t, err)
	return b
}

var ErrQueueDown = errors.New("queue down")

// Queue is a queue that fails when it is told to, and remembers what it was
// asked to carry.
type Queue struct {
	*memory.Queue
	mu       sync.Mutex
	fail     func() error // nil: never
	enqueued []core.Job
}

func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
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

func (q *Queue) FailWith(fail func() error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = fail
}

// Drain throws away what waits and gives what was enqueued since the last time.
func (q *Queue) Drain(t testing.TB) []core.Job {
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

// NoExecution is for tests that settle by hand.
func NoExecution(context.Context, ports.Task) ([]core.FileResult, error) {
	return nil, errors.New("nothing is executed here")
}

// Together runs fn n times at the same moment and gives the errors in order.
func Together(n int, fn func(i int) error) []error {
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

// Bounded ends when a hang is certain.
func Bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// Settle records results of jobs of one run.
func Settle(ctx context.Context, server *app.Service, settlements []core.Settlement) error {
	_, err := server.Settle(ctx, settlements, app.WaitForLock)
	return err
}
