package watermillqueue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// trap is the use cases on a store and a queue in Postgres, with faults between
// them: the traps of spec 3, on the real parts.
type trap struct {
	t       *testing.T
	svc     *app.Service
	queue   *watermillqueue.Queue
	clock   *memory.ManualClock
	enqueue func(ctx context.Context, jobs []core.Job) (int, error) // nil: the queue's
	inTx    error                                                   // fails every transaction
	fails   map[int]bool                                            // files that fail
}

var (
	trapAdmin = core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}
	errQueue  = errors.New("the queue said no")
	errStore  = errors.New("the store said no")
)

type trapQueue struct{ *trap }

func (q trapQueue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if q.enqueue != nil {
		return q.enqueue(ctx, jobs)
	}
	return q.queue.Enqueue(ctx, jobs)
}

type trapStore struct {
	ports.Store
	trap *trap
}

func (s trapStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if s.trap.inTx != nil {
		return s.trap.inTx
	}
	return s.Store.InTx(ctx, tenant, fn)
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	store, pool := pgtest.Open(t, postgres.Config{MaxConns: 8})
	w := &trap{t: t, clock: memory.NewManualClock(time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)), fails: map[int]bool{}}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	w.queue, err = watermillqueue.OpenPostgres(pool, watermillqueue.Options{Log: quiet, CommitAsync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.queue.Close()) })
	execute := func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		results := make([]core.FileResult, len(task.Files))
		for i, f := range task.Files {
			results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
			if w.fails[f.Index] {
				results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "slow"}}
			}
		}
		return results, nil
	}
	w.svc = install.Service(t, app.Deps{
		Store: trapStore{store, w}, Queue: trapQueue{w}, Executor: ports.ExecutorFunc(execute), Clock: w.clock,
	}, app.Options{})
	install.Make(t, w.svc, install.Tenant{ID: "acme", Purchased: 100, Templates: []core.Template{{ID: "t", CreditsPerRun: 10}}})
	return w
}

func (w *trap) initiate(n int) (core.Run, error) {
	req := app.InitiateRequest{Tenant: "acme", Template: "t"}
	for i := range n {
		req.Files = append(req.Files, core.NewFile{Name: fmt.Sprint("f", i), Ref: "ref", Size: 1})
	}
	return w.svc.Initiate(w.t.Context(), trapAdmin, req)
}

// work works deliveries, as many as given.
func (w *trap) work(n int) {
	w.t.Helper()
	for range n {
		for _, d := range receive(w.t, w.queue, 1, ports.Skip{}) {
			require.NoError(w.t, w.svc.Work(w.t.Context(), d))
		}
	}
}

func (w *trap) run(id core.RunID) core.Run {
	w.t.Helper()
	v, err := w.svc.Run(w.t.Context(), trapAdmin, id)
	require.NoError(w.t, err)
	return v.Run
}

// left is what the tenant has; the books must agree with it.
func (w *trap) left() core.Credits {
	w.t.Helper()
	differences, err := w.svc.CheckLedger(w.t.Context(), trapAdmin, "acme")
	require.NoError(w.t, err)
	require.Empty(w.t, differences)
	b, err := w.svc.Balance(w.t.Context(), trapAdmin, "acme")
	require.NoError(w.t, err)
	return b.Purchased
}

// oneFailed is a closed run of four files, of which one failed; 60 credits are left.
func (w *trap) oneFailed() core.RunID {
	w.t.Helper()
	w.fails[2] = true
	run, err := w.initiate(4)
	require.NoError(w.t, err)
	w.work(4)
	require.Equal(w.t, core.RunCompletedWithErrors, w.run(run.ID).Status)
	w.fails[2] = false
	return run.ID
}

