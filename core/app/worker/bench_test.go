package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

const (
	tenant   = core.TenantID("acme")
	globex   = core.TenantID("globex")
	template = core.TemplateID("t")
	other    = core.TemplateID("u")
)

var platform = core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}

// bench is a service with two tenants, each with two templates at one credit a
// file.
type bench struct {
	t     testing.TB
	store *flakyStore
	queue *memory.Queue
	feed  ports.Feed // the queue, unless a test puts something in front of it
	clock *memory.ManualClock
	deps  app.Deps
	svc   *app.Service
}

// flakyStore fails transactions as told.
type flakyStore struct {
	*memory.Store
	fail   atomic.Int64 // transactions still to fail
	begun  atomic.Int64 // transactions that were begun
	wrap   atomic.Pointer[func(ports.Tx) ports.Tx]
	ending atomic.Pointer[func()] // called at the end of each, before the commit
	due    atomic.Pointer[func()] // called when endpoints with something due are asked for
}

func (s *flakyStore) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	if asked := s.due.Load(); asked != nil {
		(*asked)()
	}
	return s.Store.DueEndpoints(ctx, now, after, limit)
}

var errStore = errors.New("database unreachable")

func (s *flakyStore) InTx(ctx context.Context, t core.TenantID, fn func(ports.Tx) error) error {
	s.begun.Add(1)
	if s.fail.Add(-1) >= 0 {
		return errStore
	}
	return s.Store.InTx(ctx, t, func(tx ports.Tx) error {
		if wrap := s.wrap.Load(); wrap != nil {
			tx = (*wrap)(tx)
		}
		err := fn(tx)
		if ending := s.ending.Load(); ending != nil {
			(*ending)()
		}
		return err
	})
}

// benchOption changes what a bench is made of.
type benchOption func(*app.Deps, *app.Options)

// withSystemClock is for tests in a bubble of testing/synctest, where the machine's
// clock is the test's own.
func withSystemClock(d *app.Deps, _ *app.Options) { d.Clock = app.SystemClock{} }

func newBench(t testing.TB, executor ports.Executor, with ...benchOption) *bench {
	t.Helper()
	b := &bench{
		t: t, store: &flakyStore{Store: memory.NewStore()}, queue: memory.NewQueue(),
		clock: memory.NewManualClock(time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)),
	}
	b.feed = b.queue
	options := app.DefaultOptions()
	options.Retry = core.RetryPolicy{MaxTries: 1}
	deps := app.Deps{
		Store: b.store, Queue: queuetest.Singly{Queue: b.queue}, Executor: executor, Files: memory.NewFiles(),
		Clock: b.clock, IDs: memory.NewSequence("run"),
	}
	for _, w := range with {
		w(&deps, &options)
	}
	b.deps = deps
	b.svc = install.Service(t, deps, options)
	templates := []core.Template{{ID: template, CreditsPerRun: 1}, {ID: other, CreditsPerRun: 1}}
	install.Make(t, b.svc,
		install.Tenant{ID: tenant, Purchased: 1_000_000, Templates: templates},
		install.Tenant{ID: globex, Purchased: 1_000_000, Templates: templates},
	)
	return b
}

// initiate starts a run of the first tenant's first template over n files.
func (b *bench) initiate(n int) core.RunID { return b.initiateFor(tenant, template, n) }

func (b *bench) initiateFor(tenant core.TenantID, template core.TemplateID, n int) core.RunID {
	b.t.Helper()
	req := app.InitiateRequest{Tenant: tenant, Template: template}
	for i := range n {
		req.Files = append(req.Files, core.NewFile{Name: fmt.Sprint("f", i), Ref: "f"})
	}
	run, err := b.svc.Initiate(context.Background(), platform, req)
	require.NoError(b.t, err)
	return run.ID
}

func (b *bench) run(id core.RunID) core.Run {
	v, err := b.svc.Run(context.Background(), platform, id)
	require.NoError(b.t, err)
	return v.Run
}

func (b *bench) files(id core.RunID) []core.File {
	b.t.Helper()
	files, err := b.svc.RunFiles(context.Background(), platform, id, ports.FileFilter{Limit: 10_000, OutputBytes: 1 << 20})
	require.NoError(b.t, err)
	return files
}

