package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// everyFileOnce requires that these jobs process exactly these files, and under
// the IDs that spec 1 gives them.
func everyFileOnce(t tb, r core.Run, files []core.File, jobs []core.Job) {
	t.Helper()
	want := map[int]core.Epoch{}
	for _, f := range files {
		want[f.Index] = f.Epoch
	}
	if r.Mode == core.ModeBatch {
		require.Equal(t, len(files) > 0, len(jobs) == 1, "one job for all")
	} else {
		require.Len(t, jobs, len(files), "one job a file")
	}
	for _, j := range jobs {
		require.Equal(t, r.Tenant, j.Tenant)
		require.Equal(t, r.ID, j.Run)
		id := core.JobID(r.ID)
		if r.Mode == core.ModePerFile {
			require.Len(t, j.Files, 1)
			id = core.FileJobID(r.ID, j.Files[0])
		}
		require.Equal(t, id, j.ID)
		require.True(t, slices.IsSorted(j.Files))
		for _, i := range j.Files {
			epoch, there := want[i]
			require.True(t, there, "file %d is in one job and to be processed", i)
			require.Equal(t, epoch, j.Epoch)
			delete(want, i)
		}
	}
	require.Empty(t, want, "files without a job")
}

func TestPlanRunProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req := newRun(rapid.IntRange(0, 9).Draw(t, "files"))
		req.MaxFiles = rapid.IntRange(0, 8).Draw(t, "maxFiles")
		if rapid.Bool().Draw(t, "limited") {
			n := rapid.IntRange(-1, 12).Draw(t, "maxRetryCount")
			req.MaxRetryCount = &n
		}
		template := inMode(published(core.Credits(rapid.Int64Range(0, 5).Draw(t, "price"))), anyMode().Draw(t, "mode"))
		b := balanceOf(core.Credits(rapid.Int64Range(0, 30).Draw(t, "monthly")), core.Credits(rapid.Int64Range(0, 30).Draw(t, "purchased")))
		n, limit := len(req.Files), req.MaxFiles
		if limit == 0 {
			limit = 10_000
		}
		price := template.CreditsPerRun * core.Credits(n)

		var plan core.RunPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanRun(req, template, b, t0) }, req, template, b)
		switch {
		case n < 1 || n > limit || req.MaxRetryCount != nil && (*req.MaxRetryCount < 1 || *req.MaxRetryCount > 10):
			refused(t, err, core.CodeInvalidRequest)
			return
		case price > b.Available():
			refused(t, err, core.CodeInsufficientCredits)
			return
		}
		require.NoError(t, err)
		require.Equal(t, core.TallyOf(plan.Files), plan.Run.Tally)
		require.Len(t, plan.Files, n)
		for i, f := range plan.Files {
			require.Equal(t, i, f.Index)
			require.Equal(t, core.FilePending, f.Status)
			require.Equal(t, plan.Attempt.Epoch, f.Epoch)
			require.Equal(t, core.AttemptFile{Index: i, Charged: price > 0}, plan.Attempt.Files[i])
		}
		everyFileOnce(t, plan.Run, plan.Files, plan.Jobs)
		require.Equal(t, len(plan.Jobs), plan.Run.TotalJobs)
		require.Equal(t, len(plan.Jobs), plan.Run.AttemptJobs)
		require.Equal(t, price, plan.Run.CreditsConsumed)
		requireCharge(t, b, plan.Charge, plan.Attempt.Charge, price)
	})
}

// requireCharge requires one entry for exactly the price, or none for nothing,
// and that the balance can pay it.
func requireCharge(t tb, b core.Balance, entries []core.Entry, c core.Charge, price core.Credits) {
	t.Helper()
	require.Equal(t, price, c.Amount.Total())
	require.Equal(t, price == 0, c.IsZero())
	if price == 0 {
		require.Empty(t, entries)
		return
	}
	require.Len(t, entries, 1)
	require.Equal(t, c.Key, entries[0].Key)
	require.Equal(t, c.Amount, entries[0].Amount)
	require.Equal(t, c.Period, entries[0].Period)
	after, err := b.Apply(entries[0])
	require.NoError(t, err)
	require.Equal(t, b.Available()-price, after.Available())
}

