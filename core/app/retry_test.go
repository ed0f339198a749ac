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

// The use-case tests of spec 11, in its order.
func TestRetryFailed(t *testing.T) {
	t.Parallel()

	t.Run("HappyPathThreeFailed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		before := w.closedRun("cccfffcccc")
		require.Equal(t, core.RunCompletedWithErrors, before.Status)
		w.requireBalance(0, 50)
		w.purchase(50)
		w.clock.Advance(time.Hour)

		run := w.continueRun(before.ID)
		w.requireBalance(0, 70)
		require.Equal(t, core.RunRunning, run.Status)
		require.Equal(t, 10, run.TotalJobs)
		require.Equal(t, 3, run.AttemptJobs)
		require.Zero(t, run.CompletedJobs)
		require.Zero(t, run.FailedJobs)
		require.Equal(t, core.Credits(130), run.CreditsConsumed)
		require.Equal(t, core.Credits(100), run.CreditsFromMonthly)
		require.Equal(t, core.Credits(30), run.CreditsFromPurchased)
		require.Equal(t, w.clock.Now(), run.LastRetriedAt)
		require.Equal(t, core.AttemptNumber(1), run.Attempt)
		require.Greater(t, run.Epoch, before.Epoch)
		require.Equal(t, "cccpppcccc", w.statuses(run.ID))
		for _, f := range w.fileRows(run.ID)[3:6] {
			require.Equal(t, 1, f.RetryAttempt)
		}
		require.Equal(t, []core.Job{
			{Tenant: acme, Run: run.ID, Epoch: run.Epoch, ID: core.JobID(run.ID + ":file:3"), Template: template, Files: []int{3}},
			{Tenant: acme, Run: run.ID, Epoch: run.Epoch, ID: core.JobID(run.ID + ":file:4"), Template: template, Files: []int{4}},
			{Tenant: acme, Run: run.ID, Epoch: run.Epoch, ID: core.JobID(run.ID + ":file:5"), Template: template, Files: []int{5}},
		}, w.queue.Waiting())

		w.script.set("")
		w.workAll()
		after := w.run(run.ID)
		require.Equal(t, core.RunCompleted, after.Status, "fan-in must wait for 3 jobs and not for 10")
		require.Equal(t, 3, after.CompletedJobs)
		require.Zero(t, w.script.callsOf(0), "what had completed was executed again")
		w.requireBooks()
	})

	t.Run("InsufficientCredits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(14))
		run := w.closedRun("ffffffffff") // 140 of 150
		refusal := w.requireRefused(core.ErrInsufficientCredits, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
		require.Equal(t, core.Credits(140), refusal.Needed)
		require.Equal(t, core.Credits(10), refusal.Available)
	})

	t.Run("RunRunning", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(2)
		w.requireRefused(core.ErrRunAlreadyRunning, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
	})

	t.Run("RunCompleted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cc")
		w.requireRefused(core.ErrNoErrorsToRetry, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
	})

	t.Run("TemplateSoftDeletedSucceeds", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cf")
		price := core.Credits(7)
		_, err := w.svc.ChangeTemplate(w.ctx, platform, acme, template, core.TemplateChange{CreditsPerRun: &price})
		require.NoError(t, err)
		_, err = w.svc.DeleteTemplate(w.ctx, platform, acme, template)
		require.NoError(t, err)

		w.continueRun(run.ID)
		w.requireBalance(100-20-7, 50)
		w.requireRefused(core.ErrTemplateDeleted, func() error {
			_, err := w.svc.Initiate(w.ctx, admin, w.request(1))
			return err
		})
	})

	t.Run("PendingOnlyCostsNothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.mixedRun("ccpp")
		charges := len(w.entries())
		after := w.continueRun(run.ID)
		w.requireBalance(60, 50)
		require.Len(t, w.entries(), charges, "a free Continue wrote a ledger entry")
		require.Equal(t, 2, after.AttemptJobs)
		require.Equal(t, core.Credits(40), after.CreditsConsumed)
	})

	t.Run("MixedChargesFailedOnly", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.mixedRun("cffp")
		after := w.continueRun(run.ID)
		w.requireBalance(100-40-20, 50)
		require.Equal(t, 3, after.AttemptJobs)
		require.Equal(t, "cppp", w.statuses(run.ID))
		w.script.set("")
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status, "fan-in must count the interrupted file too")
		w.requireBooks()
	})

	t.Run("AllPendingInterruptedRun", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(3)
		_, err := w.svc.Cancel(w.ctx, admin, run.ID)
		require.NoError(t, err)
		require.Equal(t, core.RunInterrupted, w.run(run.ID).Status)
		w.continueRun(run.ID)
		w.requireBalance(70, 50)
		require.Equal(t, "ppp", w.statuses(run.ID))
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
		for i := range 3 {
			require.Equal(t, 1, w.script.callsOf(i), "a job of the cancelled attempt was executed")
		}
	})

	t.Run("NothingToRetry", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cee")
		require.Equal(t, core.RunCompletedWithErrors, run.Status)
		w.requireRefused(core.ErrNothingToRetry, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
	})

	t.Run("MaxRetryCountExceeded", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(1))
		w.script.set("fcf")
		req, one := w.request(3), 1
		req.MaxRetryCount = &one
		run, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		w.workAll()
		w.continueRun(run.ID)
		w.workAll()
		refusal := w.requireRefused(core.ErrMaxRetryCountExceeded, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
		require.Equal(t, []int{0, 2}, refusal.Files)
	})

	t.Run("BatchModeEnqueuesOneJobWithRunIDAndAllItsFiles", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		run := w.closedRun("cfeff")
		require.Equal(t, 1, run.TotalJobs)
		require.Equal(t, core.RunCompletedWithErrors, run.Status)
		after := w.continueRun(run.ID)
		require.Equal(t, []core.Job{
			{Tenant: acme, Run: run.ID, Epoch: after.Epoch, ID: core.JobID(run.ID), Template: template, Files: []int{1, 3, 4}},
		}, w.queue.Waiting())
		w.requireBalance(100-50-30, 50)
		w.script.set("")
		w.workAll()
		require.Equal(t, "ccecc", w.statuses(run.ID))
		require.Equal(t, core.RunCompletedWithErrors, w.run(run.ID).Status)
	})

	t.Run("EnqueueFailsAndRefundFails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cff")

		// Enqueueing fails: the original error, and the tenant locked before the refund.
		var log []string
		w.faultyStore.recording(&log)
		w.faultyQueue.fail(0)
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		require.ErrorIs(t, err, errQueue, "the original error must be kept")
		require.Equal(t, []string{
			"begin", "lock run", "lock tenant", "post charge", "commit",
			"begin", "lock run", "lock tenant", "post refund", "commit",
		}, log)
		w.requireBalance(70, 50)

		// The refund fails too: still the original error, and recovery finishes.
		w.faultyStore.failFrom(1)
		_, err = w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		require.ErrorIs(t, err, errQueue, "the original error must be kept")
		require.NotErrorIs(t, err, errStore)
		require.Equal(t, int64(1), w.svc.Stats().CompensationFailures)
		w.faultyStore.heal()
		w.faultyQueue.heal()
		w.requireBalance(50, 50)

		w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
		_, err = w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
		w.script.set("")
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status, "neither work nor refund")
		w.requireBalance(50, 50)
		w.requireBooks()
	})

	t.Run("ErrorFilesExcluded", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("fec")
		after := w.continueRun(run.ID)
		require.Equal(t, 1, after.AttemptJobs)
		require.Equal(t, "pec", w.statuses(run.ID))
		w.requireBalance(60, 50)
		w.script.set("")
		w.workAll()
		require.Equal(t, "cec", w.statuses(run.ID))
		require.Zero(t, w.script.callsOf(1), "a file with a permanent error was executed again")
	})

	t.Run("OneMaxedFileBlocksAll", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("fff")
		require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
			files, err := tx.Files().ByIndex(w.ctx, run.ID, []int{1})
			require.NoError(t, err)
			files[0].RetryAttempt = run.MaxRetryCount
			run.Attempt = core.AttemptNumber(run.MaxRetryCount)
			require.NoError(t, tx.Runs().Save(w.ctx, ports.RunRows{Run: run}))
			return tx.Runs().Save(w.ctx, ports.RunRows{Run: run, Files: files, FilesOnly: true})
		}))
		refusal := w.requireRefused(core.ErrMaxRetryCountExceeded, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
			return err
		})
		require.Equal(t, []int{1}, refusal.Files)
		view, err := w.svc.Run(w.ctx, admin, run.ID)
		require.NoError(t, err)
		require.ErrorIs(t, view.Refusal, core.ErrMaxRetryCountExceeded)
	})

	t.Run("InitiateKeepsMaxRetryCount", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		require.Equal(t, 3, w.initiate(1).MaxRetryCount)
		req, seven := w.request(1), 7
		req.MaxRetryCount = &seven
		run, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		require.Equal(t, 7, run.MaxRetryCount)
		require.Equal(t, 7, w.run(run.ID).MaxRetryCount)
	})
}