// start runs a worker; stop ends it and gives what Run returned.
func (b *bench) start(o worker.Options) (stop func() error) {
	b.t.Helper()
	_, cancel, wait := b.launch(o)
	return func() error {
		cancel()
		return wait()
	}
}

// launch runs a worker; cancel tells it to stop, wait gives what Run returned.
func (b *bench) launch(o worker.Options) (w *worker.Worker, cancel func(), wait func() error) {
	b.t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w, err := worker.New(b.svc, b.feed, o)
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	wait = sync.OnceValue(func() error { return <-ended })
	b.t.Cleanup(func() {
		cancel()
		gone := make(chan struct{})
		go func() {
			_ = wait() // the tests that care have looked
			close(gone)
		}()
		for { // a drain must not keep a test that failed from saying so
			b.clock.Advance(time.Second)
			select {
			case <-gone:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return w, cancel, wait
}

func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	require.Eventually(b.t, is, 20*time.Second, time.Millisecond, what)
}

func (b *bench) eventuallyClosed(id core.RunID, want core.RunStatus) {
	b.t.Helper()
	b.eventually("run closes", func() bool { return b.run(id).Status.Closed() })
	require.Equal(b.t, want, b.run(id).Status)
}

// lockRun holds a run's row until free is called.
func (b *bench) lockRun(id core.RunID) (free func()) {
	b.t.Helper()
	locked, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = b.store.Store.InTx(context.Background(), tenant, func(tx ports.Tx) error { // rolled back: nothing to tell
			_, err := ports.LockRun(context.Background(), tx, id)
			close(locked)
			<-end
			return errors.Join(err, errors.New("roll back"))
		})
	}()
	<-locked
	free = sync.OnceFunc(func() { close(end) })
	b.t.Cleanup(free)
	return free
}

func completed(task ports.Task) []core.FileResult {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
	}
	return results
}

// failed fails every file of a task transiently.
func failed(task ports.Task, code string, retryAfter time.Duration) []core.FileResult {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: code}, RetryAfter: retryAfter}
	}
	return results
}

// completes is an executor without work.
var completes = ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	return completed(task), nil
})

// gate is an executor whose jobs wait to be let go.
type gate struct {
	mu        sync.Mutex
	executing map[core.JobID]chan struct{}
	executed  map[core.JobID]int
	most      map[string]int // jobs at once, by tenant and by tenant/template
	now       map[string]int
	open      bool
	full      atomic.Bool // for tests that have several
}

func newGate() *gate {
	return &gate{
		executing: map[core.JobID]chan struct{}{}, executed: map[core.JobID]int{},
		most: map[string]int{}, now: map[string]int{},
	}
}

func (g *gate) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	keys := []string{"", string(task.Job.Tenant), string(task.Job.Tenant) + "/" + string(task.Template.ID)}
	g.mu.Lock()
	let := make(chan struct{})
	g.executing[task.Job.ID] = let
	g.executed[task.Job.ID]++
	for _, k := range keys {
		g.now[k]++
		g.most[k] = max(g.most[k], g.now[k])
	}
	if g.open {
		close(let)
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.executing, task.Job.ID)
		for _, k := range keys {
			g.now[k]--
		}
	}()
	select {
	case <-let:
		return completed(task), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// running counts jobs that are being executed, of a tenant, of a tenant/template,
// or for "" all.
func (g *gate) running(what string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now[what]
}

func (g *gate) mostRunning(what string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most[what]
}

// letOne lets one job of a run go, and reports whether there was one.
func (g *gate) letOne(run core.RunID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, let := range g.executing {
		if strings.HasPrefix(string(id), string(run)+":") || core.JobID(run) == id {
			close(let)
			delete(g.executing, id)
			return true
		}
	}
	return false
}

// letAll lets everything go from now on.
func (g *gate) letAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for id, let := range g.executing {
		close(let)
		delete(g.executing, id)
	}
}

// executions counts how often jobs were executed in all, and the most of any one.
func (g *gate) executions() (all, mostOfOne int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.executed {
		all, mostOfOne = all+n, max(mostOfOne, n)
	}
	return all, mostOfOne
}
