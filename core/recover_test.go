package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var policy = core.RecoveryPolicy{
	DispatchGrace: 30 * time.Second, RedispatchAfter: 5 * time.Minute, MaxRedispatchAfter: time.Hour,
	Lease: lease, MaxRedeliveries: 2,
}

func TestRecoveryPolicy(t *testing.T) {
	t.Parallel()
	require.NoError(t, policy.Validate())
	for name, tc := range map[string]struct {
		change func(*core.RecoveryPolicy)
		ok     bool
	}{
		"no grace":                 {func(p *core.RecoveryPolicy) { p.DispatchGrace = 0 }, false},
		"negative grace":           {func(p *core.RecoveryPolicy) { p.DispatchGrace = -1 }, false},
		"no redispatch":            {func(p *core.RecoveryPolicy) { p.RedispatchAfter = 0 }, false},
		"bound below the first":    {func(p *core.RecoveryPolicy) { p.MaxRedispatchAfter = p.RedispatchAfter - 1 }, false},
		"bound equal to the first": {func(p *core.RecoveryPolicy) { p.MaxRedispatchAfter = p.RedispatchAfter }, true},
		"no lease":                 {func(p *core.RecoveryPolicy) { p.Lease = 0 }, false},
		"negative redeliveries":    {func(p *core.RecoveryPolicy) { p.MaxRedeliveries = -1 }, false},
		"gives up at the first":    {func(p *core.RecoveryPolicy) { p.MaxRedeliveries = 0 }, true},
		"the shortest of durations": {func(p *core.RecoveryPolicy) {
			*p = core.RecoveryPolicy{DispatchGrace: 1, RedispatchAfter: 1, MaxRedispatchAfter: 1, Lease: 1}
		}, true},
	} {
		p := policy
		tc.change(&p)
		require.Equal(t, tc.ok, p.Validate() == nil, name)
	}
}

func TestRecoveryDue(t *testing.T) {
	t.Parallel()
	for _, status := range runStatuses {
		run := core.Run{Status: status, RecoverAt: t0}
		require.False(t, core.RecoveryDue(run, t0.Add(-time.Nanosecond), horizon), status)
		require.Equal(t, status == core.RunRunning, core.RecoveryDue(run, t0, horizon), status)
		require.Equal(t, status == core.RunRunning, core.RecoveryDue(run, t1, horizon), status)
		// A server whose clock was hours ahead wrote it: nothing plans that far.
		run.RecoverAt = t0.Add(horizon + time.Nanosecond)
		require.Equal(t, status == core.RunRunning, core.RecoveryDue(run, t0, horizon), status)
		run.RecoverAt = t0.Add(horizon)
		require.False(t, core.RecoveryDue(run, t0, horizon), status)
	}
}

func TestRecoverExpiredLeases(t *testing.T) {
	t.Parallel()
	now := t0.Add(lease) // the leases of file() end at this moment
	t.Run("PendingUnderANewEpochAndSentAgain", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FilePending, core.FileProcessing, core.FileCompleted)
		files[2].LeaseUntil = now.Add(7 * time.Second) // renewed
		files[0].RetryAttempt, files[0].PaidBy = 1, 1
		run := runningOver(files, core.ModePerFile)
		run.Epoch = 4
		unfinished := files[:3:3]
		var plan core.RecoveryPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanRecovery(run, unfinished, now, policy) }, run, unfinished)
		require.NoError(t, err)

		back := files[0]
		back.Status, back.Epoch, back.LeaseUntil, back.Redeliveries = core.FilePending, 5, time.Time{}, 1
		want := run
		want.Epoch, want.RecoverAt, want.DispatchedAt = 5, now.Add(7*time.Second), now
		require.Equal(t, core.RecoveryPlan{
			Run: want, Files: []core.File{back}, Jobs: []core.Job{jobFor(run, back)}, Expired: 1,
		}, plan, "the waiting file is left to the queue, the renewed lease to its worker, which is looked at when it ends")
	})
	t.Run("BatchIsSentAsOneJob", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing)
		plan, err := core.PlanRecovery(runningOver(files, core.ModeBatch), files, now, policy)
		require.NoError(t, err)
		require.Equal(t, []core.Job{{Tenant: acme, Run: run1, Epoch: 2, ID: "run-1", Template: "invoices", Files: []int{0, 1}}}, plan.Jobs)
		require.Equal(t, 2, plan.Expired)
	})
	t.Run("LeaseThatHoldsIsLeftAlone", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		plan, err := core.PlanRecovery(run, files, now.Add(-time.Nanosecond), policy)
		require.NoError(t, err)
		require.Empty(t, plan.Files)
		require.Empty(t, plan.Jobs)
		require.Equal(t, now, plan.Run.RecoverAt)
	})
	t.Run("FencesTheWorker", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		plan, err := core.PlanRecovery(run, files, now, policy)
		require.NoError(t, err)
		late, err := core.Settle(plan.Run, plan.Files, []core.Settlement{{Job: jobFor(run, files[0]), Results: completed(0)}}, now)
		require.NoError(t, err)
		require.Equal(t, core.DropStaleEpoch, late.Dropped[0].Reason)
		require.False(t, late.Changed())
	})
}

