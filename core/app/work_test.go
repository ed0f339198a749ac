package app_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Late and double deliveries (spec 3): each is dropped without effect.
func TestDeliveriesWithoutEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(2)
	jobs := w.queue.Waiting()
	first := w.claimNext()

	dropped := func(t *testing.T, jobs ...core.Job) {
		t.Helper()
		before := w.state()
		claimed, _, err := w.svc.Claim(w.ctx, jobs, app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, claimed)
		require.Equal(t, before, w.state())
	}
	dropped(t, jobs[0]) // delivered twice
	unknown, foreign, missing, newer, merged, renamed := jobs[1], jobs[1], jobs[1], jobs[1], jobs[1], jobs[1]
	unknown.Run, foreign.Tenant, missing.Files, newer.Epoch = "nothing", globex, []int{7}, 99
	merged.Files, renamed.ID = []int{0, 1}, jobs[0].ID
	for _, job := range []core.Job{unknown, foreign, missing, newer, merged, renamed} {
		dropped(t, job)
	}
	w.settle(first, 'c')
	before := w.state()
	w.settle(first, 'e') // a result recorded twice
	require.Equal(t, before, w.state())
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	dropped(t, jobs...) // after the run closed
}

// The same delivery twice in one group is claimed once.
func TestClaimGroupWithDuplicate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initiate(2)
	jobs := w.queue.Waiting()
	claimed, _, err := w.svc.Claim(w.ctx, []core.Job{jobs[1], jobs[0], jobs[1]}, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, 2)
	require.Equal(t, []int{1}, claimed[0].Job.Files)
	require.Equal(t, "file-1", claimed[0].Files[0].Name, "a job got another job's input")
	require.Equal(t, "file-0", claimed[1].Files[0].Name)
}

func TestWork(t *testing.T) {
	t.Parallel()

	t.Run("EachJobGetsItsOwnInput", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			content, err := task.Files[0].Open(ctx)
			require.NoError(t, err)
			data, err := io.ReadAll(content)
			require.NoError(t, err)
			return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: task.Template.Instructions + " " + string(data)}}, nil
		})
		run := w.initiate(3)
		w.workAll()
		for i, f := range w.fileRows(run.ID) {
			require.Equal(t, "Summarise. content of file-"+string(rune('0'+i)), f.Output)
		}
	})

	t.Run("ExecutorErrorFailsEveryFileTransiently", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, errors.New("secret detail") })
		run := w.initiate(2)
		w.workAll()
		require.Equal(t, "ff", w.statuses(run.ID))
		require.Equal(t, core.RunFailed, w.run(run.ID).Status)
		require.NotContains(t, w.fileRows(run.ID)[0].Failure.Message, "secret")
	})

	t.Run("PanicIsThatJobsAlone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.script.handle(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			if task.Files[0].Index == 0 {
				panic("boom")
			}
			return []core.FileResult{resultOf(task.Files[0].Index, 'c')}, nil
		})
		run := w.initiate(2)
		w.workAll()
		require.Equal(t, "pc", w.statuses(run.ID), "a panic is ours: the file is free to continue")
		require.Equal(t, core.FailurePanic, w.fileRows(run.ID)[0].Failure.Code)
		require.Equal(t, core.RunInterrupted, w.run(run.ID).Status)
		require.Equal(t, int64(1), w.svc.Stats().ExecutorPanics)
	})

	t.Run("AFileWithoutResultIsFailed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
			return []core.FileResult{resultOf(1, 'c'), resultOf(9, 'c')}, nil
		})
		run := w.initiate(2)
		w.workAll()
		require.Equal(t, "fc", w.statuses(run.ID))
		require.Equal(t, core.FailureNoResult, w.fileRows(run.ID)[0].Failure.Code)
	})

	t.Run("NoTransactionIsOpenWhileTheExecutorWorks", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		open := 0
		w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			open++
			defer func() { open-- }()
			return w.store.InTx(ctx, tenant, fn)
		})
		w.script.handle(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			require.Zero(t, open)
			return []core.FileResult{resultOf(task.Files[0].Index, 'c')}, nil
		})
		w.initiate(1)
		w.workAll()
	})

	t.Run("ClaimFailsAndTheDeliveryComesAgain", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(1)
		w.faultyStore.failFrom(0)
		deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.ErrorIs(t, w.svc.Work(w.ctx, deliveries[0]), errStore)
		w.faultyStore.heal()
		require.Equal(t, 1, w.queue.Len())
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	})

	t.Run("SettleAnswerLostIsSettledOnce", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(2)
		c := w.claimNext()
		w.faultyStore.loseAnswer()
		s := []core.Settlement{{Job: c.Job, Results: []core.FileResult{resultOf(0, 'c')}}}
		require.ErrorIs(t, settle(w.ctx, w.svc, s), ports.ErrCommitUnknown)
		require.NoError(t, settle(w.ctx, w.svc, s))
		require.Equal(t, 1, w.run(run.ID).CompletedJobs)
	})

	t.Run("CancelledBeforeTheEndIsHandedBack", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(1)
		ctx, cancel := context.WithCancel(w.ctx)
		w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
			cancel()
			return nil, ctx.Err()
		})
		deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.ErrorIs(t, w.svc.Work(ctx, deliveries[0]), context.Canceled)
		require.Equal(t, "p", w.statuses(run.ID))
		require.Zero(t, w.fileRows(run.ID)[0].Redeliveries, "a hand-back is no redelivery")
		require.Equal(t, 1, w.queue.Len(), "another worker can claim it at once")
		w.script.handle(nil)
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	})
}