func TestTraps(t *testing.T) {
	t.Parallel()

	t.Run("FanInAfterAPartialRetry", func(t *testing.T) {
		t.Parallel()
		w := newTrap(t)
		id := w.oneFailed()
		_, err := w.svc.RetryFailed(t.Context(), trapAdmin, id, app.RetryRequest{})
		require.NoError(t, err)
		w.work(1)
		run := w.run(id)
		require.Equal(t, core.RunCompleted, run.Status, "it must not wait for the jobs of the first attempt")
		require.Equal(t, 4, run.TotalJobs)
		require.Equal(t, core.Credits(50), w.left())
	})

	t.Run("LateDeliveryOfACompensatedAttempt", func(t *testing.T) {
		t.Parallel()
		w := newTrap(t)
		id := w.oneFailed()
		w.enqueue = func(ctx context.Context, jobs []core.Job) (int, error) {
			_, err := w.queue.Enqueue(ctx, jobs) // they get out all the same
			return 0, errors.Join(err, errQueue)
		}
		_, err := w.svc.RetryFailed(t.Context(), trapAdmin, id, app.RetryRequest{})
		require.ErrorIs(t, err, errQueue)
		before := w.run(id)
		require.Equal(t, core.RunCompletedWithErrors, before.Status)
		require.Equal(t, core.Credits(60), w.left(), "refunded")
		w.work(1)
		require.Equal(t, before, w.run(id), "the late job has no effect")

		w.enqueue = nil
		_, err = w.svc.RetryFailed(t.Context(), trapAdmin, id, app.RetryRequest{})
		require.NoError(t, err)
		w.work(1)
		require.Equal(t, core.RunCompleted, w.run(id).Status)
		require.Equal(t, core.Credits(50), w.left(), "paid for once")
	})

	t.Run("DeathBetweenCommitAndEnqueue", func(t *testing.T) {
		t.Parallel()
		w := newTrap(t)
		id := w.oneFailed()
		w.enqueue = func(context.Context, []core.Job) (int, error) {
			runtime.Goexit() // nothing that follows in this goroutine is done
			return 0, nil
		}
		died := make(chan struct{})
		go func() {
			defer close(died)
			_, err := w.svc.RetryFailed(t.Context(), trapAdmin, id, app.RetryRequest{})
			t.Error("survived", err)
		}()
		<-died
		w.enqueue = nil
		require.Equal(t, core.RunRunning, w.run(id).Status)
		w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
		acted, err := w.svc.Recover(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, acted)
		w.work(1)
		require.Equal(t, core.RunCompleted, w.run(id).Status)
		require.Equal(t, core.Credits(50), w.left())
	})

	t.Run("PartialPublishThenError", func(t *testing.T) {
		t.Parallel()
		w := newTrap(t)
		w.enqueue = func(ctx context.Context, jobs []core.Job) (int, error) {
			n, err := w.queue.Enqueue(ctx, jobs[:2])
			require.NoError(t, err)
			w.work(1) // before the publisher hears of the error
			return n, errQueue
		}
		run, err := w.initiate(4)
		require.NoError(t, err, "a job was claimed: the attempt is under way")
		w.enqueue = nil
		_, err = w.svc.Recover(t.Context(), 10)
		require.NoError(t, err)
		for w.run(run.ID).Status == core.RunRunning { // some of it is there twice
			w.work(1)
		}
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
		require.Equal(t, core.Credits(60), w.left(), "the work and no refund")
	})

	t.Run("RefundFailingToo", func(t *testing.T) {
		t.Parallel()
		w := newTrap(t)
		id := w.oneFailed()
		w.enqueue = func(context.Context, []core.Job) (int, error) {
			w.inTx = errStore
			return 0, errQueue
		}
		_, err := w.svc.RetryFailed(t.Context(), trapAdmin, id, app.RetryRequest{})
		require.ErrorIs(t, err, errQueue, "the original error")
		w.enqueue, w.inTx = nil, nil
		require.Equal(t, int64(1), w.svc.Stats().CompensationFailures)
		w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
		_, err = w.svc.Recover(t.Context(), 10)
		require.NoError(t, err)
		w.work(1)
		require.Equal(t, core.RunCompleted, w.run(id).Status)
		require.Equal(t, core.Credits(50), w.left(), "the work and no refund")
	})
}