// Rule 1 of spec 3, in its order, and the roles.
func TestRetryFailedAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("f")
	for name, c := range map[string]struct {
		actor core.Actor
		run   core.RunID
		want  *core.Error
	}{
		"UnknownRun":                {admin, "nothing", core.ErrRunNotFound},
		"UnknownRunBeforeRole":      {user, "nothing", core.ErrRunNotFound},
		"OtherTenant":               {stranger, run.ID, core.ErrWrongTenant},
		"OtherTenantBeforeRole":     {core.Actor{Tenant: globex, Role: core.RoleCustomerUser}, run.ID, core.ErrWrongTenant},
		"UserMayNot":                {user, run.ID, core.ErrRoleNotAllowed},
		"UnknownRoleOfTheTenantNot": {core.Actor{Tenant: acme, Role: "owner"}, run.ID, core.ErrRoleNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.requireRefused(c.want, func() error { _, err := w.svc.RetryFailed(w.ctx, c.actor, c.run, app.RetryRequest{}); return err })
			w.requireRefused(c.want, func() error { _, err := w.svc.PreviewRetry(w.ctx, c.actor, c.run); return err })
		})
	}
	_, err := w.svc.RetryFailed(w.ctx, platform, run.ID, app.RetryRequest{})
	require.NoError(t, err, "a platform admin acts for every tenant")
}

