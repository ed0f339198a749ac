package oracle

import (
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// moved is everything that neither begins nor undoes an attempt: claims,
// renewals, results, hand backs, recovery, cancels, raised limits.
func (o *Oracle) moved(c *Commit, r *run, next *core.Run) {
	m := &r.model
	if c.Use == UseRecover && r.row.RecoverAt.After(c.SeenMax.Add(o.Horizon)) && o.Horizon > 0 {
		o.met(DueBeyondHorizon)
	}
	settled, allEnded, fresh := 0, true, core.Epoch(0)
	var recorded core.Epoch // of the batch's job
	for i := range c.Files {
		w := &c.Files[i]
		if w.Run != r.row.ID || w.File.Index >= len(m.Files) {
			continue
		}
		at, now := w.File.Index, &w.File
		was, f := &r.files[at], &m.Files[at]
		switch f.StepTo(now.Status, now.Epoch, now.Failure.Code) {
		case model.Stays:
			o.untouched(c, r, was, now)
		case model.Claimed:
			if !now.LeaseUntil.After(c.SeenMin) {
				o.fail(Refinement, "file %d of run %s was claimed without a lease", at, r.row.ID)
			}
			if len(r.claims[at]) > 0 && o.Taken != nil {
				o.Taken(r.row.ID, at)
			}
			m.Claim(o.judge, at, now.Epoch)
			r.claims[at] = append(r.claims[at], claim{now.Epoch, c.Actor})
		case model.Interrupted:
			o.answeredBy(r, f, now, core.OutcomeInterrupted)
			o.held(c, r, now, "an interruption was recorded for")
			o.met(Interrupted)
			recorded, fresh, allEnded = f.Epoch, max(fresh, now.Epoch), false
			m.Interrupt(o.judge, at, now.Epoch, now.Failure.Code)
			settled++
		case model.Requeued:
			before := f.Epoch
			fresh = max(fresh, now.Epoch)
			m.Requeue(o.judge, at, now.Epoch, c.Use.recovers())
			o.requeued(c, r, before, was, now, next)
		case model.Recorded:
			o.recorded(r, f, now)
			o.held(c, r, now, "a result was recorded for")
			recorded = f.Epoch
			allEnded = allEnded && (now.Status == core.FileCompleted || now.Status == core.FileError)
			m.Record(o.judge, at, now.Status, now.Epoch, now.Failure.Code)
			settled++
		case model.Illegal:
			o.fail(I8, "file %d of run %s went from %s (epoch %d) to %s (epoch %d)", at, r.row.ID, f.Status, f.Epoch, now.Status, now.Epoch)
		}
	}
	if settled > 0 && m.Batch {
		if !m.CountBatch(o.judge, recorded, allEnded) {
			o.met(RecordedEarly)
		} else if o.hadEarly(r, recorded) {
			o.met(SettledTheRest)
		}
	}
	o.sentAgain(c, r)
	o.dispatched(r, next)
	if fresh > next.Epoch {
		o.fail(I8, "run %s gave out epoch %d without counting it", r.row.ID, fresh)
	}
	o.closes(c, r, next, settled)
}

// hadEarly reports whether results of a job had been recorded before this commit.
func (o *Oracle) hadEarly(r *run, epoch core.Epoch) bool {
	for i := range r.model.Files {
		if f := &r.model.Files[i]; f.Recorded == epoch && r.files[i].Status == f.Status {
			return true
		}
	}
	return false
}

// untouched is a renewal, or bookkeeping that leaves a file where it is.
func (o *Oracle) untouched(c *Commit, r *run, was, now *core.File) {
	if now.RetryAttempt != was.RetryAttempt || now.PaidBy != was.PaidBy || now.Output != was.Output {
		o.fail(Refinement, "file %d of run %s stayed %s and was changed", now.Index, r.row.ID, now.Status)
	}
	if c.Use == UseWork && now.Status == core.FileProcessing && now.LeaseUntil.After(was.LeaseUntil) {
		o.met(Renewed)
		o.held(c, r, now, "a renewal extended")
	}
}

// requeued is a lease that ran out, a hand back, or a cancel.
func (o *Oracle) requeued(c *Commit, r *run, before core.Epoch, was, now *core.File, next *core.Run) {
	early := false
	for i := range r.model.Files {
		early = early || r.model.Files[i].Recorded == before
	}
	switch {
	case next.Status == core.RunInterrupted && next.Reason == core.ReasonCancelled && c.Use == UseCancel:
		o.met(CancelledWhileProcessing)
		if early {
			o.met(CancelledEarly)
		}
	case c.Use == UseWork:
		o.met(HandedBack)
		o.held(c, r, now, "a process handed back")
	case c.Use.recovers():
		o.met(RecoveryTookLease)
		// Nobody works yet when a process resumes: every lease is a dead one's.
		if c.Use == UseRecover && was.LeaseUntil.After(c.SeenMax) {
			o.fail(Refinement, "recovery took file %d of run %s from its worker, whose lease holds until %s", now.Index, r.row.ID, was.LeaseUntil.Format("15:04:05"))
		}
		if now.Redeliveries != was.Redeliveries+1 {
			o.fail(Refinement, "recovery did not count the redelivery of file %d of run %s", now.Index, r.row.ID)
		}
		if now.Redeliveries > o.MaxRedeliveries {
			o.NeedsRecovery, o.GaveUp = true, true // recovery alone closes a run whose file it gave up on
		}
	default:
		o.fail(Refinement, "file %d of run %s was taken from its worker", now.Index, r.row.ID)
	}
	if early && c.Use != UseCancel {
		o.met(RestTaken)
	}
}

// recorded checks a result: it must be what an executor answered under this epoch.
func (o *Oracle) recorded(r *run, f *model.File, now *core.File) {
	want := core.OutcomeTransient
	switch now.Status {
	case core.FileCompleted:
		want = core.OutcomeCompleted
	case core.FileError:
		want = core.OutcomePermanent
	case core.FileFailed, core.FilePending, core.FileProcessing:
	}
	o.answeredBy(r, f, now, want)
}

// answeredBy checks that an executor answered so under the file's epoch.
func (o *Oracle) answeredBy(r *run, f *model.File, now *core.File, want core.Outcome) {
	for _, e := range r.execs[now.Index] {
		if e.epoch == f.Epoch && e.outcome == want && e.code == now.Failure.Code {
			return
		}
	}
	o.fail(I8, "file %d of run %s became %s %s, which no executor answered for its epoch %d", now.Index, r.row.ID, now.Status, now.Failure.Code, f.Epoch)
}

// closes follows the run's own row: a run closes when its attempt is complete,
// and otherwise only by a cancel or because recovery gave up.
func (o *Oracle) closes(c *Commit, r *run, next *core.Run, settled int) {
	m := &r.model
	complete := m.Complete()
	switch {
	case m.Status == core.RunRunning && next.Status.Closed():
		o.closed(c, r, next, complete, settled)
	case complete && settled > 0:
		o.fail(I7, "all %d jobs of the attempt are settled, and run %s did not close", m.Jobs, r.row.ID)
	case m.Status.Closed() && next.Status == core.RunRunning:
		o.fail(Refinement, "run %s was opened again without an attempt", r.row.ID)
	case m.Status.Closed() && c.Use.recovers():
		o.fail(Refinement, "recovery wrote to run %s, which is closed", r.row.ID)
	case m.Status.Closed() && (next.Reason != r.row.Reason || !next.ClosedAt.Equal(r.row.ClosedAt)):
		o.fail(I7, "run %s, which was closed, closed once more", r.row.ID)
	case next.MaxRetryCount > r.row.MaxRetryCount && c.Use == UseRaise:
		m.MaxRetries = next.MaxRetryCount
		o.met(Raised)
	}
}

func (o *Oracle) closed(c *Commit, r *run, next *core.Run, complete bool, settled int) {
	m := &r.model
	switch {
	case complete && settled > 0:
		m.Close(o.judge)
		if m.Status == core.RunInterrupted {
			o.met(ClosedByInterruption)
		}
		if m.Jobs < m.Size {
			o.met(PartialRetryClosed)
		}
	case next.Reason == core.ReasonCancelled && c.Use == UseCancel:
		m.Break(o.judge, next.Reason, "")
	case next.Reason == core.ReasonServiceFault && c.Use == UseInterrupt:
		o.closedByFault(r, next)
		m.Break(o.judge, next.Reason, next.Failure.Code)
	case next.Reason == core.ReasonRedeliveriesExhausted && c.Use.recovers():
		o.met(RedeliveriesExhausted)
		m.Break(o.judge, next.Reason, "")
		for i := range m.Files {
			if f := &m.Files[i]; f.Open() && f.Expired <= o.MaxRedeliveries && f.Failure == "" {
				o.fail(Refinement, "recovery gave up on run %s, but file %d was redelivered only %d times", r.row.ID, i, f.Expired)
			}
		}
	default:
		o.fail(I7, "run %s closed %s with %d of %d jobs settled", r.row.ID, next.Status, m.Completed+m.Failed, m.Jobs)
	}
}

// closedByFault checks a run that was closed because all that it waits for is kept
// back by a fault of ours: nothing of it is under way.
func (o *Oracle) closedByFault(r *run, next *core.Run) {
	open := false
	for i := range r.model.Files {
		switch r.model.Files[i].Status {
		case core.FileProcessing:
			o.fail(I7, "run %s was closed because of %s while a worker processes its file %d", r.row.ID, next.Failure.Code, i)
		case core.FilePending:
			open = true
		case core.FileCompleted, core.FileFailed, core.FileError:
		}
	}
	if !open || !next.Failure.Blocks() {
		o.fail(I7, "run %s was closed because of %q, and nothing of it waits for that", r.row.ID, next.Failure.Code)
	}
	o.met(ClosedByFault)
}

// settled compares what is committed of a run with the model, and checks the
// invariants that a run's own rows show.
func (o *Oracle) settled(c *Commit, r *run) {
	row := &r.row
	if row.Tenant != c.Tenant {
		o.fail(I10, "run %s of tenant %s was changed by a transaction of %s", row.ID, row.Tenant, c.Tenant)
	}
	if row.TemplateVersion != r.model.Version {
		o.fail(Version, "run %s has version %d of its template, it was initiated with %d", row.ID, row.TemplateVersion, r.model.Version)
	}
	if split := (core.Split{Monthly: row.CreditsFromMonthly, Purchased: row.CreditsFromPurchased}); split != r.charged {
		o.fail(I2, "run %s consumed %+v, its charges less its refunds are %+v", row.ID, split, r.charged)
	}
	r.model.Compare(o.judge, row, r.files)
	if row.Status.Closed() && o.Closed != nil {
		o.Closed(row.ID)
	}
}