func TestRecoverGivesUp(t *testing.T) {
	t.Parallel()
	now := t0.Add(lease)
	t.Run("AfterMaxRedeliveries", func(t *testing.T) {
		t.Parallel()
		for redeliveries, closed := range []bool{false, false, true} {
			files := filesIn(core.FileProcessing, core.FileCompleted)
			files[0].Redeliveries = redeliveries
			plan, err := core.PlanRecovery(runningOver(files, core.ModePerFile), files[:1], now, policy)
			require.NoError(t, err)
			require.Equal(t, closed, plan.Closed, "lease number %d of at most %d", redeliveries+1, policy.MaxRedeliveries)
			require.Equal(t, redeliveries+1, plan.Files[0].Redeliveries)
			require.Equal(t, core.FilePending, plan.Files[0].Status)
			if closed {
				require.Empty(t, plan.Jobs)
				require.Equal(t, core.RunInterrupted, plan.Run.Status)
				require.Equal(t, core.ReasonRedeliveriesExhausted, plan.Run.Reason)
				require.Equal(t, now, plan.Run.ClosedAt)
				require.Zero(t, plan.Run.RecoverAt)
				require.Equal(t, core.Tally{Unfinished: 1, Completed: 1}, plan.Run.Tally)
				continue
			}
			require.Len(t, plan.Jobs, 1)
			require.Equal(t, core.RunRunning, plan.Run.Status)
		}
	})
	t.Run("AtTheFirst", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		strict := policy
		strict.MaxRedeliveries = 0
		plan, err := core.PlanRecovery(runningOver(files, core.ModePerFile), files, now, strict)
		require.NoError(t, err)
		require.True(t, plan.Closed)
	})
	t.Run("NotWhileOthersAreUnderWay", func(t *testing.T) {
		t.Parallel()
		for _, other := range []core.FileStatus{core.FilePending, core.FileProcessing} {
			files := filesIn(core.FileProcessing, other)
			files[0].Redeliveries = 2
			files[1].LeaseUntil = now.Add(time.Second)
			run := runningOver(files, core.ModePerFile)
			plan, err := core.PlanRecovery(run, files, now, policy)
			require.NoError(t, err)
			require.False(t, plan.Closed)
			require.Empty(t, plan.Jobs, "the file that was given up is not sent")

			// Given up earlier: not sent when everything else is sent again.
			later, err := core.PlanRecovery(plan.Run, overlay(files, plan.Files), t0.Add(policy.RedispatchAfter), policy)
			require.NoError(t, err)
			require.Equal(t, []int{1}, core.FileIndexes(later.Jobs))
			require.False(t, later.Closed)
		}
	})
	t.Run("WhenTheOthersHaveEnded", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FileCompleted)
		files[0].Redeliveries = 3
		plan, err := core.PlanRecovery(runningOver(files, core.ModePerFile), files[:1], now, policy)
		require.NoError(t, err)
		require.True(t, plan.Closed)
		require.Empty(t, plan.Files)
		require.Zero(t, plan.Expired)
		again, err := core.PlanRetry(plan.Run, files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin}, now)
		require.NoError(t, err, "Continue is free for files that were given up")
		require.Zero(t, again.Files[0].Redeliveries, "and has all its redeliveries again")
	})
	t.Run("NotOfARunThatHasClosed", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending)
		files[0].Redeliveries = 3
		run := runningOver(files, core.ModePerFile)
		run.Status = core.RunFailed
		plan, err := core.PlanRecovery(run, files, now, policy)
		fault(t, err, "cannot go from FAILED to INTERRUPTED")
		require.Zero(t, plan)
	})
}

func TestRecoverDispatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		dispatch     core.DispatchState
		redispatches int
		wait         time.Duration // after which waiting jobs are sent again
	}{
		{"never confirmed", core.DispatchUnconfirmed, 0, 30 * time.Second},
		{"never confirmed, sent again once", core.DispatchUnconfirmed, 1, 10 * time.Minute},
		{"confirmed", core.DispatchConfirmed, 0, 5 * time.Minute},
		{"sent again once", core.DispatchConfirmed, 1, 10 * time.Minute},
		{"sent again three times", core.DispatchConfirmed, 3, 40 * time.Minute},
		{"at most an hour", core.DispatchConfirmed, 4, time.Hour},
		{"doubled beyond all bounds", core.DispatchConfirmed, 25, time.Hour},
		{"shifted out of the number", core.DispatchConfirmed, 1000, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FilePending, core.FileCompleted, core.FilePending)
			unfinished := []core.File{files[0], files[2]}
			run := runningOver(files, core.ModePerFile)
			run.Dispatch, run.Redispatches, run.DispatchedAt = tc.dispatch, tc.redispatches, t0
			due := t0.Add(tc.wait)

			early, err := core.PlanRecovery(run, unfinished, due.Add(-time.Nanosecond), policy)
			require.NoError(t, err)
			want := run
			want.RecoverAt = due
			require.Equal(t, core.RecoveryPlan{Run: want}, early, "too early; recovery visits it again when it is due")

			plan, err := core.PlanRecovery(run, unfinished, due, policy)
			require.NoError(t, err)
			require.Equal(t, []core.Job{jobFor(run, files[0]), jobFor(run, files[2])}, plan.Jobs,
				"under their own epoch, so that a message which is still there is the same one")
			require.Empty(t, plan.Files)
			require.Equal(t, tc.dispatch == core.DispatchUnconfirmed, plan.Unconfirmed)
			require.Equal(t, due, plan.Run.DispatchedAt)
			require.Equal(t, tc.redispatches+1, plan.Run.Redispatches)
			require.Equal(t, tc.dispatch, plan.Run.Dispatch, "confirmed only once it has reached the queue")
			require.Equal(t, due.Add(lease), plan.Run.RecoverAt, "no running run goes unvisited for longer than a lease")
		})
	}
	t.Run("NothingWaits", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		now := t0.Add(policy.RedispatchAfter)
		files[0].LeaseUntil = now.Add(2 * lease)
		plan, err := core.PlanRecovery(run, files, now, policy)
		require.NoError(t, err)
		want := run
		want.RecoverAt = now.Add(lease)
		require.Equal(t, core.RecoveryPlan{Run: want}, plan, "nothing was sent, so nothing counts as sent")
	})
	t.Run("BatchFilesUnderDifferentEpochs", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FilePending)
		files[1].Epoch = 2
		_, err := core.PlanRecovery(runningOver(files, core.ModeBatch), files, t0.Add(time.Hour), policy)
		fault(t, err, "must be dispatched together")
	})
}

func TestPlanRecoveryDoublingDoesNotWrap(t *testing.T) {
	t.Parallel()
	odd := policy
	odd.RedispatchAfter = 1<<33 + 1 // about 8.6 s; << 31 wraps to 2.1 s
	require.NoError(t, odd.Validate())
	files := filesIn(core.FilePending)
	run := runningOver(files, core.ModePerFile)
	run.Redispatches, run.DispatchedAt = 31, t0
	plan, err := core.PlanRecovery(run, files, t0.Add(time.Minute), odd)
	require.NoError(t, err)
	require.Empty(t, plan.Jobs, "the bound is an hour")
}

