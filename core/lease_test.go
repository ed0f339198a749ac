package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestRenew(t *testing.T) {
	t.Parallel()
	t.Run("Group", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FileCompleted, core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		jobs := []core.Job{jobFor(run, files[2]), jobFor(run, files[1]), jobFor(run, files[0])}
		var plan core.LeasePlan
		unchanged(t, func() { plan = core.Renew(run, files, jobs, t1, 3*lease) }, run, files, jobs)
		first, second := files[2], files[0]
		first.LeaseUntil, second.LeaseUntil = t1.Add(3*lease), t1.Add(3*lease)
		require.Equal(t, core.LeasePlan{
			Files:   []core.File{first, second},
			Renewed: []core.Job{jobs[0], jobs[2]},
			Lost:    []core.Drop{{Job: jobs[1], Reason: core.DropLeaseLost}},
		}, plan)
	})
	for _, tc := range drops(core.FileProcessing) {
		t.Run("Lost/"+tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FileProcessing, core.FileProcessing)
			run := runningOver(files, core.ModeBatch)
			job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1}}
			tc.spoil(&run, files, &job)
			require.Equal(t, core.LeasePlan{Lost: []core.Drop{{Job: job, Reason: tc.reason}}},
				core.Renew(run, files, []core.Job{job}, t1, lease))
		})
	}
}

func TestHandBack(t *testing.T) {
	t.Parallel()
	t.Run("Group", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FilePending, core.FileProcessing)
		files[0].Redeliveries, files[0].RetryAttempt, files[0].PaidBy = 2, 1, 1
		run := runningOver(files, core.ModePerFile)
		run.Epoch, run.DispatchedAt, run.Redispatches = 5, t0.Add(-time.Hour), 2
		jobs := []core.Job{jobFor(run, files[2]), jobFor(run, files[1]), jobFor(run, files[0])}
		var plan core.HandBackPlan
		var err error
		unchanged(t, func() { plan, err = core.HandBack(run, files, jobs, t1) }, run, files, jobs)
		require.NoError(t, err)

		back := func(f core.File, epoch core.Epoch) core.File {
			f.Status, f.Epoch, f.LeaseUntil = core.FilePending, epoch, time.Time{}
			return f
		}
		again := func(j core.Job, epoch core.Epoch) core.Job {
			j.Epoch = epoch
			return j
		}
		want := run
		want.Epoch, want.DispatchedAt, want.Redispatches = 7, t1, 0
		require.Equal(t, core.HandBackPlan{
			Run:     want,
			Files:   []core.File{back(files[2], 6), back(files[0], 7)},
			Jobs:    []core.Job{again(jobs[0], 6), again(jobs[2], 7)},
			Dropped: []core.Drop{{Job: jobs[1], Reason: core.DropLeaseLost}},
		}, plan, "not counted as a redelivery, nor as a retry")
	})
	t.Run("FencesTheWorker", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		job := jobFor(run, files[0])
		back, err := core.HandBack(run, files, []core.Job{job}, t1)
		require.NoError(t, err)
		late, err := core.Settle(back.Run, back.Files, []core.Settlement{{Job: job, Results: completed(0)}}, t1)
		require.NoError(t, err)
		require.Equal(t, []core.Drop{{Job: job, Reason: core.DropStaleEpoch}}, late.Dropped)
		claim, err := core.Claim(back.Run, back.Files, back.Jobs, t1, lease)
		require.NoError(t, err)
		require.Equal(t, back.Jobs, claim.Claimed, "another worker can take it at once")
	})
	for _, tc := range drops(core.FileProcessing) {
		t.Run("Drop/"+tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FileProcessing, core.FileProcessing)
			run := runningOver(files, core.ModeBatch)
			job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1}}
			tc.spoil(&run, files, &job)
			plan, err := core.HandBack(run, files, []core.Job{job}, t1)
			require.NoError(t, err)
			require.Equal(t, core.HandBackPlan{Run: run, Dropped: []core.Drop{{Job: job, Reason: tc.reason}}}, plan)
		})
	}
}
