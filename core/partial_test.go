package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A batch job whose results are recorded as they come.
func TestSettlePartial(t *testing.T) {
	t.Parallel()
	batch := func(files []core.File) (core.Run, core.Job) {
		run := runningOver(files, core.ModeBatch)
		job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: core.BatchJobID(run1), Template: "invoices"}
		for _, f := range files {
			job.Files = append(job.Files, f.Index)
		}
		return run, job
	}
	t.Run("RecordsAndCountsNothing", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing, core.FileProcessing)
		run, job := batch(files)
		// The store reads only the rows with results.
		plan := settleAll(t, run, files[1:2], core.Settlement{Job: job, Results: completed(1), Partial: true})
		require.Equal(t, core.FileCompleted, plan.Files[0].Status)
		require.Equal(t, files[1].Epoch, plan.Files[0].Epoch)
		require.Zero(t, plan.Run.CompletedJobs+plan.Run.FailedJobs)
		require.False(t, plan.Closed)
		require.Equal(t, core.Tally{Unfinished: 2, Completed: 1}, plan.Run.Tally)
		require.Equal(t, []core.Job{job}, plan.Settled)

		again := settleAll(t, plan.Run, overlay(files, plan.Files), core.Settlement{Job: job, Results: completed(1), Partial: true})
		require.False(t, again.Changed(), "a result is recorded once")
		require.Equal(t, []core.Drop{{Job: job, Reason: core.DropLeaseLost}}, again.Dropped)
	})
	t.Run("TheRestCountsTheJob", func(t *testing.T) {
		t.Parallel()
		for early, want := range map[core.Outcome]core.RunStatus{core.OutcomeCompleted: core.RunCompleted, core.OutcomePermanent: core.RunCompletedWithErrors} {
			files := filesIn(core.FileProcessing, core.FileProcessing)
			run, job := batch(files)
			plan := settleAll(t, run, files, core.Settlement{Job: job, Results: []core.FileResult{outcome(0, early)}, Partial: true})
			files = overlay(files, plan.Files)
			plan = settleAll(t, plan.Run, files, core.Settlement{Job: job, Results: completed(1)})
			require.True(t, plan.Closed)
			require.Equal(t, want, plan.Run.Status)
			require.Equal(t, want == core.RunCompleted, plan.Run.CompletedJobs == 1, "a job with a file that did not complete is failed")
			require.Len(t, plan.Files, 1, "what was recorded is not written again")
		}
	})
	t.Run("NothingIsLeftForTheRest", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run, job := batch(files)
		_, err := core.Settle(run, files, []core.Settlement{{Job: job, Results: completed(0), Partial: true}}, t1)
		fault(t, err, "leaves nothing to settle the job by")
	})
	t.Run("LateOrForeign", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileProcessing)
		run, job := batch(files)
		for name, spoil := range map[string]func(r *core.Run, f []core.File, s *core.Settlement){
			"closed":        func(r *core.Run, _ []core.File, _ *core.Settlement) { r.Status = core.RunInterrupted },
			"stale":         func(_ *core.Run, f []core.File, _ *core.Settlement) { f[0].Epoch = 2 },
			"taken":         func(_ *core.Run, f []core.File, _ *core.Settlement) { f[0].Status = core.FilePending },
			"another file":  func(_ *core.Run, _ []core.File, s *core.Settlement) { s.Results[0].Index = 7 },
			"not the job's": func(_ *core.Run, _ []core.File, s *core.Settlement) { s.Job.Files = []int{1} },
			"another run":   func(_ *core.Run, _ []core.File, s *core.Settlement) { s.Job.Run = "run-2" },
		} {
			r, f := run, append([]core.File(nil), files...)
			s := core.Settlement{Job: job, Results: completed(0), Partial: true}
			spoil(&r, f, &s)
			plan := settleAll(t, r, f, s)
			require.False(t, plan.Changed(), name)
			require.Len(t, plan.Dropped, 1, name)
		}
	})
	t.Run("HandedBackWithoutWhatWasRecorded", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileCompleted, core.FileProcessing)
		run, job := batch(files)
		back, err := core.HandBack(run, files, []core.Job{job}, t1)
		require.NoError(t, err)
		require.Equal(t, []int{0, 2}, back.Jobs[0].Files)
		require.Len(t, back.Files, 2)
		require.Equal(t, []int{0, 1, 2}, job.Files, "the caller's job is as it was")

		renewed := core.Renew(run, files, []core.Job{job}, t1, lease)
		require.Equal(t, []core.Job{job}, renewed.Renewed)
		require.Len(t, renewed.Files, 2)
	})
}
