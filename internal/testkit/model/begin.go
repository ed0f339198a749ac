package model

import "github.com/redrive/redrive/core"

// Start is how an attempt is begun.
type Start struct {
	Price  core.Credits // of a file
	Charge core.Split   // what was taken for it
	Period core.Period
	Epoch  core.Epoch
}

// Initiate is attempt 0: all files pending and charged for.
func (r *Run) Initiate(j Judge, files, maxRetries, version int, s Start) {
	r.Status, r.Reason, r.Fault = core.RunRunning, core.ReasonNone, ""
	r.MaxRetries, r.Version, r.Epoch = maxRetries, version, s.Epoch
	r.Size = r.JobsOf(files)
	r.Jobs, r.Completed, r.Failed = r.Size, 0, 0
	r.Credits = s.Charge
	for range files {
		r.Files = append(r.Files, File{Status: core.FilePending, Epoch: s.Epoch, Owed: s.Price > 0})
	}
	r.charged(j, 0, s, files)
	r.begin(Attempt{Epoch: s.Epoch, Price: s.Price, Charge: s.Charge, Period: s.Period})
}

// Continue begins the next attempt: failed files are charged for, pending ones are
// free. It tells which it found.
func (r *Run) Continue(j Judge, s Start) (q Quote) {
	q = r.Quote(s.Price)
	n := core.AttemptNumber(len(r.Attempts))
	switch {
	case !r.Status.Closed() || r.Status == core.RunCompleted:
		j(I9, "run %s was continued while %s", r.ID, r.Status)
	case q.Failed+q.Pending == 0:
		j(Refinement, "run %s was continued with nothing to retry", r.ID)
	case s.Epoch <= r.Epoch:
		j(I8, "run %s was continued under epoch %d, which was given out before", r.ID, s.Epoch)
	}
	a := r.begin(Attempt{Epoch: s.Epoch, Price: s.Price, Charge: s.Charge, Period: s.Period})
	files := append(a.Before.Files, r.Files...)
	a.Before = r.Standing
	a.Before.Files = files
	for i := range r.Files {
		f := &r.Files[i]
		switch f.Status {
		case core.FileFailed:
			f.PaidBy, f.Owed, f.Unpaid = n, s.Price > 0, false
			if f.Retries-f.Free >= r.MaxRetries {
				j(I6, "run %s was continued, but file %d has used its %d retries", r.ID, i, f.Retries-f.Free)
			}
		case core.FilePending:
			f.Free++
		case core.FileProcessing:
			j(Refinement, "run %s was continued while file %d was being processed", r.ID, i)
		case core.FileCompleted, core.FileError:
			continue
		}
		f.Status, f.Epoch, f.Retries, f.Expired, f.Failure = core.FilePending, s.Epoch, f.Retries+1, 0, ""
	}
	r.charged(j, n, s, q.Failed)
	r.Credits = sum(r.Credits, s.Charge)
	r.Status, r.Jobs, r.Completed, r.Failed = core.RunRunning, r.JobsOf(q.Failed+q.Pending), 0, 0
	r.Reason, r.Fault, r.Epoch = core.ReasonNone, "", max(r.Epoch, s.Epoch)
	return q
}

// charged checks that an attempt took what it costs.
func (r *Run) charged(j Judge, n core.AttemptNumber, s Start, files int) {
	if got, want := s.Charge.Monthly+s.Charge.Purchased, s.Price*core.Credits(files); got != want {
		j(I3, "attempt %d of run %s costs %d, and %d were charged", n, r.ID, want, got)
	}
}

// Quote is what a Continue would retry.
type Quote struct {
	Failed, Pending int
	Maxed           int  // of the failed files, those that have used their retries
	Interrupted     bool // a fault of ours kept one of them back
	Total           core.Credits
}

// Quote looks at the files.
func (r *Run) Quote(price core.Credits) (q Quote) {
	for i := range r.Files {
		switch f := &r.Files[i]; f.Status {
		case core.FileFailed:
			q.Failed++
			if f.Retries-f.Free >= r.MaxRetries {
				q.Maxed++
			}
		case core.FilePending:
			q.Pending++
			q.Interrupted = q.Interrupted || f.Failure != ""
		case core.FileProcessing, core.FileCompleted, core.FileError:
		}
	}
	q.Total = price * core.Credits(q.Failed)
	return q
}

// Refusal is what a Continue is refused with, by the rules of chapter 3 in their
// order; empty if it is not. most is the highest price that is accepted; nil for any.
func (r *Run) Refusal(q *Quote, available core.Credits, most *core.Credits) core.Code {
	switch {
	case r.Status == core.RunRunning:
		return core.CodeRunAlreadyRunning
	case r.Status == core.RunCompleted:
		return core.CodeNoErrorsToRetry
	case q.Failed+q.Pending == 0:
		return core.CodeNothingToRetry
	case q.Maxed > 0:
		return core.CodeMaxRetryCountExceeded
	}
	return Affordable(q.Total, available, most)
}

// Affordable is what a price is refused with; empty if it is not.
func Affordable(total, available core.Credits, most *core.Credits) core.Code {
	switch {
	case most != nil && total > *most:
		return core.CodePriceChanged
	case total > available:
		return core.CodeInsufficientCredits
	}
	return ""
}

// Undo compensates the latest attempt: everything is as before it, under a new epoch.
// It tells what is to be refunded, and for which period.
func (r *Run) Undo(j Judge, epoch core.Epoch) (core.Split, core.Period) {
	n := r.Number()
	a := r.Latest()
	switch {
	case r.Status != core.RunRunning:
		j(I4, "attempt %d of run %s was compensated while the run is %s", n, r.ID, r.Status)
	case a.Claimed:
		j(I12, "attempt %d of run %s was compensated although a job of it was claimed: the tenant gets both the work and the refund", n, r.ID)
	case a.Compensated:
		j(I4, "attempt %d of run %s was compensated twice", n, r.ID)
	}
	if epoch <= r.Epoch {
		j(I8, "attempt %d of run %s was compensated under epoch %d, which was given out before: a job of it that got out could still be claimed", n, r.ID, epoch)
	}
	if n == 0 {
		r.Status, r.Failed = core.RunFailed, r.Jobs
		r.Reason, r.Fault = core.ReasonDispatchFailed, ""
		for i := range r.Files {
			r.Files[i] = File{Status: core.FileFailed, Failure: core.FailureDispatchFailed, Epoch: epoch, Unpaid: true, Recorded: r.Files[i].Recorded}
		}
	} else {
		files := r.Files
		for i := range files {
			if files[i].Status == core.FilePending {
				files[i] = a.Before.Files[i]
				files[i].Epoch = epoch
			}
		}
		r.Standing = a.Before
		r.Files = files
	}
	r.Credits = sum(r.Credits, negative(a.Charge))
	r.Epoch, a.Compensated = max(r.Epoch, epoch), true
	return a.Charge, a.Period
}