func TestRetryFailedIdempotencyKey(t *testing.T) {
	t.Parallel()

	t.Run("RepeatReturnsTheFirstAnswerAndChargesNothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cf")
		first, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
		require.NoError(t, err)
		w.workAll() // fails again, so a new Continue would be accepted and charged
		state := w.state()
		again, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, state, w.state())
	})

	t.Run("ARefusedChargeIsRemembered", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(50))
		run := w.closedRun("fff")
		w.requireRefused(core.ErrInsufficientCredits, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
			return err
		})
		w.purchase(1000)
		w.requireRefused(core.ErrInsufficientCredits, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
			return err
		})
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k2"})
		require.NoError(t, err)
	})

	t.Run("AnotherRequestUnderTheKeyIsRefused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run, other := w.closedRun("cf"), w.closedRun("cf")
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
		require.NoError(t, err)
		w.requireRefused(core.ErrIdempotencyKeyReused, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, other.ID, app.RetryRequest{IdempotencyKey: "k1"})
			return err
		})
		w.requireRefused(core.ErrIdempotencyKeyReused, func() error {
			req := w.request(1)
			req.IdempotencyKey = "k1"
			_, err := w.svc.Initiate(w.ctx, admin, req)
			return err
		})
		w.requireRefused(core.ErrInvalidRequest, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, other.ID, app.RetryRequest{IdempotencyKey: "no spaces"})
			return err
		})
	})

	t.Run("AFailedDispatchIsRemembered", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("cf")
		w.faultyQueue.fail(0)
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		w.faultyQueue.heal()
		w.requireRefused(core.ErrEnqueueFailed, func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k1"})
			return err
		})
	})
}

func TestPreviewRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.mixedRun("cffpe")
	before := w.state()
	p, err := w.svc.PreviewRetry(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Nil(t, p.Refusal)
	require.Equal(t, before, w.state(), "the preview changed something")
	require.Equal(t, 2, p.Plan.Charged)
	require.Equal(t, 1, p.Plan.Free)
	require.Equal(t, core.Credits(20), p.Plan.Price())

	w.continueRun(run.ID)
	require.Equal(t, p.Plan.Attempt.Charge.Amount, w.entries()[len(w.entries())-1].Amount, "the preview promised another split")
	p, err = w.svc.PreviewRetry(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, core.CodeRunAlreadyRunning, p.Refusal.Code)
}

// A commit whose answer was lost is not compensated and not repeated: recovery
// dispatches what it committed.
func TestRetryFailedCommitAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cff")
	w.faultyStore.loseAnswer()
	_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, ports.ErrCommitUnknown)
	w.requireBalance(50, 50)
	require.Zero(t, w.queue.Len())
	w.requireRefused(core.ErrRunAlreadyRunning, func() error { _, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{}); return err })

	w.clock.Advance(w.svc.Options().Recovery.DispatchGrace)
	_, err = w.svc.Recover(w.ctx, 10)
	require.NoError(t, err)
	w.script.set("")
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	w.requireBalance(50, 50)
	w.requireBooks()
}

// The caller's cancellation after the commit decides nothing.
func TestRetryFailedCallerGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cf")
	ctx, cancel := context.WithCancel(w.ctx)
	w.faultyQueue.set(func(inner context.Context, q *memory.Queue, jobs []core.Job) (int, error) {
		cancel()
		return q.Enqueue(inner, jobs)
	})
	_, err := w.svc.RetryFailed(ctx, admin, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	require.Equal(t, 1, w.queue.Len())
	require.Equal(t, core.DispatchConfirmed, w.run(run.ID).Dispatch)
}

func TestRaiseMaxRetryCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	req, one := w.request(1), 1
	req.MaxRetryCount = &one
	w.script.set("f")
	run, err := w.svc.Initiate(w.ctx, admin, req)
	require.NoError(t, err)
	w.workAll()
	w.continueRun(run.ID)
	w.requireRefused(core.ErrRunAlreadyRunning, func() error { _, err := w.svc.RaiseMaxRetryCount(w.ctx, platform, run.ID, 2); return err })
	w.workAll()
	w.requireRefused(core.ErrMaxRetryCountExceeded, func() error { _, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{}); return err })
	w.requireRefused(core.ErrRoleNotAllowed, func() error { _, err := w.svc.RaiseMaxRetryCount(w.ctx, admin, run.ID, 2); return err })
	w.requireRefused(core.ErrInvalidRequest, func() error { _, err := w.svc.RaiseMaxRetryCount(w.ctx, platform, run.ID, 11); return err })
	w.requireRefused(core.ErrRunNotFound, func() error { _, err := w.svc.RaiseMaxRetryCount(w.ctx, platform, "x", 2); return err })

	raised, err := w.svc.RaiseMaxRetryCount(w.ctx, platform, run.ID, 2)
	require.NoError(t, err)
	require.Equal(t, 2, raised.MaxRetryCount)
	w.continueRun(run.ID)
	receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, []core.Amendment{{
		Tenant: acme, Run: run.ID, By: platform, At: w.clock.Now(), MaxRetryCountFrom: 1, MaxRetryCountTo: 2,
	}}, receipt.Amendments)
}