func TestPlanResume(t *testing.T) {
	t.Parallel()
	t.Run("VoidsLeasesAndSendsAllThatWaits", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FilePending, core.FileProcessing, core.FileCompleted)
		files[2].LeaseUntil = t0.Add(time.Hour) // as a clock that was ahead would have it
		run := runningOver(files, core.ModePerFile)
		run.Epoch, run.Redispatches = 4, 3
		unfinished := files[:3:3]
		var plan core.RecoveryPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanResume(run, unfinished, t0, policy) }, run, unfinished)
		require.NoError(t, err)

		first, last := files[0], files[2]
		for _, f := range []*core.File{&first, &last} {
			f.Status, f.Epoch, f.LeaseUntil, f.Redeliveries = core.FilePending, 5, time.Time{}, 1
		}
		want := run
		want.Epoch, want.RecoverAt, want.DispatchedAt, want.Redispatches = 5, t0.Add(lease), t0, 1
		require.Equal(t, core.RecoveryPlan{
			Run: want, Files: []core.File{first, last}, Expired: 2,
			Jobs: []core.Job{jobFor(run, first), jobFor(run, files[1]), jobFor(run, last)},
		}, plan)
	})
	t.Run("UnconfirmedDispatchIsSentBeforeItsGrace", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending)
		run := runningOver(files, core.ModePerFile)
		run.Dispatch, run.DispatchedAt = core.DispatchUnconfirmed, t0
		plan, err := core.PlanResume(run, files, t0, policy)
		require.NoError(t, err)
		require.True(t, plan.Unconfirmed)
		require.Len(t, plan.Jobs, 1)
		require.Equal(t, 1, plan.Run.Redispatches)
	})
	t.Run("GivesUpOnWhatEndsEveryProcess", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileCompleted)
		files[0].Redeliveries = policy.MaxRedeliveries
		plan, err := core.PlanResume(runningOver(files, core.ModePerFile), files[:1], t0, policy)
		require.NoError(t, err)
		require.True(t, plan.Closed)
		require.Equal(t, core.ReasonRedeliveriesExhausted, plan.Run.Reason)
	})
	t.Run("LeavesWhatAContinueHasToDispatch", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FilePending)
		files[0].Failure = core.Failure{Code: core.FailureUnauthorized}
		run := runningOver(files, core.ModePerFile)
		plan, err := core.PlanResume(run, files, t0, policy)
		require.NoError(t, err)
		require.Equal(t, []core.Job{jobFor(run, files[1])}, plan.Jobs)
	})
}

// What is sent by the transaction that begins it needs no visit before a lease can have run
// out, or its jobs are sent again.
func TestSent(t *testing.T) {
	t.Parallel()
	policy := core.RecoveryPolicy{DispatchGrace: time.Second, RedispatchAfter: 5 * time.Minute, MaxRedispatchAfter: time.Hour, Lease: time.Minute, MaxRedeliveries: 3}
	now := time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)
	run := core.Run{ID: "r", Status: core.RunRunning, Dispatch: core.DispatchUnconfirmed, DispatchedAt: now, RecoverAt: now, Epoch: 1, Tally: core.Tally{Unfinished: 1}}
	files := []core.File{{Index: 0, Status: core.FilePending, Epoch: 1}}
	for _, redispatch := range []time.Duration{5 * time.Minute, 30 * time.Second} {
		policy.RedispatchAfter = redispatch
		sent := core.Sent(run, policy)
		require.Equal(t, core.DispatchConfirmed, sent.Dispatch)
		require.Equal(t, now.Add(min(policy.Lease, redispatch)), sent.RecoverAt)
		require.False(t, core.RecoveryDue(sent, now, policy.Horizon()))
		visited, err := core.PlanRecovery(sent, files, now, policy)
		require.NoError(t, err)
		require.Equal(t, sent, visited.Run, "a visit finds nothing to do")
		require.Empty(t, visited.Jobs)
	}
	require.Equal(t, core.DispatchUnconfirmed, run.Dispatch, "what it was given stays as it is")
}
