package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// drops are the ways in which a delivery has no effect, for files that a worker
// wants in the given status.
func drops(want core.FileStatus) []struct {
	name   string
	spoil  func(*core.Run, []core.File, *core.Job)
	reason core.DropReason
} {
	other, reason := core.FileProcessing, core.DropNotPending
	if want == core.FileProcessing {
		other, reason = core.FilePending, core.DropLeaseLost
	}
	cases := []struct {
		name   string
		spoil  func(*core.Run, []core.File, *core.Job)
		reason core.DropReason
	}{
		{"another run's", func(_ *core.Run, _ []core.File, j *core.Job) { j.Run = "run-2" }, core.DropRunUnknown},
		{"another tenant's", func(_ *core.Run, _ []core.File, j *core.Job) { j.Tenant = globex }, core.DropRunUnknown},
		{"a file that the run has not", func(_ *core.Run, _ []core.File, j *core.Job) { j.Files = []int{0, 99} }, core.DropRunUnknown},
		{"no files", func(_ *core.Run, _ []core.File, j *core.Job) { j.Files = nil }, core.DropRunUnknown},
		{"unknown before closed", func(r *core.Run, _ []core.File, j *core.Job) { r.Status, j.Tenant = core.RunFailed, globex }, core.DropRunUnknown},
		{"run completed", func(r *core.Run, _ []core.File, _ *core.Job) { r.Status = core.RunCompleted }, core.DropRunClosed},
		{"run completed with errors", func(r *core.Run, _ []core.File, _ *core.Job) { r.Status = core.RunCompletedWithErrors }, core.DropRunClosed},
		{"run failed", func(r *core.Run, _ []core.File, _ *core.Job) { r.Status = core.RunFailed }, core.DropRunClosed},
		{"run interrupted", func(r *core.Run, _ []core.File, _ *core.Job) { r.Status = core.RunInterrupted }, core.DropRunClosed},
		{"closed before stale", func(r *core.Run, _ []core.File, j *core.Job) { r.Status, j.Epoch = core.RunFailed, 0 }, core.DropRunClosed},
		{"older epoch", func(_ *core.Run, _ []core.File, j *core.Job) { j.Epoch = 0 }, core.DropStaleEpoch},
		{"newer epoch", func(_ *core.Run, _ []core.File, j *core.Job) { j.Epoch = 2 }, core.DropStaleEpoch},
		{"second file dispatched again", func(_ *core.Run, f []core.File, _ *core.Job) { f[1].Epoch = 2 }, core.DropStaleEpoch},
		{"stale before status", func(_ *core.Run, f []core.File, j *core.Job) { f[0].Status, j.Epoch = other, 0 }, core.DropStaleEpoch},
		{"in the other status", func(_ *core.Run, f []core.File, _ *core.Job) { f[0].Status = other }, reason},
		{"second file in the other status", func(_ *core.Run, f []core.File, _ *core.Job) { f[1].Status = other }, reason},
		{"failed", func(_ *core.Run, f []core.File, _ *core.Job) { f[0].Status = core.FileFailed }, reason},
	}
	// A held job may have been recorded in part, but something of it must be held.
	some := func(f []core.File) []core.File { return f[:1] }
	if want == core.FileProcessing {
		some = func(f []core.File) []core.File { return f }
	}
	for _, status := range []core.FileStatus{core.FileCompleted, core.FileError} {
		cases = append(cases, cases[0])
		last := &cases[len(cases)-1]
		last.name, last.reason = string(status), reason
		last.spoil = func(_ *core.Run, f []core.File, _ *core.Job) {
			for i := range some(f) {
				f[i].Status = status
			}
		}
	}
	return cases
}

