package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestPlanRetry(t *testing.T) {
	t.Parallel()
	t.Run("Mixed", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileCompleted, core.FileFailed, core.FileError, core.FilePending, core.FileFailed)
		files[1].RetryAttempt, files[1].Redeliveries, files[3].Redeliveries, files[3].RetryAttempt = 2, 1, 4, 1
		run := closedOver(files, core.ModePerFile)
		run.Attempt, run.Epoch, run.Redispatches, run.LastRetriedAt = 4, 9, 6, t0.Add(-time.Hour)
		run.CreditsConsumed, run.CreditsFromMonthly, run.CreditsFromPurchased = 50, 30, 20
		run.AttemptJobs, run.CompletedJobs, run.FailedJobs = 4, 1, 2

		// Given in any order, and with files that are to be ignored.
		given := []core.File{files[4], files[0], files[3], files[2], files[1]}
		plan, err := core.PlanRetry(run, given, balanceOf(7, 100), published(5), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)

		want := run
		want.Status, want.Reason, want.ClosedAt, want.LastRetriedAt = core.RunRunning, core.ReasonNone, time.Time{}, t1
		want.Attempt, want.Epoch, want.Dispatch = 5, 10, core.DispatchUnconfirmed
		want.AttemptJobs, want.CompletedJobs, want.FailedJobs = 3, 0, 0
		want.CreditsConsumed, want.CreditsFromMonthly, want.CreditsFromPurchased = 60, 37, 23
		want.Tally = core.Tally{Unfinished: 3, Completed: 1, Error: 1}
		want.RecoverAt, want.DispatchedAt, want.Redispatches = t1, t1, 0
		require.Equal(t, want, plan.Run)
		require.Equal(t, 5, plan.Run.TotalJobs, "unchanged")

		retried := func(f core.File, paidBy core.AttemptNumber) core.File {
			f.Status, f.Epoch, f.PaidBy, f.Redeliveries, f.Failure = core.FilePending, 10, paidBy, 0, core.Failure{}
			f.RetryAttempt++
			if paidBy == 0 { // it was pending, so the Continue is free and uses up none of its retries
				f.FreeRetries++
			}
			return f
		}
		require.Equal(t, []core.File{retried(files[1], 5), retried(files[3], 0), retried(files[4], 5)}, plan.Files)

		split := core.Split{Monthly: 7, Purchased: 3}
		require.Equal(t, core.Attempt{
			Tenant: acme, Run: run1, Number: 5, Epoch: 10, Jobs: 3, RequestedBy: admin, RequestedAt: t1, Price: 5,
			Charge: core.Charge{Key: "charge/run-1/5", Period: november, Amount: split},
			Files: []core.AttemptFile{
				{Index: 1, Charged: true, Before: core.FileBefore{Status: core.FileFailed, RetryAttempt: 2, Redeliveries: 1, Failure: files[1].Failure}},
				{Index: 3, Before: core.FileBefore{Status: core.FilePending, RetryAttempt: 1, Redeliveries: 4}},
				{Index: 4, Charged: true, Before: core.FileBefore{Status: core.FileFailed, Failure: files[4].Failure}},
			},
			Before: core.RunBefore{
				Status: core.RunInterrupted, Reason: core.ReasonCancelled, ClosedAt: run.ClosedAt, LastRetriedAt: run.LastRetriedAt,
				AttemptJobs: 4, CompletedJobs: 1, FailedJobs: 2,
			},
		}, plan.Attempt)
		require.Equal(t, []core.Entry{{
			Tenant: acme, Key: "charge/run-1/5", Kind: core.EntryCharge, Period: november, Amount: split,
			Run: run1, Attempt: 5, Actor: admin, At: t1,
		}}, plan.Charge)
		require.Equal(t, []core.Job{
			{Tenant: acme, Run: run1, Epoch: 10, ID: "run-1:file:1", Template: "invoices", Files: []int{1}},
			{Tenant: acme, Run: run1, Epoch: 10, ID: "run-1:file:3", Template: "invoices", Files: []int{3}},
			{Tenant: acme, Run: run1, Epoch: 10, ID: "run-1:file:4", Template: "invoices", Files: []int{4}},
		}, plan.Jobs)
		require.Equal(t, 2, plan.Charged)
		require.Equal(t, 1, plan.Free)
		require.Equal(t, core.Credits(10), plan.Price())
	})

	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed, core.FileCompleted, core.FileFailed)
		plan, err := core.PlanRetry(closedOver(files, core.ModeBatch), files, balanceOf(10, 0), inMode(published(5), core.ModeBatch), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Equal(t, []core.Job{{Tenant: acme, Run: run1, Epoch: 2, ID: "run-1", Template: "invoices", Files: []int{0, 2}}}, plan.Jobs)
		require.Equal(t, 1, plan.Run.AttemptJobs)
		require.Equal(t, 1, plan.Attempt.Jobs)
	})

	t.Run("PendingIsFree", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FileCompleted, core.FilePending)
		plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err, "no credits are needed")
		require.Empty(t, plan.Charge)
		require.True(t, plan.Attempt.Charge.IsZero())
		require.Zero(t, plan.Price())
		require.Equal(t, 2, plan.Free)
		require.Zero(t, plan.Charged)
		for _, f := range plan.Attempt.Files {
			require.False(t, f.Charged)
		}
		require.Zero(t, plan.Files[0].PaidBy, "the initiation's charge still covers it")
		require.Equal(t, 1, plan.Files[0].RetryAttempt)
	})

	t.Run("FreeTemplate", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed)
		plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(0, 0), published(0), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Empty(t, plan.Charge)
		require.False(t, plan.Attempt.Files[0].Charged)
		require.Equal(t, core.AttemptNumber(1), plan.Files[0].PaidBy)
		require.Equal(t, 1, plan.Charged, "it was failed, and its price is 0")
	})

	t.Run("SoftDeletedTemplate", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed)
		for _, template := range []core.Template{published(5).SoftDelete(t0), {CreditsPerRun: 5, Status: core.TemplateDraft}} {
			plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(5, 0), template, core.RetryTerms{By: admin}, t1)
			require.NoError(t, err)
			require.Equal(t, core.Credits(5), plan.Price(), "the price is the template's in any state")
		}
	})

	t.Run("PriceOfNow", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed, core.FileFailed)
		plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(0, 100), published(11), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Equal(t, core.Credits(22), plan.Price())
		require.Equal(t, core.Credits(11), plan.Attempt.Price)
	})

	t.Run("LastRetryAllowed", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed)
		files[0].RetryAttempt = 2
		plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(5, 0), published(5), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Equal(t, 3, plan.Files[0].RetryAttempt)
	})

	t.Run("ExactlyEnough", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed, core.FileFailed)
		plan, err := core.PlanRetry(closedOver(files, core.ModePerFile), files, balanceOf(4, 6), published(5), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Equal(t, core.Split{Monthly: 4, Purchased: 6}, plan.Attempt.Charge.Amount)
	})

	// A broken input is a fault of the caller; it must not look like a refusal.
	t.Run("UnknownRunStatus", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed)
		run := closedOver(files, core.ModePerFile)
		run.Status = "PAUSED"
		plan, err := core.PlanRetry(run, files, balanceOf(5, 0), published(5), core.RetryTerms{By: admin}, t1)
		fault(t, err, "cannot go from PAUSED to RUNNING")
		require.Zero(t, plan)
	})
	t.Run("CreditFieldsOverflow", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileFailed)
		run := closedOver(files, core.ModePerFile)
		run.CreditsConsumed, run.CreditsFromPurchased = maxC-1, maxC-1
		plan, err := core.PlanRetry(run, files, balanceOf(2, 0), published(2), core.RetryTerms{By: admin}, t1)
		refused(t, err, core.CodeCreditsOutOfRange)
		require.Zero(t, plan)
	})
}

