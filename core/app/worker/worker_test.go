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

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

const tenant = core.TenantID("acme")

var platform = core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}

// bench is a service with one tenant and a template at one credit a file.
type bench struct {
	t     *testing.T
	store *flakyStore
	queue *memory.Queue
	clock *memory.ManualClock
	svc   *app.Service
}

// flakyStore fails transactions as told.
type flakyStore struct {
	*memory.Store
	fail  atomic.Int64 // transactions still to fail
	begun atomic.Int64 // transactions that were begun
}

var errStore = errors.New("database unreachable")

func (s *flakyStore) InTx(ctx context.Context, t core.TenantID, fn func(ports.Tx) error) error {
	s.begun.Add(1)
	if s.fail.Add(-1) >= 0 {
		return errStore
	}
	return s.Store.InTx(ctx, t, fn)
}

func newBench(t *testing.T, executor ports.Executor) *bench {
	t.Helper()
	b := &bench{
		t: t, store: &flakyStore{Store: memory.NewStore()}, queue: memory.NewQueue(),
		clock: memory.NewManualClock(time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)),
	}
	options := app.DefaultOptions()
	options.Retry = core.RetryPolicy{MaxTries: 1}
	var err error
	b.svc, err = app.New(app.Deps{
		Store: b.store, Queue: b.queue, Executor: executor, Files: memory.NewFiles(),
		Clock: b.clock, IDs: memory.NewSequence("run"), Log: slog.New(slog.DiscardHandler),
	}, options)
	require.NoError(t, err)
	ctx := context.Background()
	_, err = b.svc.CreateTenant(ctx, platform, tenant, "Acme", 0)
	require.NoError(t, err)
	_, err = b.svc.CreateTemplate(ctx, platform, core.Template{ID: "t", Tenant: tenant, Name: "T", CreditsPerRun: 1, Mode: core.ModePerFile})
	require.NoError(t, err)
	_, err = b.svc.PublishTemplate(ctx, platform, tenant, "t")
	require.NoError(t, err)
	_, err = b.svc.PurchaseCredits(ctx, platform, tenant, "p", 1_000_000)
	require.NoError(t, err)
	return b
}

func (b *bench) initiate(n int) core.RunID {
	b.t.Helper()
	req := app.InitiateRequest{Tenant: tenant, Template: "t"}
	for i := range n {
		f, err := b.svc.StoreFile(context.Background(), platform, tenant, fmt.Sprint("f", i), strings.NewReader("x"))
		require.NoError(b.t, err)
		req.Files = append(req.Files, f)
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

// start runs a worker; stop ends it and gives what Run returned.
func (b *bench) start(o worker.Options) (stop func() error) {
	b.t.Helper()
	cancel, wait := b.launch(o)
	return func() error {
		cancel()
		return wait()
	}
}

// launch runs a worker; cancel tells it to stop, wait gives what Run returned.
func (b *bench) launch(o worker.Options) (cancel func(), wait func() error) {
	b.t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	w, err := worker.New(b.svc, b.queue, o)
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	wait = sync.OnceValue(func() error { return <-ended })
	b.t.Cleanup(func() {
		cancel()
		_ = wait() // the tests that care have looked
	})
	return cancel, wait
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

func completed(task ports.Task) []core.FileResult {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
	}
	return results
}

func TestWorkerRunsEverythingWithinItsConcurrency(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		return completed(task), nil
	}))
	ids := []core.RunID{b.initiate(200), b.initiate(50), b.initiate(1)}
	stop := b.start(worker.Options{Concurrency: 7})
	for _, id := range ids {
		b.eventuallyClosed(id, core.RunCompleted)
	}
	require.NoError(t, stop())
	require.LessOrEqual(t, most.Load(), int64(7))
	require.Positive(t, most.Load())
}

func TestWorkerSurvivesAnOutageOfTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		return completed(task), nil
	}))
	id := b.initiate(20)
	b.store.fail.Store(9)
	stop := b.start(worker.Options{Concurrency: 4})
	b.eventually("run closes", func() bool {
		b.clock.Advance(time.Second) // whoever pauses after a fault goes on
		return b.run(id).Status.Closed()
	})
	require.Equal(t, core.RunCompleted, b.run(id).Status)
	require.NoError(t, stop())
}

