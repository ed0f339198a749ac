package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

const (
	pgTenants = 2
	pgClients = 6 // of each tenant
	pgOps     = 10
	pgPrice   = core.Credits(2)
)

// The real use cases on the real store, asked by many at once, with enqueueings that
// fail and commits whose answer is lost: every answer fits some order.
func TestHistoryOfPostgres(t *testing.T) {
	t.Parallel()
	testHistories(t, func() ports.Store {
		store, _ := pgtest.Open(t, postgres.Config{})
		return store
	})
}

func TestHistoryOfCitus(t *testing.T) {
	t.Parallel()
	testHistories(t, func() ports.Store {
		store, _ := pgtest.Open(t, postgres.Config{URL: pgtest.Citus(t).URL})
		return store
	})
}

func TestHistoryOfSQLite(t *testing.T) {
	t.Parallel()
	testHistories(t, func() ports.Store {
		store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "redrive.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		_, err = sqlite.Migrate(t.Context(), store)
		require.NoError(t, err)
		return store
	})
}

// seen counts what occurred in histories.
type seen struct{ wins, lost, undone, open int }

// testHistories checks histories, each of a new store, until each situation has occurred:
// which ones a single history has depends on what the machine does.
func testHistories(t *testing.T, open func() ports.Store) {
	t.Helper()
	const most = 20
	var all seen
	for range most {
		one := testHistory(t, open())
		all = seen{all.wins + one.wins, all.lost + one.lost, all.undone + one.undone, all.open + one.open}
		if all.wins > 0 && all.lost > 0 && all.undone > 0 && all.open > 0 {
			return
		}
	}
	require.Fail(t, "a situation never occurred", "%d histories: %+v", most, all)
}

func testHistory(t *testing.T, store ports.Store) seen {
	t.Helper()
	in := newInstallation(t, store)
	ctx, stop := context.WithCancel(t.Context())
	var others, clients sync.WaitGroup
	for range 3 {
		others.Go(func() { in.work(ctx) })
	}
	others.Go(func() { in.recover(ctx) })
	for n := range pgTenants * pgClients {
		clients.Go(func() { in.use(ctx, n) })
	}
	clients.Wait()
	stop()
	others.Wait()

	open, ops := 0, 0
	began := time.Now()
	histories := in.recorder.Histories()
	for _, h := range histories {
		switch verdict := h.Check(10 * time.Second); verdict {
		case history.OK:
		case history.Unknown:
			// The orders that fit are too many to try: with many operations open at once
			// their number explodes. Another history is judged in its place.
			t.Logf("a history of %d operations was too hard to judge", len(h.Ops))
			return seen{}
		default:
			require.FailNow(t, "not linearizable", "%s: %s", verdict, h)
		}
		open += h.Open()
		ops += len(h.Ops)
	}
	found := seen{int(in.wins.Load()), int(in.lost.Load()), int(in.undone.Load()), open}
	t.Logf("%d histories of %d operations checked in %s: %d Continues won, %d were refused because another ran, %d enqueueings failed, %d outcomes unknown",
		len(histories), ops, time.Since(began), found.wins, found.lost, found.undone, found.open)
	return found
}

// installation is clients' and workers' services on one database.
type installation struct {
	t        *testing.T
	recorder *history.Recorder
	clients  *app.Service
	workers  *app.Service
	queue    *memory.Queue
	rand     *lockedRand

	wins, lost, undone  atomic.Int64
	commits, dispatches atomic.Int64
	mu                  sync.Mutex
	runs                [pgTenants][]core.RunID
}

func pgTenant(n int) core.TenantID { return core.TenantID(fmt.Sprintf("tenant-%d", n%pgTenants)) }

func newInstallation(t *testing.T, store ports.Store) *installation {
	t.Helper()
	in := &installation{t: t, recorder: history.NewRecorder(), queue: memory.NewQueue(), rand: &lockedRand{r: rand.New(rand.NewPCG(1, 2))}}
	service := func(s ports.Store, q ports.Queue) *app.Service {
		return install.Service(t, app.Deps{Store: s, Queue: q, Executor: in}, app.Options{
			Recovery: core.RecoveryPolicy{
				DispatchGrace: 50 * time.Millisecond, RedispatchAfter: 100 * time.Millisecond,
				MaxRedispatchAfter: time.Second, Lease: 5 * time.Second, MaxRedeliveries: 3,
			},
			Retry:           core.RetryPolicy{MaxTries: 1, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: time.Second},
			DispatchTimeout: 20 * time.Second,
		})
	}
	in.workers = service(recording{store, in.recorder}, in.queue)
	in.clients = service(forgetting{store, in.rand, &in.commits}, failing{in.queue, in.rand, &in.dispatches})

	setUp := service(recording{store, in.recorder}, in.queue)
	for n := range pgTenants {
		tenant := pgTenant(n)
		install.Make(t, setUp, install.Tenant{ID: tenant, Allowance: 40, Templates: []core.Template{{ID: "template", CreditsPerRun: pgPrice}}})
		in.recorder.Priced(tenant, "template", pgPrice, 0)
	}
	require.NoError(t, setUp.Refill(t.Context()))
	in.recorder.Saw(time.Now())
	return in
}

