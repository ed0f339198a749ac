package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Compensation (spec 4) and the traps of spec 3 around a failed dispatch.

func TestInitiateEnqueueFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faultyQueue.fail(0)
	run, err := w.svc.Initiate(w.ctx, admin, w.request(12))
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.ErrorIs(t, err, errQueue)
	var failed *core.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, run.ID, failed.Run, "the caller must learn which run it is")

	w.requireBalance(100, 50)
	run = w.run(run.ID)
	require.Equal(t, core.RunFailed, run.Status)
	require.Equal(t, core.ReasonDispatchFailed, run.Reason)
	require.Zero(t, run.CreditsConsumed)
	for _, f := range w.fileRows(run.ID) {
		require.Equal(t, core.FileFailed, f.Status)
		require.Equal(t, core.FailureDispatchFailed, f.Failure.Code)
		require.Zero(t, f.RetryAttempt)
	}
	w.requireBooks()

	// webknossos 9331: a refunded file is charged when it is continued.
	w.faultyQueue.heal()
	run = w.continueRun(run.ID)
	require.Equal(t, core.Credits(120), run.CreditsConsumed)
	w.requireBalance(0, 30)
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	w.requireBooks()
	receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, core.WhyRefundedBefore, receipt.Attempts[1].Lines[0].Why, "its earlier work was never done")
}

// Compensating a Continue is the identity on everything that the user sees.
func TestContinueCompensatedIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.mixedRun("cffpe")
	w.clock.Advance(time.Hour)
	run, files, balance := w.run(run.ID), w.fileRows(run.ID), w.balance()
	w.faultyQueue.fail(0)
	answered, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)

	after := w.run(run.ID)
	require.Equal(t, after, answered)
	require.Greater(t, after.Epoch, run.Epoch)
	require.Equal(t, core.AttemptNumber(1), after.Attempt, "an attempt's number is never used twice")
	after.Epoch, after.Attempt, after.Dispatch, after.DispatchedAt = run.Epoch, run.Attempt, run.Dispatch, run.DispatchedAt
	require.Equal(t, run, after)
	rows := w.fileRows(run.ID)
	for i := range rows {
		rows[i].Epoch = files[i].Epoch
	}
	require.Equal(t, files, rows)
	require.Equal(t, balance, w.balance())
	w.requireBooks()

	// And it can be continued as if nothing had been.
	w.faultyQueue.heal()
	w.continueRun(run.ID)
	w.script.set("")
	w.workAll()
	require.Equal(t, "cccce", w.statuses(run.ID))
	w.requireBooks()
}

func TestEnqueueTakesFewerThanAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("ff")
	w.faultyQueue.set(func(_ context.Context, _ *memory.Queue, jobs []core.Job) (int, error) { return len(jobs) - 1, nil })
	_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	w.requireBalance(80, 50)
}

func TestPartialPublishThenError(t *testing.T) {
	t.Parallel()

	t.Run("NothingClaimedIsRefundedAndWhatGotOutDoesNothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("fffff")
		w.faultyQueue.fail(2)
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		w.faultyQueue.heal()
		require.Equal(t, 2, w.queue.Len())
		late := w.queue.Waiting()
		w.requireBalance(50, 50)
		state := w.state()
		w.script.set("")
		w.workAll()
		state.Queue = w.queue.Waiting()
		require.Equal(t, state, w.state(), "a compensated attempt's job had an effect")
		require.Zero(t, w.script.callsOf(0))

		// Nor does it once the run is running again.
		w.continueRun(run.ID)
		claimed, _, err := w.svc.Claim(w.ctx, late, app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, claimed, "late delivery of a compensated attempt")
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
		w.requireBooks()
	})

	t.Run("ClaimedIsNotRefundedAndRecoverSendsTheRest", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("fff")
		w.script.set("")
		w.faultyQueue.set(func(ctx context.Context, q *memory.Queue, jobs []core.Job) (int, error) {
			_, err := q.Enqueue(ctx, jobs[:1])
			require.NoError(t, err)
			w.workAll() // a worker is faster than the error
			return 0, errQueue
		})
		after, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.NoError(t, err, "the attempt is under way, so Continue succeeded")
		require.Equal(t, core.RunRunning, after.Status)
		w.requireBalance(40, 50)
		w.faultyQueue.heal()

		_, err = w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
		require.Equal(t, 2, w.queue.Len(), "recovery must send what is missing at once")
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
		w.requireBalance(40, 50)
		require.Zero(t, w.svc.Stats().Compensated)
		w.requireBooks()
	})
}

