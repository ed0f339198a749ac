package worker_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
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

// once panics the first n times that it is asked to.
type once struct{ left atomic.Int64 }

func panicking(n int64) *once {
	o := &once{}
	o.left.Store(n)
	return o
}

func (o *once) perhaps() {
	if o.left.Add(-1) >= 0 {
		panic("a bug")
	}
}

// panickyFeed panics when it is asked, and its deliveries when they are told.
type panickyFeed struct {
	ports.Feed
	receive, ack *once
}

func (f panickyFeed) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	f.receive.perhaps()
	got, err := f.Feed.Receive(ctx, limit, skip)
	for i, d := range got {
		got[i] = panickyDelivery{d, f.ack}
	}
	return got, err
}

type panickyDelivery struct {
	ports.Delivery
	ack *once
}

func (d panickyDelivery) Ack(ctx context.Context) error {
	d.ack.perhaps()
	return d.Delivery.Ack(ctx)
}

// panickyFiles cannot be opened.
type panickyFiles struct{ ports.Files }

func (panickyFiles) Open(context.Context, core.TenantID, core.FileRef) (io.ReadCloser, error) {
	panic("no such disk")
}

// Nothing that panics on a job's way takes the process down, or another job's work.
func TestPanics(t *testing.T) {
	t.Parallel()
	finish := func(t *testing.T, b *bench, id core.RunID) {
		b.eventually("the run closes", func() bool {
			b.clock.Advance(time.Second)
			return b.run(id).Status.Closed()
		})
	}

	t.Run("InTheFeed", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, completes)
		b.feed = panickyFeed{b.queue, panicking(2), panicking(3)}
		id := b.initiate(10)
		w, _, _ := b.launch(worker.Options{Concurrency: 3})
		finish(t, b, id)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.EqualValues(t, 5, w.Stats().Panics)
	})

	t.Run("InTheStore", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, completes)
		id := b.initiate(10)
		bug := panicking(7) // claims, results, recovery and refill
		wrap := func(tx ports.Tx) ports.Tx { bug.perhaps(); return tx }
		b.store.wrap.Store(&wrap)
		w, _, _ := b.launch(worker.Options{Concurrency: 3})
		finish(t, b, id)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.EqualValues(t, 7, w.Stats().Panics)
	})

	t.Run("WhenAFileIsOpened", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			content, err := task.Files[0].Open(ctx)
			if err != nil {
				return nil, err
			}
			return completed(task), content.Close()
		}), func(d *app.Deps, _ *app.Options) { d.Files = panickyFiles{memory.NewFiles()} })
		id := b.initiate(3)
		b.start(worker.Options{Concurrency: 3})
		b.eventuallyClosed(id, core.RunInterrupted)
		require.Equal(t, core.ReasonServiceFault, b.run(id).Reason)
		for _, f := range b.files(id) {
			require.Equal(t, core.FilePending, f.Status, "it is free to continue")
			require.Equal(t, core.FailurePanic, f.Failure.Code)
		}
	})

	// Around the executor: here in what draws the jitter.
	t.Run("AroundTheExecutor", func(t *testing.T) {
		t.Parallel()
		var log syncBuilder
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			return failed(task, "bad", 0), nil
		}), func(_ *app.Deps, o *app.Options) { o.Roll = func() float64 { panic("no dice") } })
		id := b.initiate(2)
		w, _, _ := b.launch(worker.Options{Concurrency: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		b.eventuallyClosed(id, core.RunInterrupted)
		require.Equal(t, core.FailurePanic, b.run(id).Failure.Code)
		require.Equal(t, core.FailurePanic, b.files(id)[1].Failure.Code)
		require.EqualValues(t, 2, w.Stats().Panics)
		for _, name := range []string{"tenant=acme", "run=" + string(id), "job=" + string(id) + ":file:1", "epoch=1", "no dice", "worker.(*Worker).work"} {
			require.True(t, strings.Contains(log.String(), name), "%s is not in the log: %s", name, log.String())
		}
	})

	// A function of the embedder's that panics limits nothing.
	t.Run("InAnOption", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, completes)
		id := b.initiate(10)
		bug := panicking(5)
		b.start(worker.Options{
			Concurrency: 2,
			TenantLimit: func(core.TenantID) int { bug.perhaps(); return 1 },
			Breaker:     worker.Breaker{Endpoint: func(ports.TemplateKey) string { panic("no name") }},
		})
		b.eventuallyClosed(id, core.RunCompleted)
	})
}