func TestContinuable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		files  []core.File
		status core.RunStatus
		maxed  bool
		code   core.Code
	}{
		{"failed", filesIn(core.FileFailed, core.FileCompleted), "", false, ""},
		{"pending", filesIn(core.FilePending), "", false, ""},
		{"running", filesIn(core.FileProcessing), core.RunRunning, false, core.CodeRunAlreadyRunning},
		{"running before maxed", filesIn(core.FilePending), core.RunRunning, true, core.CodeRunAlreadyRunning},
		{"completed", filesIn(core.FileCompleted), "", false, core.CodeNoErrorsToRetry},
		{"completed before maxed", filesIn(core.FileCompleted), "", true, core.CodeNoErrorsToRetry},
		{"errors only", filesIn(core.FileCompleted, core.FileError), "", false, core.CodeNothingToRetry},
		{"nothing before maxed", filesIn(core.FileError), "", true, core.CodeNothingToRetry},
		{"no files", nil, core.RunInterrupted, false, core.CodeNothingToRetry},
		{"maxed", filesIn(core.FileFailed), "", true, core.CodeMaxRetryCountExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run := closedOver(tc.files, core.ModePerFile)
			if tc.status != "" {
				run.Status = tc.status
			}
			err := core.Continuable(run, tc.maxed)
			if tc.code == "" {
				require.NoError(t, err)
				require.NoError(t, core.ContinuableStatus(run))
				return
			}
			r := refused(t, err, tc.code)
			require.Equal(t, run1, r.Run)
			byStatus := tc.code == core.CodeRunAlreadyRunning || tc.code == core.CodeNoErrorsToRetry
			require.Equal(t, byStatus, core.ContinuableStatus(run) != nil, "rules 2 and 3 need the run alone")
		})
	}
}

func TestRaiseMaxRetryCount(t *testing.T) {
	t.Parallel()
	for _, status := range runStatuses {
		for _, tc := range []struct {
			to   int
			code core.Code
		}{
			{-1, core.CodeInvalidRequest},
			{2, core.CodeInvalidRequest},
			{3, core.CodeInvalidRequest},
			{4, ""},
			{10, ""},
			{11, core.CodeInvalidRequest},
		} {
			run := closedOver(filesIn(core.FileFailed), core.ModePerFile)
			run.Status = status
			raised, amendment, err := core.RaiseMaxRetryCount(run, tc.to, operator, t1)
			if status == core.RunRunning {
				tc.code = core.CodeRunAlreadyRunning
			}
			if tc.code != "" {
				r := refused(t, err, tc.code)
				require.Zero(t, raised)
				require.Zero(t, amendment)
				if tc.code == core.CodeInvalidRequest {
					require.Equal(t, []string{"maxRetryCount"}, fieldsOf(r))
				} else {
					require.Equal(t, run1, r.Run)
				}
				continue
			}
			require.NoError(t, err)
			want := run
			want.MaxRetryCount = tc.to
			require.Equal(t, want, raised)
			require.Equal(t, core.Amendment{
				Tenant: acme, Run: run1, By: operator, At: t1, MaxRetryCountFrom: 3, MaxRetryCountTo: tc.to,
			}, amendment)
		}
	}
}
