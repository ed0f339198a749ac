package model

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// Rows is everything of a tenant's money and runs as one look at a store finds it.
type Rows struct {
	Entries  []core.Entry // ascending by number
	Balances []core.Balance
	Runs     []RunRows

	account Account // the memory of Check is used again
	model   Run
	taken   []bool
}

// RunRows is one run.
type RunRows struct {
	Run      *core.Run
	Files    []core.File
	Attempts []core.Attempt
}

// Check judges what one look can tell: balances are what the entries add up to, and
// every run is what the model makes of its attempts, one after the other. What only a
// history can tell, such as that a result was recorded once, it cannot see.
func (b *Rows) Check(j Judge) {
	a := &b.account
	a.Reset()
	for i := range b.Entries {
		a.Post(j, &b.Entries[i])
	}
	for _, was := range b.Balances {
		if was.Monthly != a.Left(was.Period) || was.Purchased != a.Purchased {
			j(I1, "%d left of %s and %d purchased, by the entries it is %d and %d", was.Monthly, was.Period, was.Purchased, a.Left(was.Period), a.Purchased)
		}
	}
	if len(b.Balances) != len(a.Months) {
		j(I1, "%d balances for %d periods with entries", len(b.Balances), len(a.Months))
	}
	for i := range b.Runs {
		b.check(j, &b.Runs[i])
	}
	for i := range a.Entries {
		if e := &a.Entries[i]; e.Run != "" && !slices.ContainsFunc(b.Runs, func(run RunRows) bool { return run.Run.ID == e.Run }) {
			j(I2, "%s %s is of run %s, which does not exist", e.Kind, e.Key, e.Run)
		}
	}
}

func (b *Rows) check(j Judge, r *RunRows) {
	row, m := r.Run, &b.model
	if len(r.Attempts) != int(row.Attempt)+1 {
		j(I3, "run %s is at attempt %d and has %d attempts", row.ID, row.Attempt, len(r.Attempts))
	}
	if len(r.Attempts) == 0 {
		return
	}
	m.Reset(row.ID, row.Mode == core.ModeBatch)
	for i := range r.Attempts {
		b.attempt(j, r, core.AttemptNumber(i))
	}
	for i := range r.Files {
		if i < len(m.Files) {
			r.now(j, m, i)
		}
	}
	b.byHand(j, r)
	if m.Status == core.RunRunning {
		m.stands(j, row.Status, row.Reason, row.Failure.Code, row.CompletedJobs, row.FailedJobs)
	}
	m.Compare(j, row, r.Files)
	r.shape(j)
}

// byHand takes what was given back by hand off the run's credits. The rest of each charge has
// to cover the files that wait, which are free to continue.
func (b *Rows) byHand(j Judge, r *RunRows) {
	m := &b.model
	for i := range b.account.Entries {
		charge := &b.account.Entries[i]
		if charge.Kind != core.EntryCharge || charge.Run != m.ID || charge.ByHand == (core.Split{}) {
			continue
		}
		m.Credits = sum(m.Credits, negative(charge.ByHand))
		covered := 0
		for f := range m.Files {
			if m.Files[f].Open() && m.Files[f].PaidBy == charge.Attempt {
				covered++
			}
		}
		left := sum(charge.Amount, negative(charge.ByHand))
		if need := r.Attempts[charge.Attempt].Price * core.Credits(covered); left.Monthly+left.Purchased < need {
			j(I5, "%d files of run %s wait, for %d credits of charge %s, of which %+v is left", covered, m.ID, need, charge.Key, left)
		}
	}
}

