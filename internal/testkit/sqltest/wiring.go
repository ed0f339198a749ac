package sqltest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// Wiring is the wiring test of spec 11: a run with 2 failed files and 1 pending one is
// continued against a real database.
func Wiring(t *testing.T, newWorld NewWorld) {
	t.Helper()
	w := newWorld(t, 0, NoExecution)
	ctx := Bounded(t)

	run := w.Settled(t, 5, func(i int) core.Outcome {
		return map[int]core.Outcome{0: core.OutcomeCompleted, 1: core.OutcomeTransient, 2: core.OutcomePermanent, 3: core.OutcomeTransient}[i]
	})
	run, err := w.Cancel(ctx, Customer, run.ID) // file 4 is left pending
	require.NoError(t, err)
	require.Equal(t, core.RunInterrupted, run.Status)
	before := w.BalanceOf(t, "acme")
	require.Equal(t, core.Split{Monthly: 0, Purchased: 1_000_000}, before.Split, "the 10 of the month were spent on the initiation")

	continued, err := w.RetryFailed(ctx, Customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)

	t.Run("CreditsDeducted", func(t *testing.T) {
		require.Equal(t, before.Purchased-4, w.BalanceOf(t, "acme").Purchased, "2 failed files at 2 credits; the pending one is free")
		require.EqualValues(t, 999_996, w.Number(t, `SELECT purchased FROM credits WHERE tenant_id = 'acme'`))
		require.EqualValues(t, 1, w.Number(t, `
			SELECT count(*) FROM ledger WHERE tenant_id = 'acme' AND kind = 'charge' AND key = $1
			   AND period = '2026-03' AND monthly = 0 AND purchased = 4 AND run_id = $2 AND attempt = 1`,
			core.ChargeKey(run.ID, 1), run.ID))
	})
	t.Run("CountersReopened", func(t *testing.T) {
		require.Equal(t, core.RunRunning, continued.Status)
		require.EqualValues(t, 1, w.Number(t, `
			SELECT count(*) FROM runs WHERE tenant_id = 'acme' AND run_id = $1 AND status = 'RUNNING' AND closed_at IS NULL
			   AND attempt = 1 AND total_jobs = 5 AND attempt_jobs = 3 AND completed_jobs = 0 AND failed_jobs = 0
			   AND tally_unfinished = 3 AND tally_completed = 1 AND tally_failed = 0 AND tally_error = 1
			   AND credits_consumed = 14 AND credits_from_monthly = 10 AND credits_from_purchased = 4
			   AND last_retried_at IS NOT NULL AND dispatch = 'confirmed'`, run.ID))
		require.EqualValues(t, 3, w.Number(t, `
			SELECT count(*) FROM files WHERE tenant_id = 'acme' AND run_id = $1 AND status = 'pending' AND retry_attempt = 1
			   AND {index} IN (1, 3, 4)`, run.ID))
		require.EqualValues(t, 3, w.Number(t, `
			SELECT count(*) FROM attempt_files WHERE tenant_id = 'acme' AND run_id = $1 AND attempt = 1
			   AND charged = (before_status = 'failed') AND charged = ({index} IN (1, 3))`, run.ID))
	})
	t.Run("JobsEnqueuedWithExplicitIDs", func(t *testing.T) {
		var ids []core.JobID
		for _, job := range w.Queue.Drain(t) {
			require.Equal(t, continued.Epoch, job.Epoch)
			ids = append(ids, job.ID)
		}
		id := string(run.ID)
		require.Equal(t, []core.JobID{core.JobID(id + ":file:1"), core.JobID(id + ":file:3"), core.JobID(id + ":file:4")}, ids)
	})
}

// Compensation is the way back: enqueueing fails after the commit, and the database is exactly
// what it was, but for the two ledger entries, the attempt's record and the epoch.
func Compensation(t *testing.T, newWorld NewWorld) {
	t.Helper()
	w := newWorld(t, 0, NoExecution)
	run := w.Settled(t, 4, func(i int) core.Outcome {
		return map[int]core.Outcome{0: core.OutcomeCompleted, 1: core.OutcomeTransient, 2: core.OutcomeTransient, 3: core.OutcomePermanent}[i]
	})
	balance, files := w.BalanceOf(t, "acme"), w.FilesOf(t, run.ID)

	w.Queue.FailWith(func() error { return ErrQueueDown })
	_, err := w.RetryFailed(Bounded(t), Customer, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.ErrorIs(t, err, ErrQueueDown)

	require.Equal(t, balance, w.BalanceOf(t, "acme"))
	after := w.Read(t, run.ID)
	require.Greater(t, after.Epoch, run.Epoch)
	require.EqualValues(t, 1, after.Attempt)
	after.Epoch, after.Attempt, after.Dispatch = run.Epoch, run.Attempt, run.Dispatch
	after.DispatchedAt, after.Redispatches = run.DispatchedAt, run.Redispatches
	require.Equal(t, run, after)
	for i, f := range w.FilesOf(t, run.ID) {
		f.Epoch = files[i].Epoch
		require.Equal(t, files[i], f)
	}
	require.EqualValues(t, 1, w.Number(t, `
		SELECT count(*) FROM ledger r JOIN ledger c ON c.tenant_id = r.tenant_id AND c.key = r.charge_key
		 WHERE r.kind = 'refund' AND r.run_id = $1 AND (r.period, r.monthly, r.purchased) = (c.period, c.monthly, c.purchased)`, run.ID))
	w.DB.Invariants(t)

	// What was refunded is charged when it is continued.
	w.Queue.FailWith(nil)
	_, err = w.RetryFailed(Bounded(t), Customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	require.Equal(t, balance.Available()-4, w.BalanceOf(t, "acme").Available())
	w.DB.Invariants(t)
}