// The month ends between charge and refund: the monthly part goes back to the
// month that it came from and never inflates the new one.
func TestMonthEndsBetweenChargeAndRefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Set(time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC))
	run := w.closedRun("cccccccccffff") // 100 monthly and 30 purchased
	w.purchase(100)
	w.faultyQueue.set(func(context.Context, *memory.Queue, []core.Job) (int, error) {
		w.clock.Advance(time.Minute)
		return 0, errQueue
	})
	november := core.PeriodOf(w.clock.Now())
	w.grant(15)
	_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)

	require.Equal(t, november.Next(), w.balance().Period)
	w.requireBalance(0, 120)
	require.NoError(t, w.store.View(w.ctx, acme, func(tx ports.Tx) error {
		old, err := tx.Ledger().Balance(w.ctx, november)
		require.Equal(t, core.Credits(15), old.Monthly)
		return err
	}))
	w.requireBooks()
}

// The process dies between commit and enqueue, or between enqueue and its
// bookkeeping.
func TestProcessDiesDuringDispatch(t *testing.T) {
	t.Parallel()

	t.Run("BetweenCommitAndEnqueue", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.faultyQueue.set(func(context.Context, *memory.Queue, []core.Job) (int, error) { panic("killed") })
		require.Panics(t, func() { _, _ = w.svc.Initiate(w.ctx, admin, w.request(3)) })
		w.faultyQueue.heal()
		require.Zero(t, w.queue.Len())

		// Not yet: the initiation might still be about to enqueue.
		_, err := w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
		require.Zero(t, w.queue.Len())
		w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
		_, err = w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
		require.Equal(t, 3, w.queue.Len())
		w.workAll()
		runs, err := w.svc.Runs(w.ctx, admin, acme, ports.RunFilter{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, core.RunCompleted, runs[0].Run.Status)
		w.requireBalance(70, 50)
		w.requireBooks()
	})

	t.Run("BetweenEnqueueAndBookkeeping", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("fff")
		w.faultyStore.failFrom(1)
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.NoError(t, err, "the jobs are out")
		require.Equal(t, int64(1), w.svc.Stats().Unconfirmed)
		w.faultyStore.heal()
		require.Equal(t, 3, w.queue.Len())
		w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
		_, err = w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
		require.Equal(t, 3, w.queue.Len(), "what is outstanding was carried twice")
		require.Equal(t, core.DispatchConfirmed, w.run(run.ID).Dispatch)
		w.script.set("")
		w.workAll()
		require.Equal(t, 1, w.script.callsOf(0))
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	})
}

// A run that is cancelled while its enqueueing fails stays cancelled: what is
// paid for is pending and free to continue.
func TestCancelledDuringFailingDispatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var id core.RunID
	w.faultyQueue.set(func(_ context.Context, _ *memory.Queue, jobs []core.Job) (int, error) {
		id = jobs[0].Run
		_, err := w.svc.Cancel(w.ctx, admin, id)
		require.NoError(t, err)
		return 0, errQueue
	})
	run, err := w.svc.Initiate(w.ctx, admin, w.request(2))
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.ErrorIs(t, err, errQueue)
	require.Equal(t, core.RunInterrupted, run.Status)
	w.requireBalance(80, 50)
	w.faultyQueue.heal()
	w.continueRun(id)
	w.requireBalance(80, 50)
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(id).Status)
	w.requireBooks()
}

// Archimedes PR 1498: charged, then the enqueue failed, and the money was kept.
// However often it happens, each charge is refunded once.
func TestEnqueueFailsAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("ff")
	w.faultyQueue.fail(1)
	for range 5 {
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		w.requireBalance(80, 50)
	}
	require.Equal(t, int64(5), w.svc.Stats().Compensated)
	for _, f := range w.fileRows(run.ID) {
		require.Zero(t, f.RetryAttempt, "a fault of ours cost a retry")
	}
	w.requireBooks()
	receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Len(t, receipt.Attempts, 6)
	require.Equal(t, core.RefundKey(run.ID, 5), receipt.Attempts[5].Refund)
	require.Equal(t, core.LineRefunded, receipt.Attempts[5].Lines[1].Kind)
	require.Equal(t, core.LineCharged, receipt.Attempts[0].Lines[1].Kind)
}
