package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// The wiring test of spec 11: a run with 2 failed files and 1 pending one is
// continued against a real database.
func TestWiring(t *testing.T) {
	t.Parallel()
	testWiring(t, postgres.Config{})
}

func testWiring(t *testing.T, c postgres.Config) {
	t.Helper()
	w := newWorld(t, c, noExecution)
	ctx := bounded(t)

	run := w.settled(t, 5, func(i int) core.Outcome {
		return map[int]core.Outcome{0: core.OutcomeCompleted, 1: core.OutcomeTransient, 2: core.OutcomePermanent, 3: core.OutcomeTransient}[i]
	})
	run, err := w.Cancel(ctx, customer, run.ID) // file 4 is left pending
	require.NoError(t, err)
	require.Equal(t, core.RunInterrupted, run.Status)
	before := w.balance(t, "acme")
	require.Equal(t, core.Split{Monthly: 0, Purchased: 1_000_000}, before.Split, "the 10 of the month were spent on the initiation")

	continued, err := w.RetryFailed(ctx, customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)

	t.Run("CreditsDeducted", func(t *testing.T) {
		require.Equal(t, before.Purchased-4, w.balance(t, "acme").Purchased, "2 failed files at 2 credits; the pending one is free")
		require.EqualValues(t, 999_996, w.number(t, `SELECT purchased FROM credits WHERE tenant_id = 'acme'`))
		require.EqualValues(t, 1, w.number(t, `
			SELECT count(*) FROM ledger WHERE tenant_id = 'acme' AND kind = 'charge' AND key = $1
			   AND period = '2026-03' AND monthly = 0 AND purchased = 4 AND run_id = $2 AND attempt = 1`,
			core.ChargeKey(run.ID, 1), run.ID))
	})
	t.Run("CountersReopened", func(t *testing.T) {
		require.Equal(t, core.RunRunning, continued.Status)
		require.EqualValues(t, 1, w.number(t, `
			SELECT count(*) FROM runs WHERE tenant_id = 'acme' AND run_id = $1 AND status = 'RUNNING' AND closed_at IS NULL
			   AND attempt = 1 AND total_jobs = 5 AND attempt_jobs = 3 AND completed_jobs = 0 AND failed_jobs = 0
			   AND tally_unfinished = 3 AND tally_completed = 1 AND tally_failed = 0 AND tally_error = 1
			   AND credits_consumed = 14 AND credits_from_monthly = 10 AND credits_from_purchased = 4
			   AND last_retried_at IS NOT NULL AND dispatch = 'confirmed'`, run.ID))
		require.EqualValues(t, 3, w.number(t, `
			SELECT count(*) FROM files WHERE tenant_id = 'acme' AND run_id = $1 AND status = 'pending' AND retry_attempt = 1
			   AND index IN (1, 3, 4)`, run.ID))
		require.EqualValues(t, 3, w.number(t, `
			SELECT count(*) FROM attempt_files WHERE tenant_id = 'acme' AND run_id = $1 AND attempt = 1
			   AND charged = (before_status = 'failed') AND charged = (index IN (1, 3))`, run.ID))
	})
	t.Run("JobsEnqueuedWithExplicitIDs", func(t *testing.T) {
		var ids []core.JobID
		for _, job := range w.queue.drain(t) {
			require.Equal(t, continued.Epoch, job.Epoch)
			ids = append(ids, job.ID)
		}
		id := string(run.ID)
		require.Equal(t, []core.JobID{core.JobID(id + ":file:1"), core.JobID(id + ":file:3"), core.JobID(id + ":file:4")}, ids)
	})
}

// The way back: enqueueing fails after the commit, and the database is exactly
// what it was, but for the two ledger entries, the attempt's record and the epoch.
func TestCompensation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	run := w.settled(t, 4, func(i int) core.Outcome {
		return map[int]core.Outcome{0: core.OutcomeCompleted, 1: core.OutcomeTransient, 2: core.OutcomeTransient, 3: core.OutcomePermanent}[i]
	})
	balance, files := w.balance(t, "acme"), w.files(t, run.ID)

	w.queue.failWith(func() error { return errQueueDown })
	_, err := w.RetryFailed(bounded(t), customer, run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.ErrorIs(t, err, errQueueDown)

	require.Equal(t, balance, w.balance(t, "acme"))
	after := w.read(t, run.ID)
	require.Greater(t, after.Epoch, run.Epoch)
	require.EqualValues(t, 1, after.Attempt)
	after.Epoch, after.Attempt, after.Dispatch = run.Epoch, run.Attempt, run.Dispatch
	after.DispatchedAt, after.Redispatches = run.DispatchedAt, run.Redispatches
	require.Equal(t, run, after)
	for i, f := range w.files(t, run.ID) {
		f.Epoch = files[i].Epoch
		require.Equal(t, files[i], f)
	}
	require.EqualValues(t, 1, w.number(t, `
		SELECT count(*) FROM ledger r JOIN ledger c ON c.tenant_id = r.tenant_id AND c.key = r.charge_key
		 WHERE r.kind = 'refund' AND r.run_id = $1 AND (r.period, r.monthly, r.purchased) = (c.period, c.monthly, c.purchased)`, run.ID))
	w.requireInvariants(t)

	// What was refunded is charged when it is continued.
	w.queue.failWith(nil)
	_, err = w.RetryFailed(bounded(t), customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	require.Equal(t, balance.Available()-4, w.balance(t, "acme").Available())
	w.requireInvariants(t)
}
