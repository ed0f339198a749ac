package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testLargeRun: a run of many files from beginning to end: three of ten fail,
// are continued, and complete.
func testLargeRun(t *testing.T, newStore Factory, o Options) {
	s := newService(t, newStore, "acme")
	n, failing := o.LargeRun, 0
	s.outcomes(func(task ports.Task, index int) core.Outcome {
		if index%10 < 3 && task.Job.Epoch == 1 {
			return core.OutcomeTransient
		}
		return core.OutcomeCompleted
	})
	for i := range n {
		if i%10 < 3 {
			failing++
		}
	}
	ctx := bounded(t)
	run := s.initiate(t, "acme", n)
	require.Equal(t, n, run.TotalJobs)
	require.Equal(t, n, s.queue.Len())
	for i, err := range together(t, 4, func(i int) error { return s.work(ctx, s.servers[i%len(s.servers)]) }) {
		require.NoError(t, err, "worker %d", i)
	}
	closed, _, _ := s.read(t, run.ID)
	require.Equal(t, core.RunCompletedWithErrors, closed.Status)
	require.Equal(t, core.Tally{Completed: n - failing, Failed: failing}, closed.Tally)
	s.check(t)

	preview, err := s.servers[0].PreviewRetry(ctx, admin("acme"), run.ID)
	require.NoError(t, err)
	require.Nil(t, preview.Refusal)
	continued, err := s.servers[1].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
	require.Equal(t, preview.Plan.Run, continued)
	require.Equal(t, core.Credits(n+failing)*price, continued.CreditsConsumed)
	require.Equal(t, n, continued.TotalJobs)
	require.Equal(t, failing, continued.AttemptJobs)
	require.Equal(t, failing, s.queue.Len(), "only what failed runs again")
	s.check(t)

	for i, err := range together(t, 4, func(i int) error { return s.work(ctx, s.servers[i%len(s.servers)]) }) {
		require.NoError(t, err, "worker %d", i)
	}
	closed, files, attempts := s.read(t, run.ID)
	require.Equal(t, core.RunCompleted, closed.Status)
	require.Equal(t, core.Tally{Completed: n}, closed.Tally)
	require.Len(t, attempts, 2)
	require.Len(t, attempts[1].Files, failing)
	for i, f := range files {
		if retried := i%10 < 3; retried != (f.RetryAttempt == 1) {
			require.Fail(t, "retried although it had completed, or the other way round", "file %d", i)
		}
	}
	s.check(t)
	_, err = s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrNoErrorsToRetry)
}
