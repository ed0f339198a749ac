package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestJobIDs(t *testing.T) {
	t.Parallel()
	require.Equal(t, core.JobID("run-1:file:0"), core.FileJobID(run1, 0))
	require.Equal(t, core.JobID("run-1:file:9999"), core.FileJobID(run1, 9999))
	require.Equal(t, core.JobID("run-1"), core.BatchJobID(run1))
}

func TestJobsOf(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FilePending, core.FilePending, core.FilePending)
	for i := range files {
		files[i].Epoch = 4
	}

	t.Run("PerFile", func(t *testing.T) {
		t.Parallel()
		own := append([]core.File(nil), files[2], files[0])
		own[0].Epoch = 9 // files sent again may stand under different epochs
		jobs, err := core.JobsOf(runningOver(files, core.ModePerFile), own)
		require.NoError(t, err)
		require.Equal(t, []core.Job{
			{Tenant: acme, Run: run1, Epoch: 9, ID: "run-1:file:2", Template: "invoices", Files: []int{2}},
			{Tenant: acme, Run: run1, Epoch: 4, ID: "run-1:file:0", Template: "invoices", Files: []int{0}},
		}, jobs)
		require.Equal(t, []int{2, 0}, core.FileIndexes(jobs))

		jobs[0].Files = append(jobs[0].Files, 77)
		require.Equal(t, []int{0}, jobs[1].Files, "jobs do not write into each other")
	})
	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		jobs, err := core.JobsOf(runningOver(files, core.ModeBatch), []core.File{files[2], files[0], files[1]})
		require.NoError(t, err)
		require.Equal(t, []core.Job{{Tenant: acme, Run: run1, Epoch: 4, ID: "run-1", Template: "invoices", Files: []int{0, 1, 2}}}, jobs)
		require.Equal(t, []int{0, 1, 2}, core.FileIndexes(jobs))
	})
	t.Run("Batch/EpochsDiffer", func(t *testing.T) {
		t.Parallel()
		own := append([]core.File(nil), files...)
		own[1].Epoch = 5
		jobs, err := core.JobsOf(runningOver(files, core.ModeBatch), own)
		fault(t, err, "have epochs 4 and 5")
		require.Empty(t, jobs)
	})
	t.Run("Nothing", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []core.Mode{core.ModePerFile, core.ModeBatch} {
			jobs, err := core.JobsOf(runningOver(files, mode), nil)
			require.NoError(t, err)
			require.Empty(t, jobs, "an empty job would be claimed by nobody")
		}
		require.Empty(t, core.FileIndexes(nil))
	})
}
