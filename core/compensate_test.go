package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestCompensable(t *testing.T) {
	t.Parallel()
	for _, status := range runStatuses {
		for _, dispatch := range []core.DispatchState{core.DispatchUnconfirmed, core.DispatchConfirmed} {
			for n := range core.AttemptNumber(4) {
				run := core.Run{Status: status, Dispatch: dispatch, Attempt: 2}
				want := status == core.RunRunning && dispatch == core.DispatchUnconfirmed && n == 2
				require.Equalf(t, want, core.Compensable(run, n), "%s %s attempt %d", status, dispatch, n)
			}
		}
	}
}

func TestCompensateInitiation(t *testing.T) {
	t.Parallel()
	for _, mode := range []core.Mode{core.ModePerFile, core.ModeBatch} {
		started, err := core.PlanRun(newRun(2), inMode(published(5), mode), balanceOf(7, 100), t0)
		require.NoError(t, err)
		var plan core.CompensatePlan
		unchanged(t, func() {
			plan, err = core.Compensate(started.Run, started.Attempt, started.Files, core.System, t1)
		}, started)
		require.NoError(t, err)

		want := started.Run
		want.Status, want.Reason, want.ClosedAt, want.RecoverAt = core.RunFailed, core.ReasonDispatchFailed, t1, time.Time{}
		want.Epoch, want.FailedJobs, want.Tally = 2, started.Run.AttemptJobs, core.Tally{Failed: 2}
		want.CreditsConsumed, want.CreditsFromMonthly, want.CreditsFromPurchased = 0, 0, 0
		require.Equal(t, want, plan.Run)
		for i, f := range plan.Files {
			wantFile := started.Files[i]
			wantFile.Status, wantFile.Epoch = core.FileFailed, 2
			wantFile.Failure = f.Failure
			require.Equal(t, wantFile, f, "the stored content stays")
			require.Equal(t, "dispatch_failed", f.Failure.Code)
			require.NotEmpty(t, f.Failure.Message)
		}
		wantAttempt := started.Attempt
		wantAttempt.CompensatedAt = t1
		require.Equal(t, wantAttempt, plan.Attempt)
		require.True(t, plan.Attempt.Compensated())
		require.False(t, started.Attempt.Compensated())
		require.Equal(t, []core.Entry{{
			Tenant: acme, Key: "refund/run-1/0", Kind: core.EntryRefund, Period: november,
			Amount: core.Split{Monthly: 7, Purchased: 3}, Run: run1, Attempt: 0, Charge: "charge/run-1/0",
			Actor: core.System, At: t1,
		}}, plan.Refund)
	}
}

func TestCompensateContinue(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FileCompleted, core.FileFailed, core.FilePending, core.FileError)
	files[1].RetryAttempt, files[1].Redeliveries, files[1].PaidBy, files[1].Epoch = 2, 1, 1, 3
	files[2].Redeliveries, files[2].PaidBy = 3, 1
	run := closedOver(files, core.ModePerFile)
	run.Attempt, run.Epoch, run.LastRetriedAt = 1, 4, t0.Add(-time.Hour)
	run.AttemptJobs, run.CompletedJobs, run.FailedJobs = 3, 1, 1
	run.CreditsConsumed, run.CreditsFromMonthly, run.CreditsFromPurchased = 9, 4, 5
	retried, err := core.PlanRetry(run, files, balanceOf(3, 100), published(5), core.RetryTerms{By: admin}, t0)
	require.NoError(t, err)

	// The month has ended meanwhile; the refund goes back to where it came from.
	later := december.Start().Add(time.Second)
	plan, err := core.Compensate(retried.Run, retried.Attempt, retried.Files, core.System, later)
	require.NoError(t, err)

	want := run
	want.Epoch, want.Attempt = 6, 2 // used up
	want.Dispatch, want.DispatchedAt = core.DispatchUnconfirmed, t0
	require.Equal(t, want, plan.Run, "status, reason, times, counters and credits are what they were")
	restored := func(f core.File) core.File {
		f.Epoch = 6
		return f
	}
	require.Equal(t, []core.File{restored(files[1]), restored(files[2])}, plan.Files, "retryAttempt included")
	require.Equal(t, november, plan.Refund[0].Period)
	require.Equal(t, retried.Charge[0].Amount, plan.Refund[0].Amount)
	require.Equal(t, retried.Charge[0].Key, plan.Refund[0].Charge)
	require.Equal(t, later, plan.Refund[0].At)
	require.False(t, core.Compensable(plan.Run, 2), "once is enough")
}

func TestCompensateNothingCharged(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FilePending)
	retried, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin}, t0)
	require.NoError(t, err)
	plan, err := core.Compensate(retried.Run, retried.Attempt, retried.Files, core.System, t1)
	require.NoError(t, err)
	require.Empty(t, plan.Refund)
	require.True(t, plan.Attempt.Compensated())
	require.Equal(t, core.RunInterrupted, plan.Run.Status)
}

func TestCompensateFaults(t *testing.T) {
	t.Parallel()
	type scenario struct {
		run     core.Run
		attempt core.Attempt
		files   []core.File
	}
	const cannot = "cannot be compensated"
	for _, tc := range []struct {
		name  string
		spoil func(*scenario)
		says  string
	}{
		{"claimed", func(s *scenario) { s.run.Dispatch = core.DispatchConfirmed }, cannot},
		{"closed", func(s *scenario) { s.run.Status = core.RunInterrupted }, cannot},
		{"an older attempt", func(s *scenario) { s.run.Attempt = 1 }, cannot},
		{"compensated before", func(s *scenario) { s.attempt.CompensatedAt = t0 }, cannot},
		{"another run's attempt", func(s *scenario) { s.attempt.Run = "run-2" }, cannot},
		{"too few files", func(s *scenario) { s.files = s.files[:1] }, "has 2 files, 1 were given"},
		{"too many files", func(s *scenario) { s.files = append(s.files, file(2, core.FilePending)) }, "has 2 files, 3 were given"},
		{"another file", func(s *scenario) { s.files[1].Index = 7 }, "file 1 of run run-1 was not given"},
		{"one file twice", func(s *scenario) { s.files[1] = s.files[0] }, "file 1 of run run-1 was not given"},
		{"a file that was settled", func(s *scenario) { s.files[1].Status = core.FileCompleted }, "cannot go from completed to failed"},
		{
			"a status that a run cannot go back to",
			func(s *scenario) { s.attempt.Before.Status = core.RunRunning },
			"cannot go from RUNNING to RUNNING",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := core.PlanRun(newRun(2), published(5), balanceOf(7, 100), t0)
			require.NoError(t, err)
			s := scenario{p.Run, p.Attempt, p.Files}
			tc.spoil(&s)
			plan, err := core.Compensate(s.run, s.attempt, s.files, core.System, t1)
			fault(t, err, tc.says)
			require.Zero(t, plan)
		})
	}
	t.Run("more than the run was charged", func(t *testing.T) {
		t.Parallel()
		for _, spoil := range []func(*core.Run){
			func(r *core.Run) { r.CreditsFromMonthly-- },
			func(r *core.Run) { r.CreditsFromPurchased-- },
		} {
			p, err := core.PlanRun(newRun(2), published(5), balanceOf(7, 100), t0)
			require.NoError(t, err)
			spoil(&p.Run)
			plan, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, t1)
			refused(t, err, core.CodeCreditsOutOfRange)
			require.Zero(t, plan, "a refund is never clamped")
		}
	})
}
