package app_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// The actors and IDs that the tests of this package share.
const (
	acme     = core.TenantID("acme")
	globex   = core.TenantID("globex")
	template = core.TemplateID("summarise")
)

var (
	platform = core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}
	admin    = core.Actor{Subject: "ada", Tenant: acme, Role: core.RoleCustomerAdmin}
	user     = core.Actor{Subject: "uma", Tenant: acme, Role: core.RoleCustomerUser}
	stranger = core.Actor{Subject: "sam", Tenant: globex, Role: core.RoleCustomerAdmin}
	began    = time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)
)

// world is the use cases on the memory adapters, with a queue and a store that fail when
// a test says so, and an executor that follows a script.
type world struct {
	t     install.TB
	ctx   context.Context
	store *memory.Store
	queue *memory.Queue
	clock *memory.ManualClock
	files *memory.Files
	svc   *app.Service

	stored int // requests whose files the caller has stored

	arrived chan struct{} // gets one for each request that begins to wait for its turn

	faultyQueue *faultyQueue
	faultyStore *faultyStore
	script      *script
	inbox       *inbox

	deps    app.Deps // of svc
	options app.Options
}

// sleepingClock is a manual clock on which sleeping moves the time.
type sleepingClock struct{ *memory.ManualClock }

func (c sleepingClock) Sleep(ctx context.Context, d time.Duration) error {
	c.Advance(d)
	return ctx.Err()
}

type worldOption func(*core.Template, *app.Options)

func withPrice(c core.Credits) worldOption {
	return func(t *core.Template, _ *app.Options) { t.CreditsPerRun = c }
}

func withBatch() worldOption {
	return func(t *core.Template, _ *app.Options) { t.Mode = core.ModeBatch }
}

func withOptions(change func(*app.Options)) worldOption {
	return func(_ *core.Template, o *app.Options) { change(o) }
}

// newWorld has two tenants; acme has a published template at 10 credits a file,
// 100 credits of monthly allowance and 50 purchased.
func newWorld(t install.TB, opts ...worldOption) *world {
	t.Helper()
	w := &world{
		t: t, ctx: context.Background(), store: memory.NewStore(), queue: memory.NewQueue(),
		clock: memory.NewManualClock(began), script: &script{}, files: memory.NewFiles(),
		arrived: make(chan struct{}, 100), inbox: &inbox{},
	}
	w.faultyQueue = &faultyQueue{Queue: w.queue}
	w.faultyStore = &faultyStore{Store: w.store}
	tmpl := core.Template{ID: template, Tenant: acme, Name: "Summarise", Instructions: "Summarise.", CreditsPerRun: 10, Mode: core.ModePerFile}
	options := app.DefaultOptions()
	options.Retry = core.RetryPolicy{MaxTries: 1} // in-job retries have tests of their own
	options.Roll = func() float64 { return 1 }
	for _, o := range opts {
		o(&tmpl, &options)
	}
	w.deps, w.options = app.Deps{
		Store: w.faultyStore, Queue: w.faultyQueue, Executor: w.script, Files: w.files,
		Clock: sleepingClock{w.clock}, IDs: memory.NewSequence("run"), NewWait: w.newWait, Webhooks: w.inbox,
	}, options
	w.svc = install.Service(t, w.deps, w.options)
	install.Make(t, w.svc,
		install.Tenant{ID: acme, Granted: 100, Purchased: 50, Templates: []core.Template{tmpl}},
		install.Tenant{ID: globex},
	)
	return w
}

