package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestPlanCancel(t *testing.T) {
	t.Parallel()
	t.Run("Running", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileCompleted, core.FileProcessing, core.FilePending, core.FileFailed, core.FileProcessing)
		files[1].Redeliveries, files[1].PaidBy, files[1].RetryAttempt = 1, 2, 2
		run := runningOver(files, core.ModePerFile)
		run.Epoch, run.Attempt, run.CreditsConsumed, run.CreditsFromMonthly = 6, 2, 9, 9
		unfinished := []core.File{files[1], files[2], files[4]}
		var plan core.InterruptPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanCancel(run, unfinished, t1) }, run, unfinished)
		require.NoError(t, err)

		want := run
		want.Status, want.Reason, want.ClosedAt, want.RecoverAt, want.Epoch = core.RunInterrupted, core.ReasonCancelled, t1, time.Time{}, 7
		require.Equal(t, want, plan.Run, "tally, counters and credits stay")
		waiting := func(f core.File) core.File {
			f.Status, f.Epoch, f.LeaseUntil = core.FilePending, 7, time.Time{}
			return f
		}
		require.Equal(t, []core.File{waiting(files[1]), waiting(files[4])}, plan.Files)
	})
	t.Run("WorkersAreFencedThroughTheNextContinue", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		held := jobFor(run, files[0])
		cancelled, err := core.PlanCancel(run, files, t1)
		require.NoError(t, err)
		again, err := core.PlanRetry(cancelled.Run, cancelled.Files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin}, t1)
		require.NoError(t, err, "free: it is paid for")
		claim, err := core.Claim(again.Run, again.Files, again.Jobs, t1, lease)
		require.NoError(t, err)
		require.Len(t, claim.Claimed, 1)
		late, err := core.Settle(claim.Run, claim.Files, []core.Settlement{{Job: held, Results: completed(0)}}, t1)
		require.NoError(t, err)
		require.Equal(t, core.DropStaleEpoch, late.Dropped[0].Reason)
	})
	for _, status := range runStatuses {
		if status == core.RunRunning {
			continue
		}
		t.Run("Refused/"+string(status), func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FileProcessing)
			run := runningOver(files, core.ModePerFile)
			run.Status = status
			plan, err := core.PlanCancel(run, files, t1)
			require.Equal(t, run1, refused(t, err, core.CodeRunNotRunning).Run)
			require.Zero(t, plan)
		})
	}
}
