package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// play claims each of a run's jobs and settles it with the outcomes given for its files,
// completed by default.
func play(t *testing.T, run core.Run, files []core.File, jobs []core.Job, outcomes map[int]core.Outcome) (core.Run, []core.File, int) {
	t.Helper()
	closed := 0
	for _, job := range jobs {
		claim, err := core.Claim(run, files, []core.Job{job}, t1, lease)
		require.NoError(t, err)
		require.Len(t, claim.Claimed, 1, "job %s of epoch %d: %v", job.ID, job.Epoch, claim.Dropped)
		run, files = claim.Run, overlay(files, claim.Files)
		s := core.Settlement{Job: job}
		for _, i := range job.Files {
			o, given := outcomes[i]
			if !given {
				o = core.OutcomeCompleted
			}
			s.Results = append(s.Results, outcome(i, o))
		}
		plan, err := core.Settle(run, files, []core.Settlement{s}, t1)
		require.NoError(t, err)
		run, files = plan.Run, overlay(files, plan.Files)
		if plan.Closed {
			closed++
		}
	}
	return run, files, closed
}

func start(t *testing.T, n int, mode core.Mode, b core.Balance) core.RunPlan {
	t.Helper()
	p, err := core.PlanRun(newRun(n), inMode(published(5), mode), b, t0)
	require.NoError(t, err)
	return p
}

func continued(t *testing.T, run core.Run, files []core.File, b core.Balance) core.RetryPlan {
	t.Helper()
	p, err := core.PlanRetry(run, files, b, inMode(published(5), run.Mode), core.RetryTerms{By: admin}, t1)
	require.NoError(t, err)
	return p
}

