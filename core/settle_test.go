package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func completed(index int) []core.FileResult {
	return []core.FileResult{{Index: index, Outcome: core.OutcomeCompleted, Output: "result"}}
}

func outcome(index int, o core.Outcome) core.FileResult {
	r := core.FileResult{Index: index, Outcome: o}
	if o == core.OutcomeCompleted {
		r.Output = "result"
	} else {
		r.Failure = core.Failure{Code: string(o), Message: "why"}
	}
	return r
}

func TestSettleOutcomes(t *testing.T) {
	t.Parallel()
	why := core.Failure{Code: "x", Message: "y"}
	for _, tc := range []struct {
		name    string
		results []core.FileResult
		status  core.FileStatus
		output  string
		failure core.Failure
	}{
		{"completed", []core.FileResult{{Outcome: core.OutcomeCompleted, Output: "out"}}, core.FileCompleted, "out", core.Failure{}},
		{"completed drops a failure", []core.FileResult{{Outcome: core.OutcomeCompleted, Output: "out", Failure: why}}, core.FileCompleted, "out", core.Failure{}},
		{"transient", []core.FileResult{{Outcome: core.OutcomeTransient, Failure: why}}, core.FileFailed, "", why},
		{"transient drops an output", []core.FileResult{{Outcome: core.OutcomeTransient, Output: "half", Failure: why}}, core.FileFailed, "", why},
		{"permanent", []core.FileResult{{Outcome: core.OutcomePermanent, Output: "half", Failure: why}}, core.FileError, "", why},
		{"an outcome that nobody knows can be continued", []core.FileResult{{Outcome: "odd", Failure: why}}, core.FileFailed, "", why},
		{
			"no result", nil, core.FileFailed, "",
			core.Failure{Code: core.FailureNoResult, Message: "the executor gave no result for this file"},
		},
		{
			"a result for another file only", completed(7), core.FileFailed, "",
			core.Failure{Code: core.FailureNoResult, Message: "the executor gave no result for this file"},
		},
		{
			"of two results the first counts",
			[]core.FileResult{{Outcome: core.OutcomePermanent, Failure: why}, {Outcome: core.OutcomeCompleted, Output: "out"}},
			core.FileError, "", why,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FileProcessing, core.FilePending)
			files[0].RetryAttempt, files[0].PaidBy, files[0].Redeliveries = 2, 1, 1
			files[0].Output, files[0].Failure = "stale", core.Failure{Code: "stale"} // whatever was there
			run := runningOver(files, core.ModePerFile)
			settlements := []core.Settlement{{Job: jobFor(run, files[0]), Results: tc.results}}
			var plan core.SettlePlan
			var err error
			unchanged(t, func() { plan, err = core.Settle(run, files, settlements, t1) }, run, files, settlements)
			require.NoError(t, err)
			want := files[0]
			want.Status, want.Output, want.Failure, want.LeaseUntil = tc.status, tc.output, tc.failure, time.Time{}
			want.OutputBytes = int64(len(tc.output))
			require.Equal(t, []core.File{want}, plan.Files)
			require.Equal(t, []core.Job{settlements[0].Job}, plan.Settled)
			require.True(t, plan.Changed())
			require.False(t, plan.Closed)
			wantRun := run
			wantRun.Tally = core.TallyOf(overlay(files, plan.Files))
			if tc.status == core.FileCompleted {
				wantRun.CompletedJobs++
			} else {
				wantRun.FailedJobs++
			}
			require.Equal(t, wantRun, plan.Run)
		})
	}
}

func TestSettleDrops(t *testing.T) {
	t.Parallel()
	for _, tc := range drops(core.FileProcessing) {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FileProcessing, core.FileProcessing)
			run := runningOver(files, core.ModeBatch)
			job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1}}
			tc.spoil(&run, files, &job)
			plan, err := core.Settle(run, files, []core.Settlement{{Job: job, Results: completed(0)}}, t1)
			require.NoError(t, err)
			require.Equal(t, core.SettlePlan{Run: run, Dropped: []core.Drop{{Job: job, Reason: tc.reason}}}, plan)
			require.False(t, plan.Changed())
		})
	}
	t.Run("a file named twice is not half settled", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing)
		run := runningOver(files, core.ModeBatch)
		job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1, 1}}
		plan, err := core.Settle(run, files, []core.Settlement{{Job: job, Results: completed(0)}}, t1)
		require.NoError(t, err)
		require.Len(t, plan.Dropped, 1)
		require.Empty(t, plan.Settled)
		require.Empty(t, plan.Files)
	})
	t.Run("twice in one group", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		job := jobFor(run, files[0])
		plan, err := core.Settle(run, files, []core.Settlement{
			{Job: job, Results: completed(0)},
			{Job: job, Results: []core.FileResult{outcome(0, core.OutcomeTransient)}},
		}, t1)
		require.NoError(t, err)
		require.Equal(t, []core.Drop{{Job: job, Reason: core.DropLeaseLost}}, plan.Dropped)
		require.Equal(t, 1, plan.Run.CompletedJobs)
		require.Zero(t, plan.Run.FailedJobs)
		require.Len(t, plan.Files, 1)
	})
	t.Run("after the group itself closed the run", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		job := jobFor(run, files[0])
		plan, err := core.Settle(run, files, []core.Settlement{{Job: job, Results: completed(0)}, {Job: job, Results: completed(0)}}, t1)
		require.NoError(t, err)
		require.True(t, plan.Closed)
		require.Equal(t, []core.Drop{{Job: job, Reason: core.DropRunClosed}}, plan.Dropped)
	})
}

