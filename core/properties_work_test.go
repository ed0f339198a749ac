package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// For any deliveries, each is claimed, renewed, released or settled with all its files, or
// dropped with a reason and no effect.
func TestWorkProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run, files := drawRunning(t)
		jobs := drawJobs(t, run, files)
		given := shuffled(t, files)
		var settlements []core.Settlement
		for _, j := range jobs {
			s := core.Settlement{Job: j}
			for _, i := range j.Files {
				s.Results = append(s.Results, outcome(i, anyOutcome().Draw(t, "outcome")))
			}
			settlements = append(settlements, s)
		}
		// Jobs left to settle, so that the counters cannot close the run too early.
		run.CompletedJobs, run.FailedJobs, run.AttemptJobs = 0, 0, 0
		for _, f := range files {
			if f.Status == core.FilePending || f.Status == core.FileProcessing {
				run.AttemptJobs++
			}
		}
		if run.Mode == core.ModeBatch {
			run.AttemptJobs = 1
		}

		var claim core.ClaimPlan
		var lent core.LeasePlan
		var back core.HandBackPlan
		var settled core.SettlePlan
		var errs [3]error
		unchanged(t, func() {
			claim, errs[0] = core.Claim(run, given, jobs, t1, lease)
			lent = core.Renew(run, given, jobs, t1, lease)
			back, errs[1] = core.HandBack(run, given, jobs, t1)
			settled, errs[2] = core.Settle(run, given, settlements, t1)
		}, run, given, jobs, settlements)
		require.Equal(t, [3]error{}, errs)

		requireEffect(t, files, claim.Files, jobs, claim.Claimed, claim.Dropped, core.FilePending)
		requireEffect(t, files, lent.Files, jobs, lent.Renewed, lent.Lost, core.FileProcessing)
		requireEffect(t, files, back.Files, jobs, back.Jobs, back.Dropped, core.FileProcessing)
		requireEffect(t, files, settled.Files, jobs, settled.Settled, settled.Dropped, core.FileProcessing)
		require.Equal(t, core.TallyOf(overlay(files, claim.Files)), claim.Run.Tally)
		require.Equal(t, core.TallyOf(overlay(files, back.Files)), back.Run.Tally)
		require.Equal(t, core.TallyOf(overlay(files, settled.Files)), settled.Run.Tally)
		require.Equal(t, len(settled.Settled), settled.Run.CompletedJobs+settled.Run.FailedJobs)
		require.Equal(t, settled.Changed() && len(settled.Settled) == run.AttemptJobs, settled.Closed)
		if settled.Closed {
			require.Equal(t, settled.Run.Tally.Unfinished > 0, settled.Run.Status == core.RunInterrupted)
		}
		for _, f := range settled.Files {
			if f.Status == core.FilePending {
				require.Greater(t, f.Epoch, run.Epoch, "no job has it, so nothing but a Continue dispatches it")
				require.NotEmpty(t, f.Failure.Code)
			}
		}
		for _, f := range back.Files {
			require.Greater(t, f.Epoch, run.Epoch, "an epoch that no worker holds")
		}
		for _, f := range append(claim.Files, lent.Files...) {
			require.Equal(t, core.FileProcessing, f.Status)
			require.Equal(t, t1.Add(lease), f.LeaseUntil)
		}
		for _, f := range append(back.Files, settled.Files...) {
			require.Zero(t, f.LeaseUntil)
		}
	})
}

// requireEffect accounts for every delivery. It requires that exactly the files of the
// deliveries with an effect were written, and that each was in the wanted status and epoch.
func requireEffect(t tb, rows, written []core.File, jobs, done []core.Job, dropped []core.Drop, was core.FileStatus) {
	t.Helper()
	require.Len(t, jobs, len(done)+len(dropped), "each job is one or the other")
	for _, d := range dropped {
		require.NotEmpty(t, d.Reason)
	}
	indexes := core.FileIndexes(done)
	require.Len(t, written, len(indexes))
	for i, f := range written {
		require.Equal(t, indexes[i], f.Index, "in the order of the jobs")
		require.Equal(t, was, rows[f.Index].Status)
	}
}

func TestPlanCancelProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run, files := drawRunning(t)
		given := shuffled(t, files)
		given = slices.DeleteFunc(given, func(f core.File) bool {
			return f.Status != core.FileProcessing && f.Status != core.FilePending
		})
		var plan core.InterruptPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanCancel(run, given, t1) }, run, given)
		require.NoError(t, err)
		require.Equal(t, core.RunInterrupted, plan.Run.Status)
		after := overlay(files, plan.Files)
		require.Equal(t, core.TallyOf(after), plan.Run.Tally)
		require.Equal(t, run.Tally, plan.Run.Tally, "nothing is finished by a cancel")
		for i, f := range after {
			require.NotEqual(t, core.FileProcessing, f.Status)
			if files[i].Status == core.FileProcessing {
				require.Greater(t, f.Epoch, run.Epoch, "its worker is fenced")
				f.Epoch, f.Status, f.LeaseUntil = files[i].Epoch, files[i].Status, files[i].LeaseUntil
			}
			require.Equal(t, files[i], f)
		}
	})
}

// After a recovery no lease is expired, every waiting file that was not given up was sent
// in time, and the run is closed or visited again soon.
func TestPlanRecoveryProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run, files := drawRunning(t)
		now := t0.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "now")) * time.Second)
		given := slices.DeleteFunc(shuffled(t, files), func(f core.File) bool {
			return f.Status != core.FileProcessing && f.Status != core.FilePending
		})
		var plan core.RecoveryPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanRecovery(run, given, now, policy) }, run, given)
		require.NoError(t, err)
		after := overlay(files, plan.Files)
		require.Equal(t, core.TallyOf(after), plan.Run.Tally)
		require.Equal(t, run.Tally, plan.Run.Tally)
		shortened := 0 // leases that a clock which was ahead had given
		for _, f := range plan.Files {
			if f.Status == core.FileProcessing {
				shortened++
				require.Equal(t, now.Add(policy.Lease), f.LeaseUntil)
			}
		}
		require.Len(t, plan.Files, plan.Expired+shortened)

		hope := false
		var sent []core.File
		for _, f := range after {
			if f.Status != core.FileProcessing && f.Status != core.FilePending {
				continue
			}
			if f.Status == core.FileProcessing {
				require.True(t, f.LeaseUntil.After(now))
			}
			hope = hope || f.Status == core.FileProcessing || f.Failure.Code == "" && f.Redeliveries <= policy.MaxRedeliveries
			if slices.Contains(core.FileIndexes(plan.Jobs), f.Index) {
				require.Equal(t, core.FilePending, f.Status)
				require.LessOrEqual(t, f.Redeliveries, policy.MaxRedeliveries)
				require.Zero(t, f.Failure, "an interrupted file waits for a Continue")
				sent = append(sent, f)
			}
		}
		require.Equal(t, !hope, plan.Closed, "closed if and only if all unfinished files were given up")
		everyFileOnce(t, plan.Run, sent, plan.Jobs)
		if plan.Closed {
			require.Equal(t, core.RunInterrupted, plan.Run.Status)
			require.Empty(t, plan.Jobs)
			return
		}
		require.Equal(t, core.RunRunning, plan.Run.Status)
		require.True(t, plan.Run.RecoverAt.After(now))
		require.False(t, plan.Run.RecoverAt.After(now.Add(policy.Lease)))

		again, err := core.PlanRecovery(plan.Run, slices.DeleteFunc(after, func(f core.File) bool {
			return f.Status != core.FileProcessing && f.Status != core.FilePending
		}), now, policy)
		require.NoError(t, err)
		require.Empty(t, again.Files, "a second recovery finds nothing to do")
		if len(plan.Jobs) > 0 && plan.Run.Redispatches > run.Redispatches {
			require.Empty(t, again.Jobs)
		}
	})
}