// For any closed run, a Continue charges, runs and leaves unchanged the right files. Its
// refusals are those of the rules, which the test applies one after another.
func TestPlanRetryProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run, files := drawClosed(t)
		run.MaxRetryCount = rapid.IntRange(1, 4).Draw(t, "maxRetryCount")
		template := inMode(published(core.Credits(rapid.Int64Range(0, 5).Draw(t, "price"))), run.Mode)
		b := balanceOf(core.Credits(rapid.Int64Range(0, 20).Draw(t, "monthly")), core.Credits(rapid.Int64Range(0, 20).Draw(t, "purchased")))
		given := shuffled(t, files)

		var failed, pending, maxed []int
		for _, f := range files {
			switch f.Status {
			case core.FileFailed:
				failed = append(failed, f.Index)
			case core.FilePending:
				pending = append(pending, f.Index)
			default:
				continue
			}
			if f.Status == core.FileFailed && f.RetryAttempt-f.FreeRetries >= run.MaxRetryCount {
				maxed = append(maxed, f.Index)
			}
		}
		price := template.CreditsPerRun * core.Credits(len(failed))

		var plan core.RetryPlan
		var err error
		unchanged(t, func() { plan, err = core.PlanRetry(run, given, b, template, core.RetryTerms{By: admin}, t1) }, run, given, b, template)
		want := core.Code("")
		switch {
		case run.Status == core.RunCompleted:
			want = core.CodeNoErrorsToRetry
		case len(failed)+len(pending) == 0:
			want = core.CodeNothingToRetry
		case len(maxed) > 0:
			want = core.CodeMaxRetryCountExceeded
		case price > b.Available():
			want = core.CodeInsufficientCredits
		}
		if want != "" {
			r := refused(t, err, want)
			if want == core.CodeMaxRetryCountExceeded {
				require.Equal(t, maxed, r.Files)
			}
		}
		// Continuable, from the run's row, agrees with the plan.
		if hint := core.Continuable(run, len(maxed) > 0); want == "" || want == core.CodeInsufficientCredits {
			require.NoError(t, hint)
		} else {
			refused(t, hint, want)
		}
		if want != "" {
			return
		}
		require.NoError(t, err)

		require.Equal(t, core.RunRunning, plan.Run.Status)
		require.Equal(t, run.TotalJobs, plan.Run.TotalJobs)
		require.Equal(t, run.Attempt+1, plan.Run.Attempt)
		require.Greater(t, plan.Run.Epoch, run.Epoch)
		require.Equal(t, len(plan.Jobs), plan.Run.AttemptJobs)
		require.LessOrEqual(t, plan.Run.AttemptJobs, plan.Run.TotalJobs)
		require.Equal(t, run.CreditsConsumed+price, plan.Run.CreditsConsumed)
		require.Equal(t, plan.Run.CreditsFromMonthly+plan.Run.CreditsFromPurchased, plan.Run.CreditsConsumed)
		requireCharge(t, b, plan.Charge, plan.Attempt.Charge, price)
		require.Equal(t, price, plan.Price())
		require.Equal(t, len(failed), plan.Charged)
		require.Equal(t, len(pending), plan.Free)

		retried := append(slices.Clone(failed), pending...)
		slices.Sort(retried)
		require.Len(t, plan.Files, len(retried), "completed and error files are never touched")
		for i, f := range plan.Files {
			was := files[retried[i]]
			require.Equal(t, was.Index, f.Index)
			require.Equal(t, core.FilePending, f.Status)
			require.Equal(t, was.RetryAttempt+1, f.RetryAttempt)
			require.LessOrEqual(t, f.RetryAttempt-f.FreeRetries, max(run.MaxRetryCount, was.RetryAttempt-was.FreeRetries))
			require.Zero(t, f.Failure)
			require.Equal(t, plan.Run.Epoch, f.Epoch)
			charged := was.Status == core.FileFailed
			require.Equal(t, charged && price > 0, plan.Attempt.Files[i].Charged)
			if charged {
				require.Equal(t, plan.Run.Attempt, f.PaidBy)
				require.Equal(t, was.FreeRetries, f.FreeRetries)
			} else {
				require.Equal(t, was.PaidBy, f.PaidBy)
				require.Equal(t, was.FreeRetries+1, f.FreeRetries)
			}
		}
		everyFileOnce(t, plan.Run, plan.Files, plan.Jobs)
		require.Equal(t, core.TallyOf(overlay(files, plan.Files)), plan.Run.Tally)

		// Only the rows to retry have to be given.
		var few []core.File
		for _, i := range retried {
			few = append(few, files[i])
		}
		same, err := core.PlanRetry(run, few, b, template, core.RetryTerms{By: admin}, t1)
		require.NoError(t, err)
		require.Equal(t, plan, same)
	})
}