// A running job's lease is renewed for as long as it runs, so that recovery
// leaves it alone.
func TestWorkerRenewsLeases(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var calls atomic.Int64
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		calls.Add(1)
		<-release
		return completed(task), nil
	}))
	id := b.initiate(1)
	b.start(worker.Options{Concurrency: 2, RecoverEvery: 24 * time.Hour})
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo) // before the worker is waited for
	b.eventually("job starts", func() bool { return calls.Load() == 1 })
	leaseEnd := func() time.Time {
		files, err := b.svc.RunFiles(context.Background(), platform, id, 0, 1)
		require.NoError(t, err)
		return files[0].LeaseUntil
	}
	lease := b.svc.Options().Recovery.Lease
	for range 6 {
		before := leaseEnd()
		b.eventually("lease renewed", func() bool {
			b.clock.Advance(lease / 24)
			return leaseEnd().After(before)
		})
	}
	letGo()
	b.eventuallyClosed(id, core.RunCompleted)
	require.Equal(t, int64(1), calls.Load())
}

// A job whose run was cancelled is told to stop at the next renewal.
func TestWorkerStopsWhatLostItsLease(t *testing.T) {
	t.Parallel()
	started, stopped := make(chan struct{}), make(chan struct{})
	b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	}))
	id := b.initiate(1)
	b.start(worker.Options{Concurrency: 1})
	<-started
	_, err := b.svc.Cancel(context.Background(), platform, id)
	require.NoError(t, err)
	b.eventually("the executor is told", func() bool {
		b.clock.Advance(b.svc.Options().Recovery.Lease / 3)
		select {
		case <-stopped:
			return true
		default:
			return false
		}
	})
	require.Equal(t, core.RunInterrupted, b.run(id).Status)
}

func TestWorkerRecoversWhatADeadWorkerLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		return completed(task), nil
	}))
	id := b.initiate(3)
	deliveries, err := b.queue.Receive(context.Background(), 1, ports.Skip{})
	require.NoError(t, err)
	_, err = b.svc.Claim(context.Background(), []core.Job{deliveries[0].Job()})
	require.NoError(t, err)
	require.NoError(t, deliveries[0].Ack(context.Background())) // and the worker dies
	b.start(worker.Options{Concurrency: 2, RecoverEvery: time.Second})
	b.eventually("run closes", func() bool {
		b.clock.Advance(time.Second)
		return b.run(id).Status.Closed()
	})
	require.Equal(t, core.RunCompleted, b.run(id).Status)
}

// lockRun holds a run's row until free is called.
func (b *bench) lockRun(id core.RunID) (free func()) {
	b.t.Helper()
	locked, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = b.store.Store.InTx(context.Background(), tenant, func(tx ports.Tx) error { // rolled back: nothing to tell
			_, err := tx.Runs().GetForUpdate(context.Background(), id)
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

// A run whose row is held keeps no other run from being worked: neither from
// being started once it is claimed, nor from being settled.
func TestWorkerIsNotHeldUpByALockedRun(t *testing.T) {
	t.Parallel()
	gates := map[core.RunID]chan struct{}{"run-1": make(chan struct{}), "run-2": make(chan struct{})}
	started := make(chan core.RunID, 10)
	b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
		started <- task.Job.Run
		select {
		case <-gates[task.Job.Run]:
		case <-ctx.Done():
		}
		return completed(task), ctx.Err()
	}))
	first, second := b.initiate(1), b.initiate(1)
	free := b.lockRun(second)
	b.start(worker.Options{Concurrency: 4, RecoverEvery: 24 * time.Hour})
	require.Equal(t, first, <-started, "claimed, and not started because another run's claim waits")
	free()
	require.Equal(t, second, <-started)

	free = b.lockRun(first)
	before := b.store.begun.Load()
	close(gates[first])
	b.eventually("the first run's result waits for the lock", func() bool { return b.store.begun.Load() > before })
	close(gates[second])
	b.eventuallyClosed(second, core.RunCompleted)
	free()
	b.eventuallyClosed(first, core.RunCompleted)
}

