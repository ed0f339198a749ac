package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

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
		_, cancel, wait := b.launch(worker.Options{Concurrency: 1})
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
		_, cancel, wait := b.launch(worker.Options{Concurrency: 1})
		b.eventually("a claim fails", func() bool { return b.store.fail.Load() < outage })
		cancel() // the worker may be pausing on a clock that stands still
		ended := make(chan error, 1)
		go func() { ended <- wait() }()
		b.eventually("stops", func() bool { return len(ended) == 1 })
		require.NoError(t, <-ended)
	})

	t.Run("HandsBackWhatTakesTooLong", func(t *testing.T) {
		t.Parallel()
		const jobs = 200 // so that some give up before, and some after it is seen who is left
		started := make(chan struct{}, jobs)
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		id := b.initiate(jobs)
		stop := b.start(worker.Options{Concurrency: jobs, DrainTimeout: -1})
		for range jobs {
			<-started
		}
		require.NoError(t, stop())
		require.Equal(t, jobs, b.queue.Len(), "another worker can claim them at once")
		files, err := b.svc.RunFiles(context.Background(), platform, id, ports.FileFilter{Limit: jobs, OutputBytes: 1 << 20})
		require.NoError(t, err)
		for _, f := range files {
			require.Equal(t, core.FilePending, f.Status)
			require.Zero(t, f.Redeliveries)
		}
	})

	// A job that gave up when it was told to is handed back, though it is gone by then;
	// here the claim of another is waited for first.
	t.Run("HandsBackWhatGaveUpBefore", func(t *testing.T) {
		t.Parallel()
		started := make(chan struct{}, 2)
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		b.initiate(1)
		free := b.lockRun(b.initiate(1))
		w, cancel, wait := b.launch(worker.Options{Concurrency: 2, DrainTimeout: -1, RecoverEvery: 24 * time.Hour})
		<-started
		b.eventually("the other's claim waits", func() bool { return w.Stats().ClaimGroups >= 2 })
		cancel()
		b.eventually("the first gives up", func() bool { return w.Stats().Running == 0 })
		free()
		require.NoError(t, wait())
		require.Equal(t, 2, b.queue.Len())
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

// A second worker takes over at once what a first that stops had in hand: it waits
// for no lease and for no recovery. The clock stands still in this test.
func TestAnotherWorkerTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	first, second := newGate(), newGate()
	b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
		if first.running("") < 3 && !first.full.Load() {
			return first.Execute(ctx, task)
		}
		return second.Execute(ctx, task)
	}))
	id := b.initiate(7)
	_, cancel, wait := b.launch(worker.Options{Concurrency: 3, DrainTimeout: -1})
	b.eventually("the first is full", func() bool { return first.running("") == 3 })
	first.full.Store(true)
	_, _, _ = b.launch(worker.Options{Concurrency: 7})
	b.eventually("the second works on the rest", func() bool { return second.running("") == 4 })
	cancel()
	require.NoError(t, wait())
	b.eventually("and on what the first had", func() bool { return second.running("") == 7 })
	second.letAll()
	b.eventuallyClosed(id, core.RunCompleted)
	for _, f := range b.files(id) {
		require.Zero(t, f.Redeliveries, "nothing was taken for dead")
	}
}

// What is parked, and what waits to be claimed, goes back to the queue at a stop.
func TestStopSendsBackWhatIsNotClaimed(t *testing.T) {
	t.Parallel()

	t.Run("Parked", func(t *testing.T) {
		t.Parallel()
		g := newGate()
		b := newBench(t, g)
		b.initiate(5)
		w, cancel, wait := b.launch(worker.Options{Concurrency: 5, TenantConcurrency: 2})
		b.eventually("parked", func() bool { return g.running("") == 2 && w.Stats().Parked == 3 })
		cancel()
		b.eventually("back at once, while jobs run", func() bool { return b.queue.Len() == 3 })
		g.letAll()
		require.NoError(t, wait())
		require.Equal(t, 3, b.queue.Len())
		all, _ := g.executions()
		require.Equal(t, 2, all)
	})

	t.Run("WaitingForALockedRun", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, completes)
		b.lockRun(b.initiate(9))
		w, cancel, wait := b.launch(worker.Options{Concurrency: 9, DrainTimeout: time.Second})
		b.eventually("all wait", func() bool { return w.Stats().Waiting == 9 && b.store.begun.Load() > 0 })
		cancel()
		// Two wait for the lock itself, which the memory store does for ever; the drain
		// gives up on them.
		b.eventually("the others are back", func() bool { return b.queue.Len() >= 7 })
		ended := make(chan error, 1)
		go func() { ended <- wait() }()
		b.eventually("stops", func() bool {
			b.clock.Advance(time.Second)
			return len(ended) == 1
		})
		require.NoError(t, <-ended)
	})
	// It waits because this process itself has the run in hand: a result of it waits
	// for the lock.
	t.Run("WaitingForItsOwnRun", func(t *testing.T) {
		t.Parallel()
		g := newGate()
		b := newBench(t, g)
		feed := oneByOne{b.queue, make(chan struct{}, 2)}
		b.feed = feed
		run := b.initiate(2)
		w, cancel, wait := b.launch(worker.Options{Concurrency: 2, DrainTimeout: time.Hour, RecoverEvery: 24 * time.Hour})
		feed.let <- struct{}{}
		b.eventually("one executes", func() bool { return g.running("") == 1 })
		free := b.lockRun(run)
		require.True(t, g.letOne(run))
		b.eventually("it waits to be recorded", func() bool { s := w.Stats(); return s.Unsaved == 1 && s.SettleGroups > 0 })
		feed.let <- struct{}{}
		b.eventually("the other waits to be claimed", func() bool { return w.Stats().Waiting == 1 })
		cancel()
		b.eventually("it is back while the run is locked", func() bool { return b.queue.Len() == 1 })
		free()
		require.NoError(t, wait())
		require.Equal(t, 1, b.run(run).CompletedJobs)
	})
}

// oneByOne gives one delivery each time that it is let.
type oneByOne struct {
	ports.Feed
	let chan struct{}
}

func (f oneByOne) Receive(ctx context.Context, _ int, skip ports.Skip) ([]ports.Delivery, error) {
	select {
	case <-f.let:
		return f.Feed.Receive(ctx, 1, skip)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