func TestClaim(t *testing.T) {
	t.Parallel()
	t.Run("Group", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FilePending, core.FileProcessing)
		run := runningOver(files, core.ModePerFile)
		jobs := []core.Job{jobFor(run, files[1]), jobFor(run, files[2]), jobFor(run, files[0]), jobFor(run, files[1])}
		var plan core.ClaimPlan
		var err error
		unchanged(t, func() { plan, err = core.Claim(run, files, jobs, t1, lease) }, run, files, jobs)
		require.NoError(t, err)
		claimed := func(f core.File) core.File {
			f.Status, f.LeaseUntil = core.FileProcessing, t1.Add(lease)
			return f
		}
		require.Equal(t, core.ClaimPlan{
			Run: run, RunChanged: false,
			Files:   []core.File{claimed(files[1]), claimed(files[0])},
			Claimed: []core.Job{jobs[0], jobs[2]},
			Dropped: []core.Drop{{Job: jobs[1], Reason: core.DropNotPending}, {Job: jobs[3], Reason: core.DropNotPending}},
		}, plan)
	})
	t.Run("FirstClaimConfirmsTheDispatch", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending)
		run := runningOver(files, core.ModePerFile)
		run.Dispatch = core.DispatchUnconfirmed
		plan, err := core.Claim(run, files, []core.Job{jobFor(run, files[0])}, t1, lease)
		require.NoError(t, err)
		require.True(t, plan.RunChanged)
		want := run
		want.Dispatch = core.DispatchConfirmed
		require.Equal(t, want, plan.Run)
		require.False(t, core.Compensable(plan.Run, 0), "no refund beside the work")
	})
	t.Run("DroppedJobsConfirmNothing", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending)
		run := runningOver(files, core.ModePerFile)
		run.Dispatch = core.DispatchUnconfirmed
		stale := jobFor(run, files[0])
		stale.Epoch = 0
		plan, err := core.Claim(run, files, []core.Job{stale}, t1, lease)
		require.NoError(t, err)
		require.False(t, plan.RunChanged)
		require.Equal(t, run, plan.Run)
		require.Empty(t, plan.Files)
		require.True(t, core.Compensable(plan.Run, 0))
	})
	t.Run("AFileNamedTwiceIsNotHalfClaimed", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FilePending, core.FilePending)
		run := runningOver(files, core.ModeBatch)
		job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1, 1}}
		plan, err := core.Claim(run, files, []core.Job{job}, t1, lease)
		require.NoError(t, err, "a malformed message would come back for ever")
		require.Len(t, plan.Dropped, 1)
		require.Empty(t, plan.Claimed)
		require.Empty(t, plan.Files)
	})
	for _, tc := range drops(core.FilePending) {
		t.Run("Drop/"+tc.name, func(t *testing.T) {
			t.Parallel()
			files := filesIn(core.FilePending, core.FilePending)
			run := runningOver(files, core.ModeBatch)
			job := core.Job{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Files: []int{0, 1}}
			tc.spoil(&run, files, &job)
			plan, err := core.Claim(run, files, []core.Job{job}, t1, lease)
			require.NoError(t, err, "a drop is no error")
			require.Equal(t, core.ClaimPlan{Run: run, Dropped: []core.Drop{{Job: job, Reason: tc.reason}}}, plan,
				"a job is claimed with all its files or not at all")
		})
	}
}

func TestConfirmDispatch(t *testing.T) {
	t.Parallel()
	open := runningOver(filesIn(core.FilePending), core.ModePerFile)
	open.Dispatch, open.Attempt = core.DispatchUnconfirmed, 2
	for _, tc := range []struct {
		name    string
		change  func(*core.Run)
		n       core.AttemptNumber
		changed bool
	}{
		{"unconfirmed", func(*core.Run) {}, 2, true},
		{"confirmed by a claim", func(r *core.Run) { r.Dispatch = core.DispatchConfirmed }, 2, false},
		{"an older attempt", func(*core.Run) {}, 1, false},
		{"a newer attempt", func(*core.Run) {}, 3, false},
		{"closed", func(r *core.Run) { r.Status = core.RunInterrupted }, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run := open
			tc.change(&run)
			got, changed := core.ConfirmDispatch(run, tc.n)
			require.Equal(t, tc.changed, changed)
			want := run
			if tc.changed {
				want.Dispatch = core.DispatchConfirmed
			}
			require.Equal(t, want, got)
		})
	}
}

func TestDispatchPartly(t *testing.T) {
	t.Parallel()
	base := runningOver(filesIn(core.FileProcessing, core.FilePending), core.ModePerFile)
	base.Attempt, base.Redispatches, base.RecoverAt = 2, 4, t0.Add(time.Hour)
	for _, tc := range []struct {
		name    string
		status  core.RunStatus
		n       core.AttemptNumber
		changed bool
	}{
		{"under way", core.RunRunning, 2, true},
		{"an older attempt", core.RunRunning, 1, false},
		{"closed", core.RunFailed, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run := base
			run.Status = tc.status
			got, changed := core.DispatchPartly(run, tc.n, t1)
			require.Equal(t, tc.changed, changed)
			want := run
			if tc.changed {
				want.DispatchedAt, want.Redispatches, want.RecoverAt = time.Time{}, 0, t1
			}
			require.Equal(t, want, got)
		})
	}
	t.Run("RecoverySendsWhatIsMissing", func(t *testing.T) {
		t.Parallel()
		files := filesIn(core.FileProcessing, core.FilePending)
		partly, _ := core.DispatchPartly(base, 2, t1)
		require.True(t, core.RecoveryDue(partly, t1, horizon))
		plan, err := core.PlanRecovery(partly, files, t1, policy)
		require.NoError(t, err)
		require.Equal(t, []core.Job{jobFor(partly, files[1])}, plan.Jobs)
	})
}