// A result in hand is recorded however long the store is away; nothing is
// executed twice for it.
func TestWorkerKeepsResultsThroughAnOutage(t *testing.T) {
	t.Parallel()
	var executed atomic.Int64
	var b *bench
	b = newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		executed.Add(1)
		b.store.fail.Store(40) // the store goes away while the work is done
		return completed(task), nil
	}))
	id := b.initiate(1)
	b.start(worker.Options{Concurrency: 1, RecoverEvery: 24 * time.Hour})
	b.eventually("run closes", func() bool {
		b.clock.Advance(time.Second)
		return b.run(id).Status.Closed()
	})
	require.Equal(t, core.RunCompleted, b.run(id).Status)
	require.Equal(t, int64(1), executed.Load())
}

func TestWorkerStop(t *testing.T) {
	t.Parallel()

	t.Run("LetsRunningJobsFinishAndClaimsNoMore", func(t *testing.T) {
		t.Parallel()
		started, release := make(chan struct{}, 10), make(chan struct{})
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			started <- struct{}{}
			<-release
			return completed(task), nil
		}))
		id := b.initiate(3)
		cancel, wait := b.launch(worker.Options{Concurrency: 1})
		<-started
		cancel() // from here on nothing may be claimed
		release <- struct{}{}
		require.NoError(t, wait())
		require.Equal(t, 1, b.run(id).CompletedJobs)
		require.Equal(t, 2, b.queue.Len(), "the others are for another worker")
	})

	t.Run("WhileTheStoreIsAway", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) { return completed(task), nil }))
		b.initiate(1)
		const outage = 1 << 40
		b.store.fail.Store(outage)
		cancel, wait := b.launch(worker.Options{Concurrency: 1})
		b.eventually("a claim fails", func() bool { return b.store.fail.Load() < outage })
		cancel() // the worker may be pausing on a clock that stands still
		ended := make(chan error, 1)
		go func() { ended <- wait() }()
		b.eventually("stops", func() bool { return len(ended) == 1 })
		require.NoError(t, <-ended)
	})

	t.Run("HandsBackWhatTakesTooLong", func(t *testing.T) {
		t.Parallel()
		started := make(chan struct{}, 10)
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		id := b.initiate(2)
		stop := b.start(worker.Options{Concurrency: 2, DrainTimeout: -1})
		<-started
		<-started
		require.NoError(t, stop())
		require.Equal(t, 2, b.queue.Len(), "another worker can claim them at once")
		files, err := b.svc.RunFiles(context.Background(), platform, id, 0, 10)
		require.NoError(t, err)
		for _, f := range files {
			require.Equal(t, core.FilePending, f.Status)
			require.Zero(t, f.Redeliveries)
		}
	})

	t.Run("DrainTimeoutEnds", func(t *testing.T) {
		t.Parallel()
		started := make(chan struct{})
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		b.initiate(1)
		stop := b.start(worker.Options{Concurrency: 1, DrainTimeout: time.Minute})
		<-started
		ended := make(chan error, 1)
		go func() { ended <- stop() }()
		b.eventually("stops", func() bool {
			b.clock.Advance(10 * time.Second)
			return len(ended) == 1
		})
		require.NoError(t, <-ended)
		require.Equal(t, 1, b.queue.Len())
	})
}

func TestWorkerEndsWhenTheQueueIsClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) { return completed(task), nil }))
	w, err := worker.New(b.svc, b.queue, worker.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background()) }()
	require.NoError(t, b.queue.Close())
	require.ErrorIs(t, <-ended, ports.ErrClosed)
}

func TestNewChecksItsOptions(t *testing.T) {
	t.Parallel()
	b := newBench(t, ports.ExecutorFunc(nil))
	_, err := worker.New(nil, b.queue, worker.Options{})
	require.Error(t, err)
	_, err = worker.New(b.svc, b.queue, worker.Options{Concurrency: -1})
	require.Error(t, err)
}