// newWait is as the default one, and reports each request that begins to wait.
func (w *world) newWait() (wait func(context.Context) error, wake func()) {
	woken := make(chan struct{})
	w.arrived <- struct{}{}
	return func(ctx context.Context) error {
		select {
		case <-woken:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func() { close(woken) }
}

func (w *world) grant(c core.Credits) {
	w.t.Helper()
	key := core.Key(fmt.Sprintf("allowance-%d", len(w.entries())))
	_, err := w.svc.GrantAllowance(w.ctx, platform, acme, key, core.PeriodOf(w.clock.Now()), c)
	require.NoError(w.t, err)
}

func (w *world) purchase(c core.Credits) {
	w.t.Helper()
	_, err := w.svc.PurchaseCredits(w.ctx, platform, acme, core.Key(fmt.Sprintf("purchase-%d", len(w.entries()))), c)
	require.NoError(w.t, err)
}

// request asks for a run over n files named file-0, file-1, …, which the caller
// has stored by itself.
func (w *world) request(n int) app.InitiateRequest {
	w.t.Helper()
	req := app.InitiateRequest{Tenant: acme, Template: template}
	own := core.RunID(fmt.Sprintf("own-%d", w.stored))
	w.stored++
	upload, err := w.files.Begin(w.ctx, acme, own, began)
	require.NoError(w.t, err)
	for i := range n {
		name := fmt.Sprintf("file-%d", i)
		f, err := upload.Add(w.ctx, strings.NewReader("content of "+name))
		require.NoError(w.t, err)
		req.Files = append(req.Files, core.NewFile{Name: name, Ref: f.Ref, Size: f.Size, Digest: f.Digest})
	}
	require.NoError(w.t, w.files.Keep(w.ctx, acme, own))
	return req
}

func (w *world) initiate(n int) core.Run {
	w.t.Helper()
	run, err := w.svc.Initiate(w.ctx, admin, w.request(n))
	require.NoError(w.t, err)
	return run
}

// workAll works every job that waits in the queue, and those that appear meanwhile.
func (w *world) workAll() {
	w.t.Helper()
	for w.queue.Len() > 0 {
		deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(w.t, err)
		require.NoError(w.t, w.svc.Work(w.ctx, deliveries[0]))
	}
}

// closedRun has worked a run whose files ended as given: c(ompleted), f(ailed), e(rror).
func (w *world) closedRun(outcomes string) core.Run {
	w.t.Helper()
	w.script.set(outcomes)
	run := w.initiate(len(outcomes))
	w.workAll()
	return w.run(run.ID)
}

// mixedRun has files as given, p standing for pending: the run was cancelled
// once the others had been worked.
func (w *world) mixedRun(outcomes string) core.Run {
	w.t.Helper()
	w.script.set(strings.ReplaceAll(outcomes, "p", "c"))
	run := w.initiate(len(outcomes))
	for range len(outcomes) {
		deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(w.t, err)
		if job := deliveries[0].Jobs()[0]; outcomes[job.Files[0]] != 'p' {
			require.NoError(w.t, w.svc.Work(w.ctx, deliveries[0]))
		} else {
			require.NoError(w.t, deliveries[0].Ack(w.ctx)) // the message is lost
		}
	}
	_, err := w.svc.Cancel(w.ctx, admin, run.ID)
	require.NoError(w.t, err)
	return w.run(run.ID)
}

func (w *world) continueRun(id core.RunID) core.Run {
	w.t.Helper()
	run, err := w.svc.RetryFailed(w.ctx, admin, id, app.RetryRequest{})
	require.NoError(w.t, err)
	return run
}

func (w *world) run(id core.RunID) core.Run {
	w.t.Helper()
	v, err := w.svc.Run(w.ctx, platform, id)
	require.NoError(w.t, err)
	return v.Run
}

func (w *world) fileRows(id core.RunID) []core.File {
	w.t.Helper()
	list, err := w.svc.RunFiles(w.ctx, platform, id, ports.FileFilter{Limit: 100_000, OutputBytes: 1 << 20})
	require.NoError(w.t, err)
	return list
}

// statuses spells the files' statuses: p(ending), r(unning, i.e. processing), c, f, e.
func (w *world) statuses(id core.RunID) string {
	w.t.Helper()
	letters := map[core.FileStatus]string{
		core.FilePending: "p", core.FileProcessing: "r", core.FileCompleted: "c", core.FileFailed: "f", core.FileError: "e",
	}
	var b strings.Builder
	for _, f := range w.fileRows(id) {
		b.WriteString(letters[f.Status])
	}
	return b.String()
}

func (w *world) balance() core.Balance {
	w.t.Helper()
	b, err := w.svc.Balance(w.ctx, platform, acme)
	require.NoError(w.t, err)
	return b
}

func (w *world) entries() []core.Entry {
	w.t.Helper()
	list, err := w.svc.Entries(w.ctx, platform, acme, 0, 100_000)
	require.NoError(w.t, err)
	return list
}

// requireBalance checks the rest of the allowance and of the purchased credits.
func (w *world) requireBalance(monthly, purchased core.Credits) {
	w.t.Helper()
	require.Equal(w.t, core.Split{Monthly: monthly, Purchased: purchased}, w.balance().Split)
}

// requireBooks checks that the ledger agrees with the balances and the runs.
func (w *world) requireBooks() {
	w.t.Helper()
	differences, err := w.svc.CheckLedger(w.ctx, platform, acme)
	require.NoError(w.t, err)
	require.Empty(w.t, differences)
}

// state is everything that a refusal must not change.
type state struct {
	Tenants  []core.Tenant
	Balances map[core.TenantID][]core.Balance
	Entries  map[core.TenantID][]core.Entry
	Runs     []core.Run
	Files    map[core.RunID][]core.File
	Attempts map[core.RunID][]core.Attempt
	Queue    []core.Job
}

func (w *world) state() state {
	w.t.Helper()
	s := state{
		Balances: map[core.TenantID][]core.Balance{}, Entries: map[core.TenantID][]core.Entry{},
		Files: map[core.RunID][]core.File{}, Attempts: map[core.RunID][]core.Attempt{}, Queue: w.queue.Waiting(),
	}
	var err error
	s.Tenants, err = w.store.AllTenants(w.ctx, "", 100)
	require.NoError(w.t, err)
	for _, tenant := range s.Tenants {
		err := w.store.View(w.ctx, tenant.ID, func(tx ports.Tx) (err error) {
			if s.Balances[tenant.ID], err = tx.Ledger().Balances(w.ctx); err != nil {
				return err
			}
			if s.Entries[tenant.ID], err = tx.Ledger().Entries(w.ctx, 0, 100_000); err != nil {
				return err
			}
			runs, err := tx.Runs().List(w.ctx, ports.RunFilter{Limit: 100_000})
			for _, r := range runs {
				s.Runs = append(s.Runs, r)
				if s.Files[r.ID], err = tx.FileViews().Page(w.ctx, r.ID, ports.FileFilter{From: 0, Limit: 100_000, OutputBytes: 1 << 20}); err != nil {
					return err
				}
				if s.Attempts[r.ID], err = tx.Attempts().List(w.ctx, r.ID); err != nil {
					return err
				}
			}
			return err
		})
		require.NoError(w.t, err)
	}
	return s
}

// requireRefused does something that must be refused with this code, and checks
// that nothing at all has changed.
func (w *world) requireRefused(want *core.Error, do func() error) core.Error {
	w.t.Helper()
	before := w.state()
	err := do()
	require.ErrorIs(w.t, err, want)
	require.Equal(w.t, before, w.state(), "a refusal changed something")
	var refusal *core.Error
	require.ErrorAs(w.t, err, &refusal)
	return *refusal
}

// keyRefused is the fault of ours of an i in a script.
var keyRefused = core.Failure{Code: core.FailureUnauthorized, Message: "the service's credential was refused"}

// script is an executor that ends each file as the letter at its index says:
// c, f, e, or i for an interruption. Past the end, and without a script, files complete.
type script struct {
	mu       sync.Mutex
	outcomes string
	calls    map[int]int
	do       func(ctx context.Context, task ports.Task) ([]core.FileResult, error)
}

func (s *script) set(outcomes string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes, s.calls = outcomes, map[int]int{}
}

// handle replaces the letters by a function.
func (s *script) handle(do func(context.Context, ports.Task) ([]core.FileResult, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

func (s *script) callsOf(index int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[index]
}

func (s *script) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	s.mu.Lock()
	do := s.do
	s.mu.Unlock()
	if do != nil {
		return do(ctx, task)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var results []core.FileResult
	for _, f := range task.Files {
		if s.calls == nil {
			s.calls = map[int]int{}
		}
		s.calls[f.Index]++
		letter := byte('c')
		if f.Index < len(s.outcomes) {
			letter = s.outcomes[f.Index]
		}
		results = append(results, resultOf(f.Index, letter))
	}
	return results, nil
}

func resultOf(index int, letter byte) core.FileResult {
	switch letter {
	case 'f':
		return core.FileResult{Index: index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "rate_limited", Message: "slow down"}}
	case 'e':
		return core.FileResult{Index: index, Outcome: core.OutcomePermanent, Failure: core.Failure{Code: "refused", Message: "no"}}
	case 'i':
		return core.FileResult{Index: index, Outcome: core.OutcomeInterrupted, Failure: keyRefused}
	default:
		return core.FileResult{Index: index, Outcome: core.OutcomeCompleted, Output: fmt.Sprintf("output of file %d", index)}
	}
}
