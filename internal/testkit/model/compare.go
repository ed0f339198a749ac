package model

import "github.com/redrive/redrive/core"

// Compare holds a run's rows against the model, and checks the invariants that the
// rows show by themselves. It is called after every commit of a simulated world, so it
// allocates nothing unless something is wrong.
func (r *Run) Compare(j Judge, row *core.Run, files []core.File) {
	switch split := (core.Split{Monthly: row.CreditsFromMonthly, Purchased: row.CreditsFromPurchased}); {
	case row.CreditsConsumed != split.Monthly+split.Purchased:
		j(I2, "run %s consumed %d credits, %d monthly and %d purchased", row.ID, row.CreditsConsumed, split.Monthly, split.Purchased)
	case split != r.Credits:
		j(I2, "run %s consumed %+v, its charges less its refunds are %+v", row.ID, split, r.Credits)
	case row.CompletedJobs < 0 || row.FailedJobs < 0 || row.CompletedJobs+row.FailedJobs > row.AttemptJobs || row.AttemptJobs > row.TotalJobs:
		j(I7, "run %s has %d + %d of %d jobs of its attempt, and %d in all", row.ID, row.CompletedJobs, row.FailedJobs, row.AttemptJobs, row.TotalJobs)
	case row.Status.Closed() && row.Status != core.RunInterrupted && row.Tally.Unfinished > 0:
		j(I12, "run %s closed %s with %d files pending, which are paid for and not done", row.ID, row.Status, row.Tally.Unfinished)
	case row.Status != r.Status:
		j(Refinement, "run %s is %s, by the model %s", row.ID, row.Status, r.Status)
	case row.AttemptJobs != r.Jobs || row.CompletedJobs != r.Completed || row.FailedJobs != r.Failed || row.TotalJobs != r.Size:
		j(Refinement, "run %s counts %d + %d of %d jobs, by the model %d + %d of %d", row.ID,
			row.CompletedJobs, row.FailedJobs, row.AttemptJobs, r.Completed, r.Failed, r.Jobs)
	case row.MaxRetryCount != r.MaxRetries:
		j(Refinement, "run %s has maxRetryCount %d, by the model %d", row.ID, row.MaxRetryCount, r.MaxRetries)
	case row.Reason != r.Reason || row.Failure.Code != r.Fault:
		j(Refinement, "run %s is %s because of %q %q, by the model because of %q %q", row.ID, row.Status, row.Reason, row.Failure.Code, r.Reason, r.Fault)
	case row.Attempt != r.Number():
		j(Refinement, "run %s is in attempt %d, by the model in %d", row.ID, row.Attempt, r.Number())
	}
	if len(files) != len(r.Files) {
		j(Refinement, "run %s has %d files, by the model %d", row.ID, len(files), len(r.Files))
		return
	}
	for i := range files {
		r.compareFile(j, row, &files[i], &r.Files[i])
	}
	if t := r.tally(); t != row.Tally {
		j(Refinement, "run %s counts its files as %+v, they are %+v", row.ID, row.Tally, t)
	}
}

func (r *Run) compareFile(j Judge, row *core.Run, f *core.File, m *File) {
	switch {
	case f.Status != m.Status || f.Epoch != m.Epoch:
		j(Refinement, "file %d of run %s is %s in epoch %d, by the model %s in epoch %d", f.Index, r.ID, f.Status, f.Epoch, m.Status, m.Epoch)
	case f.FreeRetries < 0 || f.FreeRetries > f.RetryAttempt || f.RetryAttempt-f.FreeRetries > row.MaxRetryCount:
		j(I6, "file %d of run %s was retried %d times, %d of them free, of %d", f.Index, r.ID, f.RetryAttempt, f.FreeRetries, row.MaxRetryCount)
	case f.RetryAttempt != m.Retries || f.FreeRetries != m.Free:
		j(I6, "file %d of run %s was retried %d times, %d of them free, by the model %d, %d of them free", f.Index, r.ID, f.RetryAttempt, f.FreeRetries, m.Retries, m.Free)
	case f.Failure.Code != m.Failure:
		j(Refinement, "file %d of run %s is %s because of %q, by the model because of %q", f.Index, r.ID, f.Status, f.Failure.Code, m.Failure)
	case f.Redeliveries != m.Expired:
		j(Refinement, "file %d of run %s was redelivered %d times, by the model %d", f.Index, r.ID, f.Redeliveries, m.Expired)
	case f.PaidBy != m.PaidBy:
		j(I5, "file %d of run %s is paid for by attempt %d, by the model by %d", f.Index, r.ID, f.PaidBy, m.PaidBy)
	case m.Status == core.FileProcessing && r.Status.Closed():
		j(I7, "run %s is closed, and file %d is still processing: no Continue will ever find it", r.ID, f.Index)
	}
	if m.Open() && (m.Unpaid || r.Attempts[m.PaidBy].Compensated) {
		j(I5, "file %d of run %s is %s, but the charge that covers it was refunded", f.Index, r.ID, m.Status)
	}
	if !m.Open() && m.Owed {
		j(I12, "file %d of run %s is %s: it was charged for, not executed since, and not refunded", f.Index, r.ID, m.Status)
	}
}
