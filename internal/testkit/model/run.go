package model

import "github.com/redrive/redrive/core"

// Run is one run.
type Run struct {
	Standing
	ID         core.RunID
	Batch      bool
	Version    int // of the template's instructions
	Size       int // jobs of the initiation
	MaxRetries int
	Epoch      core.Epoch // the latest that was given out
	Credits    core.Split // charges less refunds
	Attempts   []Attempt
}

// Standing is how a run stands: what a compensation brings back.
type Standing struct {
	Status                  core.RunStatus
	Reason                  core.CloseReason
	Fault                   string // code of the first interruption of the attempt
	Jobs, Completed, Failed int    // of the attempt
	Files                   []File
}

// File is one file.
type File struct {
	Status   core.FileStatus
	Retries  int
	Free     int    // of the retries, those that found it pending
	Failure  string // its code; a pending file that has one waits for a Continue
	Epoch    core.Epoch
	PaidBy   core.AttemptNumber
	Owed     bool       // charged for, and no result recorded since
	Unpaid   bool       // its charge was refunded
	Recorded core.Epoch // of the last result
	Expired  int        // leases that ran out in this attempt
}

// Open reports whether the file is paid for and not done.
func (f *File) Open() bool { return f.Status == core.FilePending || f.Status == core.FileProcessing }

// Attempt is one dispatch.
type Attempt struct {
	Epoch       core.Epoch
	Price       core.Credits
	Charge      core.Split
	Period      core.Period // of the charge
	Claimed     bool        // a job of it got to a worker
	Compensated bool
	Closes      int
	Before      Standing // never changed once it is made: copies of a run share it
}

// Reset empties the run and keeps its memory.
func (r *Run) Reset(id core.RunID, batch bool) {
	*r = Run{ID: id, Batch: batch, Standing: Standing{Files: r.Files[:0]}, Attempts: r.Attempts[:0]}
}

// Take takes a closed run as its rows have it: what it has gone through is not judged.
// Attempts that were not taken before it are unknown.
func (r *Run) Take(row *core.Run, files []core.File) {
	r.ID, r.Batch = row.ID, row.Mode == core.ModeBatch
	r.Size, r.MaxRetries, r.Version, r.Epoch = row.TotalJobs, row.MaxRetryCount, row.TemplateVersion, row.Epoch
	r.Status, r.Reason, r.Fault = row.Status, row.Reason, row.Failure.Code
	r.Jobs, r.Completed, r.Failed = row.AttemptJobs, row.CompletedJobs, row.FailedJobs
	r.Credits = core.Split{Monthly: row.CreditsFromMonthly, Purchased: row.CreditsFromPurchased}
	for len(r.Attempts) <= int(row.Attempt) {
		r.begin(Attempt{Claimed: true, Closes: 1})
	}
	for i := range files {
		f := &files[i]
		now := File{
			Status: f.Status, Retries: f.RetryAttempt, Free: f.FreeRetries, Failure: f.Failure.Code,
			Epoch: f.Epoch, PaidBy: f.PaidBy, Expired: f.Redeliveries,
		}
		if f.Status == core.FilePending {
			now.Owed = r.Attempts[f.PaidBy].Price > 0
		} else {
			now.Recorded = f.Epoch
		}
		r.Files = append(r.Files, now)
	}
}

// TakeAttempt takes an attempt that was closed.
func (r *Run) TakeAttempt(a *core.Attempt) {
	r.begin(Attempt{Epoch: a.Epoch, Price: a.Price, Charge: a.Charge.Amount, Period: a.Charge.Period, Claimed: true, Closes: 1})
}

// Clone copies the run so that the copy can be changed.
func (r *Run) Clone() Run {
	c := *r
	c.Files = append([]File(nil), r.Files...)
	c.Attempts = append([]Attempt(nil), r.Attempts...)
	return c
}

// Latest is the attempt that the run is in.
func (r *Run) Latest() *Attempt { return &r.Attempts[len(r.Attempts)-1] }

// Number is the latest attempt's.
func (r *Run) Number() core.AttemptNumber { return core.AttemptNumber(len(r.Attempts) - 1) }

// JobsOf is how many jobs process that many files.
func (r *Run) JobsOf(files int) int {
	if r.Batch {
		return min(files, 1)
	}
	return files
}

// begin adds an attempt; the memory of the one that was there before a Reset is used again.
func (r *Run) begin(a Attempt) *Attempt {
	n := len(r.Attempts)
	if n < cap(r.Attempts) {
		r.Attempts = r.Attempts[:n+1]
		a.Before.Files = r.Attempts[n].Before.Files[:0]
		r.Attempts[n] = a
	} else {
		r.Attempts = append(r.Attempts, a)
	}
	return &r.Attempts[n]
}

// count counts files by status, as the run's row does.
func (r *Run) tally() (t core.Tally) {
	for i := range r.Files {
		switch r.Files[i].Status {
		case core.FilePending, core.FileProcessing:
			t.Unfinished++
		case core.FileCompleted:
			t.Completed++
		case core.FileFailed:
			t.Failed++
		case core.FileError:
			t.Error++
		}
	}
	return t
}

// Closing is the status that all files together give a run whose attempt ends.
func (r *Run) Closing() core.RunStatus {
	switch t := r.tally(); {
	case t.Unfinished > 0:
		return core.RunInterrupted
	case t.Completed == len(r.Files):
		return core.RunCompleted
	case t.Completed == 0:
		return core.RunFailed
	default:
		return core.RunCompletedWithErrors
	}
}