// After a charge and its compensation, run, files and balances are as before, except for
// the used numbers and the bookkeeping of the dispatch.
func TestCompensateProperty(t *testing.T) {
	t.Parallel()
	undone := 0
	rapid.Check(t, func(t *rapid.T) {
		run, files := drawClosed(t)
		if core.Continuable(run, false) != nil {
			return
		}
		undone++
		before := balanceOf(core.Credits(rapid.Int64Range(0, 50).Draw(t, "monthly")), 100)
		template := inMode(published(core.Credits(rapid.Int64Range(0, 9).Draw(t, "price"))), run.Mode)
		plan, err := core.PlanRetry(run, files, before, template, core.RetryTerms{By: admin}, t0)
		require.NoError(t, err)
		b := before
		for _, e := range plan.Charge {
			b, err = b.Apply(e)
			require.NoError(t, err)
		}

		given := shuffled(t, plan.Files)
		later := t0.Add(time.Duration(rapid.Int64Range(0, int64(90*24*time.Hour)).Draw(t, "later")))
		var undo core.CompensatePlan
		unchanged(t, func() {
			undo, err = core.Compensate(plan.Run, plan.Attempt, given, core.System, later)
		}, plan.Run, plan.Attempt, given)
		require.NoError(t, err)
		require.Len(t, undo.Refund, len(plan.Charge), "a refund for a charge, none for none")
		for _, e := range undo.Refund {
			b, err = b.Apply(e) // fails if it is for another month than the charge
			require.NoError(t, err)
		}
		require.Equal(t, before, b)

		require.Greater(t, undo.Run.Epoch, plan.Run.Epoch, "messages that reached the queue after all have no effect")
		require.Equal(t, plan.Run.Attempt, undo.Run.Attempt, "the number stays used")
		got := undo.Run
		got.Epoch, got.Attempt, got.Dispatch = run.Epoch, run.Attempt, run.Dispatch
		got.DispatchedAt, got.RecoverAt, got.Redispatches = run.DispatchedAt, run.RecoverAt, run.Redispatches
		require.Equal(t, run, got)

		after := overlay(files, undo.Files)
		for i := range after {
			if after[i].Status.Retriable() {
				require.Equal(t, undo.Run.Epoch, after[i].Epoch)
			}
			after[i].Epoch = files[i].Epoch
		}
		require.Equal(t, files, after)

		for _, job := range plan.Jobs {
			claim, err := core.Claim(undo.Run, undo.Files, []core.Job{job}, later, lease)
			require.NoError(t, err)
			require.Empty(t, claim.Claimed)
		}
	})
	require.NotZero(t, undone)
}