// Transient errors are retried inside the job, with backoff, before a file is
// called failed; what the provider asked for is honoured.
func TestInJobRetries(t *testing.T) {
	t.Parallel()
	policy := core.RetryPolicy{MaxTries: 3, BaseDelay: time.Second, MaxDelay: 30 * time.Second, Budget: time.Minute}
	for name, c := range map[string]struct {
		failures   int // executions of file 0 that fail
		retryAfter time.Duration
		statuses   string
		waited     time.Duration
		calls      int
	}{
		"SucceedsOnTheThirdTry": {2, 0, "cc", 3 * time.Second, 3},
		"GivesUpAfterMaxTries":  {3, 0, "fc", 3 * time.Second, 3},
		"HonoursRetryAfter":     {1, 20 * time.Second, "cc", 20 * time.Second, 2},
		"RetryAfterOverBudget":  {1, 2 * time.Minute, "fc", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withBatch(), withOptions(func(o *app.Options) { o.Retry = policy }))
			calls := 0
			w.script.handle(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
				var results []core.FileResult
				for _, f := range task.Files {
					letter := byte('c')
					if f.Index == 0 {
						if calls++; calls <= c.failures {
							letter = 'f'
						}
					} else {
						require.Equal(t, 1, task.Try, "a file that had completed was executed again")
					}
					r := resultOf(f.Index, letter)
					r.RetryAfter = c.retryAfter
					results = append(results, r)
				}
				return results, nil
			})
			run := w.initiate(2)
			deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, w.svc.Work(w.ctx, deliveries[0]))
			require.Equal(t, c.statuses, w.statuses(run.ID))
			require.Equal(t, c.waited, w.clock.Now().Sub(began))
			require.Equal(t, c.calls, calls)
		})
	}
}

func TestStaleResultAfterContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(2)
	a, b := w.claimNext(), w.claimNext()
	w.settle(a, 'f')
	_, err := w.svc.Cancel(w.ctx, admin, run.ID)
	require.NoError(t, err)
	w.continueRun(run.ID) // file 0 is charged, file 1 is free
	w.requireBalance(70, 50)
	before := w.state()
	w.settle(b, 'c')
	require.Equal(t, before, w.state(), "a result of an older epoch had an effect")
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	w.requireBooks()
}
