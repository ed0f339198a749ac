package worker_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

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
		files, err := b.svc.RunFiles(context.Background(), platform, id, ports.FileFilter{Limit: 1, OutputBytes: 1 << 20})
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
	_, _, err = b.svc.Claim(context.Background(), deliveries[0].Jobs(), app.WaitForLock)
	require.NoError(t, err)
	require.NoError(t, deliveries[0].Ack(context.Background())) // and the worker dies
	b.start(worker.Options{Concurrency: 2, RecoverEvery: time.Second})
	b.eventually("run closes", func() bool {
		b.clock.Advance(time.Second)
		return b.run(id).Status.Closed()
	})
	require.Equal(t, core.RunCompleted, b.run(id).Status)
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