func TestSettleCloses(t *testing.T) {
	t.Parallel()
	const done, transient, permanent = core.OutcomeCompleted, core.OutcomeTransient, core.OutcomePermanent
	for _, tc := range []struct {
		name   string
		before []core.FileStatus // settled in an earlier attempt
		now    []core.Outcome    // settled by this group, the attempt's only jobs
		status core.RunStatus
	}{
		{"all completed", nil, []core.Outcome{done, done}, core.RunCompleted},
		{"some failed", nil, []core.Outcome{done, transient}, core.RunCompletedWithErrors},
		{"some error", nil, []core.Outcome{permanent, done}, core.RunCompletedWithErrors},
		{"all failed", nil, []core.Outcome{transient, transient}, core.RunFailed},
		{"all error", nil, []core.Outcome{permanent}, core.RunFailed},
		{"none completed", nil, []core.Outcome{permanent, transient}, core.RunFailed},
		{"the last ones complete", []core.FileStatus{core.FileCompleted, core.FileCompleted}, []core.Outcome{done}, core.RunCompleted},
		{"an error from before remains", []core.FileStatus{core.FileError}, []core.Outcome{done}, core.RunCompletedWithErrors},
		{"what completed before still counts", []core.FileStatus{core.FileCompleted}, []core.Outcome{transient}, core.RunCompletedWithErrors},
		{"nothing completed in either", []core.FileStatus{core.FileError}, []core.Outcome{transient}, core.RunFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(tc.before...)
			var settlements []core.Settlement
			for i, o := range tc.now {
				f := file(len(tc.before)+i, core.FileProcessing)
				files = append(files, f)
				settlements = append(settlements, core.Settlement{
					Job: jobFor(core.Run{ID: run1, Tenant: acme}, f), Results: []core.FileResult{outcome(f.Index, o)},
				})
			}
			run := runningOver(files, core.ModePerFile)
			// Spec 3: a Continue restarts the counters and leaves totalJobs.
			run.AttemptJobs, run.CompletedJobs, run.FailedJobs = len(tc.now), 0, 0
			for i := range settlements[:len(settlements)-1] {
				plan, err := core.Settle(run, files, settlements[i:i+1], t0)
				require.NoError(t, err)
				require.False(t, plan.Closed, "not before the attempt's last job")
				require.Equal(t, core.RunRunning, plan.Run.Status)
				run, files = plan.Run, overlay(files, plan.Files)
			}
			plan, err := core.Settle(run, files, settlements[len(settlements)-1:], t1)
			require.NoError(t, err)
			require.True(t, plan.Closed)
			require.Equal(t, tc.status, plan.Run.Status)
			require.Equal(t, t1, plan.Run.ClosedAt)
			require.Equal(t, core.ReasonNone, plan.Run.Reason)
			require.Zero(t, plan.Run.RecoverAt, "nothing is left to recover")
			require.Equal(t, len(tc.now), plan.Run.CompletedJobs+plan.Run.FailedJobs)
			require.Equal(t, len(files), plan.Run.TotalJobs)
		})
	}
}

func TestSettleBatch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcomes  []core.Outcome
		completed int
		status    core.RunStatus
	}{
		"all completed": {[]core.Outcome{core.OutcomeCompleted, core.OutcomeCompleted}, 1, core.RunCompleted},
		"last failed":   {[]core.Outcome{core.OutcomeCompleted, core.OutcomeTransient}, 0, core.RunCompletedWithErrors},
		"first failed":  {[]core.Outcome{core.OutcomeTransient, core.OutcomeCompleted}, 0, core.RunCompletedWithErrors},
		"none":          {[]core.Outcome{core.OutcomePermanent, core.OutcomeTransient}, 0, core.RunFailed},
	} {
		files := filesIn(core.FileProcessing, core.FileProcessing)
		run := runningOver(files, core.ModeBatch)
		s := core.Settlement{Job: core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1}}}
		for i, o := range tc.outcomes {
			s.Results = append([]core.FileResult{outcome(i, o)}, s.Results...) // answered in any order
		}
		plan, err := core.Settle(run, files, []core.Settlement{s}, t1)
		require.NoError(t, err)
		require.True(t, plan.Closed, "one job closes the run: %s", name)
		require.Equal(t, tc.status, plan.Run.Status, name)
		require.Equal(t, tc.completed, plan.Run.CompletedJobs, "a job is completed if all its files are: %s", name)
		require.Equal(t, 1-tc.completed, plan.Run.FailedJobs, name)
		for i, o := range tc.outcomes {
			require.Equal(t, o == core.OutcomeCompleted, plan.Files[i].Status == core.FileCompleted, name)
		}
	}
}

// A count of jobs that is reached while files are unfinished means that the
// rows are broken; nothing is closed on such grounds.
func TestSettleBrokenCounters(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FileProcessing, core.FilePending)
	run := runningOver(files, core.ModePerFile)
	run.AttemptJobs = 1
	plan, err := core.Settle(run, files, []core.Settlement{{Job: jobFor(run, files[0]), Results: completed(0)}}, t1)
	fault(t, err, "1 files are unfinished")
	require.Zero(t, plan)
}

func TestResultsByIndex(t *testing.T) {
	t.Parallel()
	results := []core.FileResult{outcome(3, core.OutcomePermanent), outcome(1, core.OutcomeCompleted), outcome(3, core.OutcomeCompleted)}
	find := core.ResultsByIndex(results)
	require.Equal(t, results[0], find(3))
	require.Equal(t, results[1], find(1))
	none := find(2)
	require.Equal(t, 2, none.Index)
	require.Equal(t, core.OutcomeTransient, none.Outcome, "it can be continued")
	require.Equal(t, core.FailureNoResult, none.Failure.Code)
	require.Equal(t, core.OutcomeTransient, core.ResultsByIndex(nil)(0).Outcome)
}