// use is one client: it asks for this and that.
func (in *installation) use(ctx context.Context, client int) {
	tenant := pgTenant(client)
	who := core.Actor{Subject: "admin", Tenant: tenant, Role: core.RoleCustomerAdmin}
	ask := func(q history.Request, do func(history.Request) history.Answer) {
		q.Client, q.Tenant, q.Template = client, tenant, "template"
		asked := in.recorder.Ask(q, time.Now())
		answer := do(q)
		in.recorder.Answered(asked, answer, time.Now())
		in.count(q.Kind, answer.Err)
	}
	for n := range pgOps {
		run, known := in.anyRun(client)
		kind := []history.Kind{
			history.Continue, history.Continue, history.Continue, history.Continue, history.Cancel,
			history.Purchase, history.Balance, history.Preview, history.Raise, history.Initiate,
		}[in.rand.n(10)]
		if !known {
			kind = history.Initiate
		}
		key := core.Key("")
		if in.rand.n(3) == 0 {
			key = core.Key(fmt.Sprintf("key-%d", in.rand.n(4)))
		}
		switch kind {
		case history.Initiate:
			ask(history.Request{Kind: kind, Files: 3, MaxRetryCount: 3}, func(q history.Request) (a history.Answer) {
				a.Run, a.Err = in.clients.Initiate(ctx, who, app.InitiateRequest{
					Tenant: tenant, Template: "template", MaxRetryCount: &q.MaxRetryCount,
					Files: []core.NewFile{{Name: "a", Ref: "a", Size: 1}, {Name: "b", Ref: "b", Size: 1}, {Name: "c", Ref: "c", Size: 1}},
				})
				in.initiated(client, a.Run.ID)
				return a
			})
		case history.Continue:
			ask(history.Request{Kind: kind, Run: run, Key: key}, func(q history.Request) (a history.Answer) {
				a.Run, a.Err = in.clients.RetryFailed(ctx, who, run, app.RetryRequest{IdempotencyKey: q.Key})
				return a
			})
		case history.Cancel:
			ask(history.Request{Kind: kind, Run: run}, func(history.Request) (a history.Answer) {
				a.Run, a.Err = in.clients.Cancel(ctx, who, run)
				return a
			})
		case history.Raise:
			ask(history.Request{Kind: kind, Run: run, MaxRetryCount: 4 + n/2}, func(q history.Request) (a history.Answer) {
				a.Run, a.Err = in.clients.RaiseMaxRetryCount(ctx, core.System, run, q.MaxRetryCount)
				return a
			})
		case history.Purchase:
			ask(history.Request{Kind: kind, Key: core.Key(fmt.Sprintf("buy-%d", in.rand.n(6))), Amount: 3}, func(q history.Request) (a history.Answer) {
				_, a.Err = in.clients.PurchaseCredits(ctx, core.System, tenant, q.Key, q.Amount)
				return a
			})
		case history.Balance:
			ask(history.Request{Kind: kind}, func(history.Request) (a history.Answer) {
				a.Balance, a.Err = in.clients.Balance(ctx, who, tenant)
				return a
			})
		case history.Preview:
			ask(history.Request{Kind: kind, Run: run}, func(history.Request) (a history.Answer) {
				p, err := in.clients.PreviewRetry(ctx, who, run)
				return history.Answer{Balance: p.Balance, Refusal: p.Refusal, Err: err}
			})
		case history.Undo, history.Grant, history.Move, history.Given:
		}
	}
}

func (in *installation) count(kind history.Kind, err error) {
	var refusal *core.Error
	switch {
	case kind == history.Continue && err == nil:
		in.wins.Add(1)
	case !errors.As(err, &refusal):
	case refusal.Code == core.CodeRunAlreadyRunning:
		in.lost.Add(1)
	case refusal.Code == core.CodeEnqueueFailed:
		in.undone.Add(1)
	}
}

func (in *installation) initiated(client int, run core.RunID) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if run != "" {
		in.runs[client%pgTenants] = append(in.runs[client%pgTenants], run)
	}
}

func (in *installation) anyRun(client int) (core.RunID, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	runs := in.runs[client%pgTenants]
	if len(runs) == 0 {
		return "", false
	}
	return runs[in.rand.n(min(len(runs), 2))], true
}

// work is one worker.
func (in *installation) work(ctx context.Context) {
	for {
		deliveries, err := in.queue.Receive(ctx, 2, ports.Skip{})
		if err != nil {
			return
		}
		for _, d := range deliveries {
			_ = in.workers.Work(context.WithoutCancel(ctx), d) // recovery sends again what failed
		}
	}
}

func (in *installation) recover(ctx context.Context) {
	for (app.SystemClock{}).Sleep(ctx, 30*time.Millisecond) == nil {
		_, _ = in.workers.Recover(ctx, 100) // the next pass looks again
	}
}

// Execute implements ports.Executor: two of three files fail.
func (in *installation) Execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "busy", Message: "try again"}}
		if in.rand.n(3) == 0 {
			results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
		}
	}
	return results, nil
}

// lockedRand is used by many goroutines: which of them draws what is theirs to race for.
type lockedRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (l *lockedRand) n(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.IntN(n)
}

// failing is a queue that fails every fourth enqueueing, after some jobs got out.
type failing struct {
	ports.Queue
	rand  *lockedRand
	count *atomic.Int64
}

func (q failing) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if q.count.Add(1)%4 != 0 {
		return q.Queue.Enqueue(ctx, jobs)
	}
	n, err := q.Queue.Enqueue(ctx, jobs[:q.rand.n(len(jobs)+1)])
	return n, errors.Join(errors.New("the broker is away"), err)
}

// forgetting is a store that does not tell the outcome of every eleventh commit: half
// of them have an effect.
type forgetting struct {
	ports.Store
	rand  *lockedRand
	count *atomic.Int64
}

func (s forgetting) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if s.count.Add(1)%11 != 0 {
		return s.Store.InTx(ctx, tenant, fn)
	}
	lost := s.rand.n(2) == 0
	err := s.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		if err := fn(tx); err != nil || !lost {
			return err
		}
		return ports.ErrCommitUnknown
	})
	if err == nil {
		return ports.ErrCommitUnknown
	}
	return err
}
