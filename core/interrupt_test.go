package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var keyRefused = core.Failure{Code: core.FailureUnauthorized, Message: "the service's credential was refused"}

func interrupted(index int) core.FileResult {
	return core.FileResult{Index: index, Outcome: core.OutcomeInterrupted, Failure: keyRefused}
}

// settleAll settles jobs whose files are processing already.
func settleAll(t *testing.T, run core.Run, files []core.File, settlements ...core.Settlement) core.SettlePlan {
	t.Helper()
	var plan core.SettlePlan
	var err error
	unchanged(t, func() { plan, err = core.Settle(run, files, settlements, t1) }, run, files, settlements)
	require.NoError(t, err)
	return plan
}

func TestSettleInterrupted(t *testing.T) {
	t.Parallel()
	t.Run("StaysPendingAndClosesTheRunWithTheReason", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileCompleted, core.FileFailed)
		files[0].RetryAttempt, files[0].FreeRetries, files[0].PaidBy, files[0].Redeliveries = 2, 1, 1, 3
		run := runningOver(files, core.ModePerFile)
		plan := settleAll(t, run, files, core.Settlement{Job: jobFor(run, files[0]), Results: []core.FileResult{interrupted(0)}})

		want := files[0]
		want.Status, want.LeaseUntil, want.Epoch, want.Failure = core.FilePending, time.Time{}, 2, keyRefused
		require.Equal(t, []core.File{want}, plan.Files)
		require.True(t, plan.Closed)
		require.Equal(t, core.RunInterrupted, plan.Run.Status)
		require.Equal(t, core.ReasonServiceFault, plan.Run.Reason)
		require.Equal(t, keyRefused, plan.Run.Failure)
		require.Equal(t, core.Epoch(2), plan.Run.Epoch)
		require.Equal(t, 2, plan.Run.FailedJobs)
	})
	t.Run("TheRunGoesOnUntilTheOthersAreDone", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		plan := settleAll(t, run, files, core.Settlement{Job: jobFor(run, files[0]), Results: []core.FileResult{interrupted(0)}})
		require.False(t, plan.Closed)
		require.Equal(t, keyRefused, plan.Run.Failure, "seen while it is running")

		files = overlay(files, plan.Files)
		plan = settleAll(t, plan.Run, files, core.Settlement{Job: jobFor(run, files[1]), Results: completed(1)})
		require.Equal(t, core.RunInterrupted, plan.Run.Status)
		require.Equal(t, keyRefused, plan.Run.Failure)
	})
	t.Run("RecoveryLeavesItAlone", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FileProcessing)
		files[0].Failure = keyRefused
		run := runningOver(files, core.ModePerFile)
		run.FailedJobs, run.Failure = 1, keyRefused
		plan, err := core.PlanRecovery(run, files, t0.Add(time.Hour), policy)
		require.NoError(t, err)
		require.Equal(t, []int{1}, core.FileIndexes(plan.Jobs), "only the expired lease is dispatched")

		files[1] = plan.Files[0]
		files[1].Redeliveries = policy.MaxRedeliveries + 1
		plan, err = core.PlanRecovery(plan.Run, files, t0.Add(2*time.Hour), policy)
		require.NoError(t, err)
		require.True(t, plan.Closed, "only given up and interrupted files are left")
		require.Equal(t, core.ReasonRedeliveriesExhausted, plan.Run.Reason)
	})
	t.Run("AReasonIsNeverMissing", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		plan := settleAll(t, run, files, core.Settlement{Job: jobFor(run, files[0]), Results: []core.FileResult{{Outcome: core.OutcomeInterrupted}}})
		require.NotEmpty(t, plan.Run.Failure.Code)
		require.NotEmpty(t, plan.Files[0].Failure.Message)
	})
}

// A fault of ours, from the interruption to the Continue after it: nothing is charged,
// no retry is used up, and a dispatch that fails puts everything back.
func TestContinueAfterInterruption(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FileProcessing)
	files[0].RetryAttempt = 3 // all of them used up: one interruption more must not block it
	run := runningOver(files, core.ModePerFile)
	closed := settleAll(t, run, files, core.Settlement{Job: jobFor(run, files[0]), Results: []core.FileResult{interrupted(0)}})

	plan, err := core.PlanRetry(closed.Run, closed.Files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin}, t1)
	require.NoError(t, err)
	require.Zero(t, plan.Price())
	require.Equal(t, 1, plan.Free)
	require.Equal(t, 4, plan.Files[0].RetryAttempt)
	require.Equal(t, 1, plan.Files[0].FreeRetries)
	require.Zero(t, plan.Files[0].Failure)
	require.Zero(t, plan.Run.Failure)
	require.Equal(t, keyRefused, plan.Attempt.Before.Failure)
	require.Equal(t, keyRefused, plan.Attempt.Files[0].Before.Failure)

	undone, err := core.Compensate(plan.Run, plan.Attempt, plan.Files, core.System, t1)
	require.NoError(t, err)
	require.Equal(t, core.RunInterrupted, undone.Run.Status)
	require.Equal(t, core.ReasonServiceFault, undone.Run.Reason)
	require.Equal(t, keyRefused, undone.Run.Failure)
	require.Equal(t, 3, undone.Files[0].RetryAttempt)
	require.Zero(t, undone.Files[0].FreeRetries)
	require.Equal(t, keyRefused, undone.Files[0].Failure)

	receipt := core.NewReceipt(plan.Run, []core.Attempt{{Run: run1, Files: []core.AttemptFile{{Index: 0, Charged: true}}}, plan.Attempt}, nil)
	require.Equal(t, keyRefused, receipt.Attempts[0].Lines[0].Interrupted)
	require.Equal(t, core.ReceiptLine{Index: 0, Kind: core.LineFree, Why: core.WhyInterrupted}, receipt.Attempts[1].Lines[0])
}

func TestPlanInterrupt(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FilePending, core.FileCompleted, core.FilePending)
	run := runningOver(files, core.ModePerFile)
	plan, ok, err := core.PlanInterrupt(run, nil, keyRefused, t1)
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, plan.Files, "10,000 rows need no write")
	require.Equal(t, core.RunInterrupted, plan.Run.Status)
	require.Equal(t, core.ReasonServiceFault, plan.Run.Reason)
	require.Equal(t, keyRefused, plan.Run.Failure)
	require.Equal(t, t1, plan.Run.ClosedAt)

	receipt := core.NewReceipt(plan.Run, []core.Attempt{{Run: run1, Files: []core.AttemptFile{{Index: 0}, {Index: 1}, {Index: 2}}}}, []core.File{files[0], files[2]})
	require.Equal(t, keyRefused, receipt.Attempts[0].Lines[0].Interrupted)
	require.Zero(t, receipt.Attempts[0].Lines[1].Interrupted)

	for name, held := range map[string]struct {
		run        core.Run
		processing []core.File
	}{
		"a worker is processing": {run, filesIn(core.FileProcessing)},
		"it has closed":          {closedOver(files, core.ModePerFile), nil},
	} {
		_, ok, err := core.PlanInterrupt(held.run, held.processing, keyRefused, t1)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
}
