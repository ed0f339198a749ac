package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// These tests cover errors that callers cannot cause: every plan checks the transition
// tables before it changes a status, so the errors would be bugs of this package. Such a
// bug must stop the transaction and not be written.

func TestBecomeFollowsTheFileTable(t *testing.T) {
	t.Parallel()
	statuses := []FileStatus{FilePending, FileProcessing, FileCompleted, FileFailed, FileError}
	for _, from := range statuses {
		for _, to := range statuses {
			f := File{Index: 3, Status: from, LeaseUntil: time.Unix(9, 0)}
			r := Run{ID: "run-1", Tally: TallyOf([]File{f})}
			f0, r0 := f, r
			err := f.become(to, &r)
			if !from.CanBecome(to) {
				require.ErrorContains(t, err, "file 3 of run run-1 cannot go from "+string(from)+" to "+string(to))
				require.Equal(t, f0, f, "nothing was moved")
				require.Equal(t, r0, r)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, to, f.Status)
			require.Equal(t, TallyOf([]File{f}), r.Tally)
			require.Equal(t, to != FileProcessing, f.LeaseUntil.IsZero(), "only a processing file has a lease")
		}
	}
}

func TestBecomeFollowsTheRunTable(t *testing.T) {
	t.Parallel()
	statuses := []RunStatus{RunRunning, RunCompleted, RunCompletedWithErrors, RunFailed, RunInterrupted}
	for _, from := range statuses {
		for _, to := range statuses {
			r := Run{ID: "run-1", Status: from, RecoverAt: time.Unix(1, 0)}
			r0 := r
			err := r.close(to, ReasonCancelled, time.Unix(5, 0))
			if !from.CanBecome(to) {
				require.Error(t, err)
				require.Equal(t, r0, r, "nothing was moved")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, to, r.Status)
		}
	}
}

func TestTransitionErrorsStopThePlan(t *testing.T) {
	t.Parallel()
	done := File{Status: FileCompleted, Epoch: 1}
	r := Run{ID: "run-1", Status: RunRunning, Epoch: 1, Tally: TallyOf([]File{done})}

	require.Error(t, done.toPending(2, &r))
	require.Equal(t, Epoch(1), done.Epoch)
	require.Error(t, done.record(FileResult{Outcome: OutcomeCompleted, Output: "other"}, &r))
	require.Empty(t, done.Output, "a result is recorded once")
	_, err := done.retry(2, 1, true, &r)
	require.Error(t, err)
	require.Zero(t, done.RetryAttempt)
	require.Error(t, done.undo(FileBefore{}, 2, &r))
	require.Equal(t, Tally{Completed: 1}, r.Tally)
}