// attempt takes the run from one attempt to the next, whose record says how it was found.
func (b *Rows) attempt(j Judge, r *RunRows, n core.AttemptNumber) {
	a, m, books := &r.Attempts[n], &b.model, &b.account
	id := r.Run.ID
	if a.Number != n {
		j(I3, "run %s has attempt %d in place of %d", id, a.Number, n)
	}
	if n > 0 {
		b.found(j, r, a)
	}
	s := Start{Price: a.Price, Epoch: a.Epoch}
	entry := books.Of(core.EntryCharge, id, n)
	if entry != nil {
		s.Charge, s.Period = entry.Amount, entry.Period
	}
	switch {
	case (entry == nil) != a.Charge.IsZero():
		j(I3, "attempt %d of run %s: charge recorded %v, entry %v", n, id, !a.Charge.IsZero(), entry != nil)
	case entry != nil && (entry.Key != a.Charge.Key || entry.Amount != a.Charge.Amount || entry.Period != a.Charge.Period):
		j(I3, "attempt %d of run %s recorded %+v, the entry is %+v", n, id, a.Charge, entry.Entry)
	}
	m.Epoch = max(m.Epoch, a.Epoch-1) // others have been given out since
	if n > 0 && a.Epoch <= m.Attempts[n-1].Epoch {
		j(I8, "attempt %d of run %s has epoch %d, the one before has %d", n, id, a.Epoch, m.Attempts[n-1].Epoch)
	}
	if n == 0 {
		m.Initiate(j, len(r.Files), r.Run.MaxRetryCount, r.Run.TemplateVersion, s)
	} else {
		m.Continue(j, s)
	}
	if a.Jobs != m.Jobs {
		j(I7, "attempt %d of run %s has %d jobs, of its files there are %d", n, id, a.Jobs, m.Jobs)
	}
	if !a.CompensatedAt.IsZero() {
		m.Undo(j, m.Epoch+1)
	}
	if refunded, want := books.Of(core.EntryRefund, id, n) != nil, entry != nil && !a.CompensatedAt.IsZero(); refunded != want {
		j(I4, "attempt %d of run %s: refunded %v, compensated %v", n, id, refunded, !a.CompensatedAt.IsZero())
	}
}

// found brings the files to where an attempt found them, and compares them with its record.
func (b *Rows) found(j Judge, r *RunRows, a *core.Attempt) {
	m := &b.model
	b.taken = b.taken[:0]
	for range m.Files {
		b.taken = append(b.taken, false)
	}
	for _, f := range a.Files {
		if f.Index < 0 || f.Index >= len(m.Files) {
			j(I8, "attempt %d of run %s has file %d, which there is not", a.Number, m.ID, f.Index)
			continue
		}
		b.taken[f.Index] = true
		before := &f.Before
		if before.Status != core.FileFailed && before.Status != core.FilePending {
			j(I8, "attempt %d ran file %d of run %s again, which was %q", a.Number, f.Index, m.ID, before.Status)
			continue
		}
		m.become(j, f.Index, before.Status, before.Failure.Code, 0)
		now := &m.Files[f.Index]
		switch {
		case f.Charged != (a.Price > 0 && before.Status == core.FileFailed):
			j(I3, "attempt %d of run %s: file %d was charged: %v, was %s before, price %d", a.Number, m.ID, f.Index, f.Charged, before.Status, a.Price)
		case before.RetryAttempt != now.Retries || before.FreeRetries != now.Free:
			j(I6, "attempt %d of run %s found file %d after %d retries, %d of them free, by the model %d, %d of them free", a.Number, m.ID, f.Index, before.RetryAttempt, before.FreeRetries, now.Retries, now.Free)
		case before.PaidBy != now.PaidBy:
			j(I12, "attempt %d of run %s found file %d paid by attempt %d, by the model it is %d", a.Number, m.ID, f.Index, before.PaidBy, now.PaidBy)
		}
	}
	for i := range m.Files {
		f := &m.Files[i]
		if b.taken[i] || i >= len(r.Files) || !f.Open() && f.Status != core.FileFailed {
			continue
		}
		if was := &r.Files[i]; f.Open() && (was.Status == core.FileCompleted || was.Status == core.FileError) {
			m.become(j, i, was.Status, was.Failure.Code, 0) // no attempt looks at it again
			continue
		}
		j(Refinement, "attempt %d of run %s left out file %d, which was %s", a.Number, m.ID, i, f.Status)
	}
	switch was := &a.Before; {
	case m.Status == core.RunRunning:
		m.stands(j, was.Status, was.Reason, was.Failure.Code, was.CompletedJobs, was.FailedJobs)
	case m.Status != was.Status:
		j(Refinement, "attempt %d of run %s found it %s, by the model it was %s", a.Number, m.ID, was.Status, m.Status)
	}
}

