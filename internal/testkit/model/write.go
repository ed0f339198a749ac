package model

import "github.com/redrive/redrive/core"

// Write writes the run into its rows, of which names, times, outputs and the messages
// of failures are the caller's.
func (r *Run) Write(row *core.Run, files []core.File) {
	row.Status, row.Reason, row.Failure.Code = r.Status, r.Reason, r.Fault
	row.MaxRetryCount, row.TemplateVersion, row.Attempt, row.Epoch = r.MaxRetries, r.Version, r.Number(), r.Epoch
	row.TotalJobs, row.AttemptJobs, row.CompletedJobs, row.FailedJobs = r.Size, r.Jobs, r.Completed, r.Failed
	row.Tally = r.tally()
	row.CreditsFromMonthly, row.CreditsFromPurchased = r.Credits.Monthly, r.Credits.Purchased
	row.CreditsConsumed = r.Credits.Monthly + r.Credits.Purchased
	for i := range files {
		f, m := &files[i], &r.Files[i]
		f.Status, f.Epoch, f.Failure.Code = m.Status, m.Epoch, m.Failure
		f.RetryAttempt, f.FreeRetries, f.Redeliveries, f.PaidBy = m.Retries, m.Free, m.Expired, m.PaidBy
	}
}

// WriteAttempt writes an attempt into its row, but for its charge's key, and appends the
// records of its files to those of earlier ones.
func (r *Run) WriteAttempt(n core.AttemptNumber, row *core.Attempt, records []core.AttemptFile) []core.AttemptFile {
	a := &r.Attempts[n]
	from := len(records)
	for i := range r.Files {
		if n == 0 {
			records = append(records, core.AttemptFile{Index: i, Charged: a.Price > 0})
			continue
		}
		f := &a.Before.Files[i]
		if f.Status != core.FileFailed && f.Status != core.FilePending {
			continue
		}
		records = append(records, core.AttemptFile{
			Index: i, Charged: f.Status == core.FileFailed && a.Price > 0,
			Before: core.FileBefore{
				Status: f.Status, RetryAttempt: f.Retries, FreeRetries: f.Free, Redeliveries: f.Expired, PaidBy: f.PaidBy,
				Failure: core.Failure{Code: f.Failure},
			},
		})
	}
	row.Run, row.Number, row.Epoch, row.Price = r.ID, n, a.Epoch, a.Price
	row.Files = records[from:len(records):len(records)]
	row.Jobs = r.JobsOf(len(row.Files))
	row.Charge = core.Charge{Period: a.Period, Amount: a.Charge}
	row.Before = core.RunBefore{
		Status: a.Before.Status, Reason: a.Before.Reason, Failure: core.Failure{Code: a.Before.Fault},
		AttemptJobs: a.Before.Jobs, CompletedJobs: a.Before.Completed, FailedJobs: a.Before.Failed,
	}
	return records
}
