package core_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestRunStatus(t *testing.T) {
	t.Parallel()
	const unknown = core.RunStatus("PAUSED")
	legal := map[core.RunStatus][]core.RunStatus{
		core.RunRunning:             {core.RunCompleted, core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted},
		core.RunCompleted:           {},
		core.RunCompletedWithErrors: {core.RunRunning},
		core.RunFailed:              {core.RunRunning},
		core.RunInterrupted:         {core.RunRunning},
		unknown:                     {},
	}
	all := append(slices.Clone(runStatuses), unknown)
	require.Len(t, legal, len(all))
	for _, from := range all {
		for _, to := range all {
			t.Run(string(from+"->"+to), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, slices.Contains(legal[from], to), from.CanBecome(to))
			})
		}
	}
	for _, s := range runStatuses {
		require.True(t, s.Valid(), s)
		require.Equal(t, s != core.RunRunning, s.Closed(), s)
	}
	require.False(t, unknown.Valid())
	require.False(t, unknown.Closed(), "an unknown status is not closed")
}

func TestFileStatus(t *testing.T) {
	t.Parallel()
	const unknown = core.FileStatus("paused")
	legal := map[core.FileStatus][]core.FileStatus{
		core.FilePending:    {core.FilePending, core.FileProcessing, core.FileFailed},
		core.FileProcessing: {core.FilePending, core.FileCompleted, core.FileFailed, core.FileError},
		core.FileCompleted:  {},
		core.FileFailed:     {core.FilePending},
		core.FileError:      {},
		unknown:             {},
	}
	all := append(slices.Clone(fileStatuses), unknown)
	require.Len(t, legal, len(all))
	for _, from := range all {
		for _, to := range all {
			t.Run(string(from+"->"+to), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, slices.Contains(legal[from], to), from.CanBecome(to))
			})
		}
	}
	for _, s := range fileStatuses {
		require.True(t, s.Valid(), s)
		require.Equal(t, s == core.FileFailed || s == core.FilePending, s.Retriable(), s)
	}
	require.False(t, unknown.Valid())
	require.False(t, unknown.Retriable())
}

func TestTallyOf(t *testing.T) {
	t.Parallel()
	files := filesIn(core.FilePending, core.FileProcessing, core.FileProcessing, core.FileCompleted,
		core.FileFailed, core.FileFailed, core.FileFailed, core.FileError, core.FileError)
	tally := core.TallyOf(files)
	require.Equal(t, core.Tally{Unfinished: 3, Completed: 1, Failed: 3, Error: 2}, tally)
	require.Equal(t, 9, tally.Total())
	require.Equal(t, core.Tally{}, core.TallyOf(nil))
	require.Equal(t, core.Tally{}, core.TallyOf([]core.File{{Status: "paused"}}))
}