// now brings a file to where its row is.
func (r *RunRows) now(j Judge, m *Run, i int) {
	f, was := &r.Files[i], &m.Files[i]
	if f.Epoch < was.Epoch && was.Open() || f.Epoch > r.Run.Epoch {
		j(I8, "file %d of run %s has epoch %d, it was in %d, and the run has given out %d", i, m.ID, f.Epoch, was.Epoch, r.Run.Epoch)
	}
	m.become(j, i, f.Status, f.Failure.Code, f.Epoch)
	was.Epoch, was.Expired = f.Epoch, f.Redeliveries // no record says how often it was taken from a worker
}

// become is the work that brings a file to a status. If the file's last epoch is not
// known, it is 0.
func (r *Run) become(j Judge, i int, status core.FileStatus, failure string, epoch core.Epoch) {
	f := &r.Files[i]
	if status == f.Status && failure == f.Failure {
		return
	}
	if f.Status != core.FilePending {
		rule := I8
		switch {
		case f.Status != core.FileFailed:
		case status == core.FileFailed: // why it failed says whether its charge was refunded
			rule = I12
		case status == core.FilePending || status == core.FileProcessing: // no charge covers it
			rule = I5
		}
		j(rule, "file %d of run %s went from %s %q to %s %q", i, r.ID, f.Status, f.Failure, status, failure)
		return
	}
	f.Epoch = max(f.Epoch, epoch)
	r.Claim(j, i, f.Epoch)
	switch status {
	case core.FileProcessing:
	case core.FilePending:
		r.Interrupt(j, i, max(r.Epoch, f.Epoch)+1, failure)
	case core.FileCompleted, core.FileFailed, core.FileError:
		r.Record(j, i, status, f.Epoch, failure)
	}
}

// stands ends an attempt, or leaves it under way, as the records say.
func (r *Run) stands(j Judge, status core.RunStatus, reason core.CloseReason, fault string, completed, failed int) {
	if r.Batch { // whether its only job was settled does not show in the files
		r.Completed, r.Failed = completed, failed
	}
	complete := r.Completed+r.Failed >= r.Jobs
	switch {
	case status == core.RunRunning && (complete || r.tally().Unfinished == 0):
		j(I7, "run %s is running with nothing under way: %d + %d of %d jobs are settled", r.ID, r.Completed, r.Failed, r.Jobs)
	case status == core.RunRunning:
		r.Fault = fault
	case status != r.Closing():
		j(I7, "attempt %d of run %s was closed %s, its files give %s", r.Number(), r.ID, status, r.Closing())
	default:
		r.end(j, status, reason, fault)
	}
}

// shape checks what a row shows by itself.
func (r *RunRows) shape(j Judge) {
	row := r.Run
	if (row.Status == core.RunRunning) != row.ClosedAt.IsZero() {
		j(I7, "run %s is %s, closed at %v", row.ID, row.Status, row.ClosedAt)
	}
	if row.Status == core.RunRunning && row.RecoverAt.IsZero() {
		j(I11, "run %s is running, and recovery never looks at it", row.ID)
	}
	for i := range r.Files {
		switch f := &r.Files[i]; {
		case f.Index != i:
			j(I8, "run %s has file %d in place %d", row.ID, f.Index, i)
		case (f.Status == core.FileProcessing) == f.LeaseUntil.IsZero():
			j(I8, "file %d of run %s is %s with a lease until %v", i, row.ID, f.Status, f.LeaseUntil)
		case f.Output != "" && f.Status != core.FileCompleted:
			j(I8, "file %d of run %s is %s with an output", i, row.ID, f.Status)
		}
	}
}