// The bugs of spec 12 that can be decided without a store or a queue.
func TestKnownBugs(t *testing.T) {
	t.Parallel()

	t.Run("RefundedJobRetriedForFree", func(t *testing.T) { // webknossos 9331
		t.Parallel()
		p := start(t, 2, core.ModePerFile, balanceOf(100, 0))
		undone, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, t1)
		require.NoError(t, err)
		require.Equal(t, p.Charge[0].Amount, undone.Refund[0].Amount)
		again := continued(t, undone.Run, undone.Files, balanceOf(100, 0))
		require.Equal(t, core.Credits(10), again.Price(), "whose charge was refunded is charged when continued")
		require.NotEqual(t, p.Charge[0].Key, again.Charge[0].Key, "and its charge is not mistaken for the refunded one")

		undone, err = core.Compensate(again.Run, again.Attempt, again.Files, core.System, t1)
		require.NoError(t, err)
		third := continued(t, undone.Run, undone.Files, balanceOf(100, 0))
		require.Equal(t, core.Credits(10), third.Price(), "after the second refund as well")
		for _, f := range third.Attempt.Files {
			require.True(t, f.Charged)
		}
	})

	t.Run("RefusedDuplicateAppliesThePayment", func(t *testing.T) { // blnk 374
		t.Parallel()
		files := filesIn(core.FileFailed)
		p := continued(t, closedOver(files, core.ModePerFile), files, balanceOf(100, 0))
		again, err := core.PlanRetry(p.Run, p.Files, balanceOf(95, 0), published(5), core.RetryTerms{By: admin}, t1)
		refused(t, err, core.CodeRunAlreadyRunning)
		require.Empty(t, again.Charge)

		// And one that is replayed answers as it did, with nothing to post.
		refusal := &core.Error{Code: core.CodeInsufficientCredits, Message: "no"}
		_, err = core.Answer{Operation: core.OperationContinue, Fingerprint: "f", Refusal: refusal}.Replay(core.OperationContinue, "f")
		require.Same(t, refusal, err)
	})

	t.Run("TopUpCountedTwice", func(t *testing.T) { // lago-api 5870, AutoGPT PR 10672
		t.Parallel()
		first, err := core.NewAllowance(acme, core.AllowanceKey(november), november, 100, core.System, t0)
		require.NoError(t, err)
		second, err := core.NewAllowance(acme, core.AllowanceKey(november), november, 100, core.System, t0.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, first.Key, second.Key, "a month has one key for all servers")
		require.True(t, first.SameAs(second), "and the repeat is recognized")
		bought, err := core.NewPurchase(acme, "k", 100, operator, t0)
		require.NoError(t, err)
		more, err := core.NewPurchase(acme, "k", 200, operator, t0)
		require.NoError(t, err)
		require.False(t, bought.SameAs(more), "another amount under the same key is no repeat")
	})

	t.Run("InterruptedFilesSkippedByTheRetry", func(t *testing.T) { // dagster 19490
		t.Parallel()
		p := start(t, 4, core.ModePerFile, balanceOf(100, 0))
		run, files, _ := play(t, p.Run, p.Files, p.Jobs[:2], map[int]core.Outcome{1: core.OutcomeTransient})
		claim, err := core.Claim(run, files, p.Jobs[2:3], t1, lease)
		require.NoError(t, err)
		run, files = claim.Run, overlay(files, claim.Files)
		cancelled, err := core.PlanCancel(run, files[2:], t1)
		require.NoError(t, err)
		files = overlay(files, cancelled.Files)

		again := continued(t, cancelled.Run, files, balanceOf(100, 0))
		require.Equal(t, []int{1, 2, 3}, core.FileIndexes(again.Jobs), "failed, interrupted at work, and never begun")
		require.Equal(t, core.Credits(5), again.Price(), "only the failed one is charged")
		run, files, closed := play(t, again.Run, overlay(files, again.Files), again.Jobs, nil)
		require.Equal(t, 1, closed, "fan-in waits for all three and for no more")
		require.Equal(t, core.RunCompleted, run.Status)
		require.Equal(t, core.Tally{Completed: 4}, core.TallyOf(files))
	})

	t.Run("RetriedJobIDSwallowed", func(t *testing.T) { // bullmq 1337, bull 1828
		t.Parallel()
		for _, mode := range []core.Mode{core.ModePerFile, core.ModeBatch} {
			p := start(t, 1, mode, balanceOf(100, 0))
			type identity struct {
				id    core.JobID
				epoch core.Epoch
			}
			seen := map[identity]string{}
			dispatched := func(how string, jobs []core.Job) {
				require.Len(t, jobs, 1)
				require.Equal(t, p.Jobs[0].ID, jobs[0].ID, "the file's job ID is the same for ever")
				at := identity{jobs[0].ID, jobs[0].Epoch}
				require.Empty(t, seen[at], "%s looks like %s to the queue's dedupe", how, seen[at])
				seen[at] = how
			}
			dispatched("initiation", p.Jobs)
			claim, err := core.Claim(p.Run, p.Files, p.Jobs, t1, lease)
			require.NoError(t, err)
			back, err := core.HandBack(claim.Run, claim.Files, claim.Claimed, t1)
			require.NoError(t, err)
			dispatched("hand-back", back.Jobs)
			claim, err = core.Claim(back.Run, back.Files, back.Jobs, t1, lease)
			require.NoError(t, err)
			found, err := core.PlanRecovery(claim.Run, claim.Files, t1.Add(lease), policy)
			require.NoError(t, err)
			dispatched("recovery", found.Jobs)
			run, files, _ := play(t, found.Run, found.Files, found.Jobs, map[int]core.Outcome{0: core.OutcomeTransient})
			again := continued(t, run, files, balanceOf(100, 0))
			dispatched("Continue", again.Jobs)
			undone, err := core.Compensate(again.Run, again.Attempt, again.Files, core.System, t1)
			require.NoError(t, err)
			again = continued(t, undone.Run, undone.Files, balanceOf(100, 0))
			dispatched("Continue after a compensation", again.Jobs)
		}
	})

	t.Run("ParentWaitsForever", func(t *testing.T) { // bullmq 3362
		t.Parallel()
		p := start(t, 10, core.ModePerFile, balanceOf(100, 0))
		transient := map[int]core.Outcome{2: core.OutcomeTransient, 5: core.OutcomeTransient, 7: core.OutcomeTransient}
		run, files, closed := play(t, p.Run, p.Files, p.Jobs, transient)
		require.Equal(t, 1, closed)
		require.Equal(t, core.RunCompletedWithErrors, run.Status)
		again := continued(t, run, files, balanceOf(100, 0))
		require.Equal(t, 10, again.Run.TotalJobs)
		require.Equal(t, 3, again.Run.AttemptJobs)
		run, _, closed = play(t, again.Run, overlay(files, again.Files), again.Jobs, nil)
		require.Equal(t, 1, closed, "three jobs of a run of ten files close it")
		require.Equal(t, core.RunCompleted, run.Status, "and all ten files decide how")
	})

	t.Run("CallbackFiresTwiceOrNever", func(t *testing.T) { // celery 1401, 2405; sidekiq 4607
		t.Parallel()
		p := start(t, 2, core.ModePerFile, balanceOf(100, 0))
		claim, err := core.Claim(p.Run, p.Files, p.Jobs, t1, lease)
		require.NoError(t, err)
		run, files, closed := claim.Run, claim.Files, 0
		for range 3 { // every result is reported three times over
			for i := range p.Jobs {
				plan, err := core.Settle(run, files, []core.Settlement{{Job: p.Jobs[i], Results: completed(i)}}, t1)
				require.NoError(t, err)
				run, files = plan.Run, overlay(files, plan.Files)
				if plan.Closed {
					closed++
				}
			}
		}
		require.Equal(t, 1, closed)
		require.Equal(t, 2, run.CompletedJobs)
	})

	t.Run("RunningLongAfterTheHostDied", func(t *testing.T) { // river 1258
		t.Parallel()
		p := start(t, 1, core.ModePerFile, balanceOf(100, 0))
		claim, err := core.Claim(p.Run, p.Files, p.Jobs, t0, lease)
		require.NoError(t, err)
		run, files, now := claim.Run, claim.Files, t0
		for range 2 * (policy.MaxRedeliveries + 1) {
			now = now.Add(lease)
			require.True(t, core.RecoveryDue(run, now, horizon), "recovery visits a running run at least once a lease")
			plan, err := core.PlanRecovery(run, files, now, policy)
			require.NoError(t, err)
			run, files = plan.Run, overlay(files, plan.Files)
			if plan.Closed {
				break
			}
			if len(plan.Jobs) > 0 { // claimed by the next host, which dies as well
				claim, err = core.Claim(run, files, plan.Jobs, now, lease)
				require.NoError(t, err)
				run, files = claim.Run, claim.Files
			}
		}
		require.Equal(t, core.RunInterrupted, run.Status)
		require.Equal(t, core.FilePending, files[0].Status)
		require.Zero(t, continued(t, run, files, balanceOf(0, 0)).Price())
	})

	t.Run("RetryResetsWhatHadSucceeded", func(t *testing.T) { // argo 14803, airflow 64526
		t.Parallel()
		p := start(t, 3, core.ModeBatch, balanceOf(100, 0))
		run, files, _ := play(t, p.Run, p.Files, p.Jobs, map[int]core.Outcome{1: core.OutcomeTransient, 2: core.OutcomePermanent})
		again := continued(t, run, files, balanceOf(100, 0))
		require.Equal(t, []int{1}, core.FileIndexes(again.Jobs))
		_, after, _ := play(t, again.Run, overlay(files, again.Files), again.Jobs, map[int]core.Outcome{1: core.OutcomeTransient})
		require.Equal(t, files[0], after[0], "completed, with its output")
		require.Equal(t, files[2], after[2], "error, with its reason")
	})

	t.Run("EveryJobGetsTheFirstOnesInput", func(t *testing.T) { // hatchet PR 1337
		t.Parallel()
		files := filesIn(core.FileFailed, core.FileCompleted, core.FileFailed, core.FilePending)
		again := continued(t, closedOver(files, core.ModePerFile), files, balanceOf(100, 0))
		for i, index := range []int{0, 2, 3} {
			require.Equal(t, core.FileJobID(run1, index), again.Jobs[i].ID)
			require.Equal(t, []int{index}, again.Jobs[i].Files)
		}
	})
}
