package worker_test

import (
	"context"
	"fmt"
	"slices"
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

// A cancel ends what is under way within two seconds, also on another server than the one
// that was asked, and what a batch has answered until then is kept.
func TestCancelKeepsWhatABatchHasAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const files, answeredOf = 10, 4
		var ended atomic.Int64
		again := atomic.Bool{}
		var executed sync.Map
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for n, f := range task.Files {
				if n == answeredOf && !again.Load() {
					<-ctx.Done()
					ended.Store(time.Now().UnixNano())
					return nil, ctx.Err()
				}
				executed.Store(fmt.Sprint(again.Load(), f.Index), true)
				if err := task.Report(ctx, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}), withSystemClock).withBatch()
		id := b.initiateFor(tenant, batch, files)
		w, _, _ := b.launch(worker.Options{Concurrency: 1})
		time.Sleep(10500 * time.Millisecond)
		require.Equal(t, answeredOf, tally(b.files(id))[core.FileCompleted], "recorded as they came")
		asked := time.Now()
		_, err := b.svc.Cancel(context.Background(), platform, id) // the worker is not told
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.NotZero(t, ended.Load())
		require.LessOrEqual(t, time.Unix(0, ended.Load()).Sub(asked), 2*time.Second)
		require.EqualValues(t, 1, w.Stats().LostLeases)
		require.Equal(t, map[core.FileStatus]int{core.FileCompleted: answeredOf, core.FilePending: files - answeredOf}, tally(b.files(id)))
		require.Equal(t, core.RunInterrupted, b.run(id).Status)

		paid := b.balance(tenant)
		again.Store(true)
		b.proceed(id)
		b.sleepUntilClosed(id, time.Minute)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Equal(t, paid, b.balance(tenant))
		for i := range answeredOf {
			_, twice := executed.Load(fmt.Sprint(true, i))
			require.False(t, twice, "what was answered is not done again")
		}
	})
}

// Of a large batch only some files are looked at, which may all be recorded: that alone
// does not stop it.
func TestALargeBatchIsNotTakenForLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for _, f := range slices.Backward(task.Files) {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if err := task.Report(ctx, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}), withSystemClock).withBatch()
		id := b.initiateFor(tenant, batch, 300)
		w, _, _ := b.launch(worker.Options{Concurrency: 1})
		require.Less(t, b.sleepUntilClosed(id, time.Minute), 32*time.Second)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Zero(t, w.Stats().LostLeases)
	})
}

// A worker that executes nothing asks nothing.
func TestAnIdleWorkerAsksNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, completes, withSystemClock)
		views := &countingViews{Store: b.store}
		deps := b.deps
		deps.Store = views
		svc, err := app.New(deps, b.svc.Options())
		require.NoError(t, err)
		idle := *b
		idle.svc = svc
		idle.launch(worker.Options{RecoverEvery: 24 * time.Hour, RefillEvery: 24 * time.Hour})
		time.Sleep(time.Second)
		before := views.n.Load()
		time.Sleep(10 * time.Minute)
		require.Equal(t, before, views.n.Load())
	})
}

type countingViews struct {
	ports.Store
	n atomic.Int64
}

func (c *countingViews) View(ctx context.Context, t core.TenantID, fn func(ports.Tx) error) error {
	c.n.Add(1)
	return c.Store.View(ctx, t, fn)
}

func (c *countingViews) InTx(ctx context.Context, t core.TenantID, fn func(ports.Tx) error) error {
	c.n.Add(1)
	return c.Store.InTx(ctx, t, fn)
}
