package oracle

import (
	"github.com/redrive/redrive/core"
)

// moved is everything that neither begins nor undoes an attempt: claims,
// renewals, results, hand backs, recovery, cancels, raised limits.
func (o *Oracle) moved(c *Commit, r *run, next *core.Run) {
	m := &r.model
	n := len(r.attempts) - 1
	if c.Use == UseRecover && r.row.RecoverAt.After(c.SeenMax.Add(o.Horizon)) && o.Horizon > 0 {
		o.met(DueBeyondHorizon)
	}
	settled, allEnded, fresh := 0, true, core.Epoch(0)
	var recorded core.Epoch
	for i := range c.Files {
		w := &c.Files[i]
		if w.Run != r.row.ID || w.File.Index >= len(m.files) {
			continue
		}
		was, f, now := &r.files[w.File.Index], &m.files[w.File.Index], &w.File
		switch {
		case now.Status == f.status && now.Epoch == f.epoch:
			o.untouched(c, r, f, was, now)
		case f.status == core.FilePending && now.Status == core.FileProcessing:
			o.claimed(c, r, was, now)
			if len(r.claims[now.Index]) > 0 && o.Taken != nil {
				o.Taken(r.row.ID, now.Index)
			}
			f.status, f.holder = core.FileProcessing, c.Actor
			r.claims[now.Index] = append(r.claims[now.Index], claim{now.Epoch, c.Actor})
			r.attempts[n].claimed = true
			if f.failure != "" {
				o.fail(Refinement, "file %d of run %s waits for a Continue because of %s, and was claimed", now.Index, r.row.ID, f.failure)
			}
		case f.status == core.FileProcessing && now.Status == core.FilePending && now.Failure.Code != "":
			o.interruptedByFault(c, r, f, now)
			f.recorded, recorded = f.epoch, f.epoch
			f.status, f.epoch, f.failure = core.FilePending, now.Epoch, now.Failure.Code
			fresh = max(fresh, now.Epoch)
			settled++
			if !r.batch() {
				m.count(false)
			}
			allEnded = false
			if m.fault == "" {
				m.fault = f.failure
			}
		case f.status == core.FileProcessing && now.Status == core.FilePending:
			o.interrupted(c, r, f, was, now, next)
			f.status, f.epoch = core.FilePending, now.Epoch
			fresh = max(fresh, now.Epoch)
		case f.status == core.FileProcessing:
			o.recorded(r, f, now)
			o.held(c, r, f, now, "a result was recorded for")
			f.status, f.owed, f.recorded, f.failure = now.Status, false, f.epoch, now.Failure.Code
			recorded = f.epoch
			settled++
			if !r.batch() {
				m.count(now.Status == core.FileCompleted)
			}
			allEnded = allEnded && (now.Status == core.FileCompleted || now.Status == core.FileError)
		default:
			o.fail(I8, "file %d of run %s went from %s (epoch %d) to %s (epoch %d)", now.Index, r.row.ID, f.status, f.epoch, now.Status, now.Epoch)
		}
	}
	if settled > 0 && m.status != core.RunRunning {
		o.fail(I7, "a result was recorded in run %s, which is %s", r.row.ID, m.status)
	}
	if settled > 0 && r.batch() {
		o.batchSettled(r, recorded, allEnded)
	}
	o.dispatched(r, next)
	if fresh > next.Epoch {
		o.fail(I8, "run %s gave out epoch %d without counting it", r.row.ID, fresh)
	}
	o.closes(c, r, next, settled)
}

// batchSettled is results of a batch run's job, under an epoch: all of them, or some
// while the job goes on, which must be of files that have come to their end.
func (o *Oracle) batchSettled(r *run, epoch core.Epoch, allEnded bool) {
	m := &r.model
	completed, early := true, false
	for i := range m.files {
		f := &m.files[i]
		if f.status == core.FileProcessing && f.epoch == epoch {
			if !allEnded {
				o.fail(Refinement, "the batch job of run %s goes on, and a failure of it was recorded", r.row.ID)
			}
			o.met(RecordedEarly)
			return
		}
		if f.recorded == epoch {
			completed = completed && f.status == core.FileCompleted
			early = early || r.files[i].Status == f.status
		}
	}
	if early {
		o.met(SettledTheRest)
	}
	m.count(completed)
}

// count counts a job that was settled.
func (m *model) count(completed bool) {
	if completed {
		m.completed++
	} else {
		m.failed++
	}
}

// untouched is a renewal, or bookkeeping that leaves a file where it is.
func (o *Oracle) untouched(c *Commit, r *run, f *file, was, now *core.File) {
	if now.RetryAttempt != was.RetryAttempt || now.PaidBy != was.PaidBy || now.Output != was.Output {
		o.fail(Refinement, "file %d of run %s stayed %s and was changed", now.Index, r.row.ID, now.Status)
	}
	if c.Use == UseWork && now.Status == core.FileProcessing && now.LeaseUntil.After(was.LeaseUntil) {
		o.met(Renewed)
		o.held(c, r, f, now, "a renewal extended")
	}
}

func (o *Oracle) claimed(c *Commit, r *run, was, now *core.File) {
	switch {
	case r.model.status != core.RunRunning:
		o.fail(I7, "file %d of run %s was claimed while the run is %s", now.Index, r.row.ID, r.model.status)
	case now.Epoch != was.Epoch:
		o.fail(I8, "file %d of run %s was claimed under epoch %d, it waits under %d", now.Index, r.row.ID, now.Epoch, was.Epoch)
	case !now.LeaseUntil.After(c.SeenMin):
		o.fail(Refinement, "file %d of run %s was claimed without a lease", now.Index, r.row.ID)
	}
}

// interrupted is a lease that ran out, a hand back, or a cancel.
func (o *Oracle) interrupted(c *Commit, r *run, f *file, was, now *core.File, next *core.Run) {
	if now.Epoch <= r.row.Epoch {
		o.fail(I8, "file %d of run %s waits again under epoch %d, which was given out before: its worker is not fenced", now.Index, r.row.ID, now.Epoch)
	}
	early := r.model.early(f.epoch)
	switch {
	case next.Status == core.RunInterrupted && next.Reason == core.ReasonCancelled && c.Use == UseCancel:
		o.met(CancelledWhileProcessing)
		if early {
			o.met(CancelledEarly)
		}
	case c.Use == UseWork:
		o.met(HandedBack)
		o.held(c, r, f, now, "somebody handed back")
	case c.Use == UseRecover:
		o.met(RecoveryTookLease)
		f.expired++
		if was.LeaseUntil.After(c.SeenMax) {
			o.fail(Refinement, "recovery took file %d of run %s from its worker, whose lease holds until %s", now.Index, r.row.ID, was.LeaseUntil.Format("15:04:05"))
		}
		if now.Redeliveries != was.Redeliveries+1 {
			o.fail(Refinement, "recovery did not count the redelivery of file %d of run %s", now.Index, r.row.ID)
		}
		if now.Redeliveries > o.MaxRedeliveries {
			o.NeedsRecovery = true // nobody else closes a run whose file it gave up on
		}
	default:
		o.fail(Refinement, "file %d of run %s was taken from its worker", now.Index, r.row.ID)
	}
	if early && c.Use != UseCancel {
		o.met(RestTaken)
	}
}

// early reports whether results have been recorded of a job that is under way under an
// epoch.
func (m *model) early(epoch core.Epoch) bool {
	for i := range m.files {
		if m.files[i].recorded == epoch {
			return true
		}
	}
	return false
}

// interruptedByFault is a file that a fault of ours interrupted: it waits, under an
// epoch that no job has, for a Continue.
func (o *Oracle) interruptedByFault(c *Commit, r *run, f *file, now *core.File) {
	if now.Epoch <= r.row.Epoch {
		o.fail(I8, "file %d of run %s waits for a Continue under epoch %d, which was given out before", now.Index, r.row.ID, now.Epoch)
	}
	if f.recorded == f.epoch {
		o.fail(I8, "a second result was recorded for file %d of run %s under epoch %d", now.Index, r.row.ID, f.epoch)
	}
	o.answeredBy(r, f, now, core.OutcomeInterrupted)
	o.held(c, r, f, now, "an interruption was recorded for")
	o.met(Interrupted)
}

// recorded checks a result: it must be what an executor answered under this epoch.
func (o *Oracle) recorded(r *run, f *file, now *core.File) {
	if f.recorded == f.epoch {
		o.fail(I8, "a second result was recorded for file %d of run %s under epoch %d", now.Index, r.row.ID, f.epoch)
	}
	if now.Epoch != f.epoch {
		o.fail(I8, "a result for epoch %d was recorded for file %d of run %s, which is in epoch %d", now.Epoch, now.Index, r.row.ID, f.epoch)
	}
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
func (o *Oracle) answeredBy(r *run, f *file, now *core.File, want core.Outcome) {
	for _, e := range r.execs[now.Index] {
		if e.epoch == f.epoch && e.outcome == want && e.code == now.Failure.Code {
			return
		}
	}
	o.fail(I8, "file %d of run %s became %s %s, which no executor answered for its epoch %d", now.Index, r.row.ID, now.Status, now.Failure.Code, f.epoch)
}

// closes follows the run's own row: a run closes when its attempt is complete,
// and otherwise only by a cancel or because recovery gave up.
func (o *Oracle) closes(c *Commit, r *run, next *core.Run, settled int) {
	m := &r.model
	complete := m.status == core.RunRunning && m.completed+m.failed >= m.jobs
	switch {
	case m.status == core.RunRunning && next.Status.Closed():
		a := &r.attempts[len(r.attempts)-1]
		a.closes++
		if a.closes > 1 {
			o.fail(I7, "attempt %d of run %s closed twice", len(r.attempts)-1, r.row.ID)
		}
		o.closed(c, r, next, complete, settled)
	case complete && settled > 0:
		o.fail(I7, "all %d jobs of the attempt are settled, and run %s did not close", m.jobs, r.row.ID)
	case m.status.Closed() && next.Status == core.RunRunning:
		o.fail(Refinement, "run %s was opened again without an attempt", r.row.ID)
	case m.status.Closed() && c.Use == UseRecover:
		o.fail(Refinement, "recovery wrote to run %s, which is closed", r.row.ID)
	case m.status.Closed() && (next.Reason != r.row.Reason || !next.ClosedAt.Equal(r.row.ClosedAt)):
		o.fail(I7, "run %s, which was closed, closed once more", r.row.ID)
	case next.MaxRetryCount > r.row.MaxRetryCount && c.Use == UseRaise:
		m.maxRetries = next.MaxRetryCount
		o.met(Raised)
	}
}

func (o *Oracle) closed(c *Commit, r *run, next *core.Run, complete bool, settled int) {
	m := &r.model
	switch {
	case complete && settled > 0:
		m.status, m.reason = m.closing(), core.ReasonNone
		if m.status == core.RunInterrupted {
			m.reason = core.ReasonServiceFault
			o.met(ClosedByInterruption)
		}
		if m.jobs < m.size {
			o.met(PartialRetryClosed)
		}
	case next.Reason == core.ReasonCancelled && c.Use == UseCancel:
		m.status, m.reason = core.RunInterrupted, next.Reason
	case next.Reason == core.ReasonServiceFault && c.Use == UseInterrupt:
		o.closedByFault(r, next)
		m.status, m.reason, m.fault = core.RunInterrupted, next.Reason, next.Failure.Code
	case next.Reason == core.ReasonRedeliveriesExhausted && c.Use == UseRecover:
		m.status, m.reason = core.RunInterrupted, next.Reason
		o.met(RedeliveriesExhausted)
		for i := range c.Files {
			if w := &c.Files[i]; w.Run == r.row.ID && w.File.Index < len(r.files) {
				r.files[w.File.Index] = w.File
			}
		}
		for i := range r.files {
			if f := &r.files[i]; (f.Status == core.FilePending || f.Status == core.FileProcessing) && f.Redeliveries <= o.MaxRedeliveries && f.Failure.Code == "" {
				o.fail(Refinement, "recovery gave up on run %s, but file %d was redelivered only %d times", r.row.ID, i, f.Redeliveries)
			}
		}
	default:
		o.fail(I7, "run %s closed %s with %d of %d jobs settled", r.row.ID, next.Status, m.completed+m.failed, m.jobs)
		m.status, m.reason = next.Status, next.Reason
	}
	if m.reason != core.ReasonServiceFault {
		m.fault = ""
	}
}

// closedByFault checks a run that was closed because all that it waits for is kept
// back by a fault of ours: nothing of it is under way.
func (o *Oracle) closedByFault(r *run, next *core.Run) {
	open := false
	for i := range r.model.files {
		switch r.model.files[i].status {
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
	row, m := &r.row, &r.model
	if row.Tenant != c.Tenant {
		o.fail(I10, "run %s of tenant %s was changed by a transaction of %s", row.ID, row.Tenant, c.Tenant)
	}
	switch split := (core.Split{Monthly: row.CreditsFromMonthly, Purchased: row.CreditsFromPurchased}); {
	case row.CreditsConsumed != split.Monthly+split.Purchased:
		o.fail(I2, "run %s consumed %d credits, %d monthly and %d purchased", row.ID, row.CreditsConsumed, split.Monthly, split.Purchased)
	case split != r.charged:
		o.fail(I2, "run %s consumed %+v, its charges less its refunds are %+v", row.ID, split, r.charged)
	case split != m.credits:
		o.fail(I2, "run %s consumed %+v, by the model %+v", row.ID, split, m.credits)
	case row.CompletedJobs+row.FailedJobs > row.AttemptJobs || row.AttemptJobs > row.TotalJobs:
		o.fail(I7, "run %s has %d + %d of %d jobs of its attempt, and %d in all", row.ID, row.CompletedJobs, row.FailedJobs, row.AttemptJobs, row.TotalJobs)
	case row.Status.Closed() && row.Status != core.RunInterrupted && row.Tally.Unfinished > 0:
		o.fail(I12, "run %s closed %s with %d files pending, which are paid for and not done", row.ID, row.Status, row.Tally.Unfinished)
	case row.Status != m.status:
		o.fail(Refinement, "run %s is %s, by the model %s", row.ID, row.Status, m.status)
	case row.AttemptJobs != m.jobs || row.CompletedJobs != m.completed || row.FailedJobs != m.failed || row.TotalJobs != m.size:
		o.fail(Refinement, "run %s counts %d + %d of %d jobs, by the model %d + %d of %d", row.ID,
			row.CompletedJobs, row.FailedJobs, row.AttemptJobs, m.completed, m.failed, m.jobs)
	case row.MaxRetryCount != m.maxRetries:
		o.fail(Refinement, "run %s has maxRetryCount %d, by the model %d", row.ID, row.MaxRetryCount, m.maxRetries)
	case row.Status.Closed() && o.processing(r):
		o.fail(I7, "run %s is closed, and a file of it is still processing: nobody will ever continue it", row.ID)
	case row.Reason != m.reason || row.Failure.Code != m.fault:
		o.fail(Refinement, "run %s is %s because of %q %q, by the model because of %q %q", row.ID, row.Status, row.Reason, row.Failure.Code, m.reason, m.fault)
	case row.TemplateVersion != m.version:
		o.fail(Version, "run %s has version %d of its template, it was initiated with %d", row.ID, row.TemplateVersion, m.version)
	case int(row.Attempt) != len(r.attempts)-1:
		o.fail(Refinement, "run %s is in attempt %d, by the model in %d", row.ID, row.Attempt, len(r.attempts)-1)
	}
	var tally core.Tally
	for i := range r.files {
		f, mf := &r.files[i], &m.files[i]
		switch f.Status {
		case core.FilePending, core.FileProcessing:
			tally.Unfinished++
		case core.FileCompleted:
			tally.Completed++
		case core.FileFailed:
			tally.Failed++
		case core.FileError:
			tally.Error++
		}
		o.fileHolds(r, f, mf)
	}
	if tally != row.Tally {
		o.fail(Refinement, "run %s counts its files as %+v, they are %+v", row.ID, row.Tally, tally)
	}
	if row.Status.Closed() && o.Closed != nil {
		o.Closed(row.ID)
	}
}

func (o *Oracle) fileHolds(r *run, f *core.File, m *file) {
	switch {
	case f.Status != m.status || f.Epoch != m.epoch:
		o.fail(Refinement, "file %d of run %s is %s in epoch %d, by the model %s in epoch %d", f.Index, r.row.ID, f.Status, f.Epoch, m.status, m.epoch)
	case f.FreeRetries < 0 || f.FreeRetries > f.RetryAttempt || f.RetryAttempt-f.FreeRetries > r.row.MaxRetryCount:
		o.fail(I6, "file %d of run %s was retried %d times, %d of them free, of %d", f.Index, r.row.ID, f.RetryAttempt, f.FreeRetries, r.row.MaxRetryCount)
	case f.RetryAttempt != m.retries || f.FreeRetries != m.free:
		o.fail(I6, "file %d of run %s was retried %d times, %d of them free, by the model %d, %d of them free", f.Index, r.row.ID, f.RetryAttempt, f.FreeRetries, m.retries, m.free)
	case f.Failure.Code != m.failure:
		o.fail(Refinement, "file %d of run %s is %s because of %q, by the model because of %q", f.Index, r.row.ID, f.Status, f.Failure.Code, m.failure)
	case f.Redeliveries != m.expired:
		o.fail(Refinement, "file %d of run %s was redelivered %d times, by the model %d", f.Index, r.row.ID, f.Redeliveries, m.expired)
	case f.PaidBy != m.paidBy:
		o.fail(I5, "file %d of run %s is paid for by attempt %d, by the model by %d", f.Index, r.row.ID, f.PaidBy, m.paidBy)
	}
	unfinished := f.Status == core.FilePending || f.Status == core.FileProcessing
	if unfinished && (m.unpaid || r.attempts[m.paidBy].compensated) {
		o.fail(I5, "file %d of run %s is %s, but the charge that covers it was refunded", f.Index, r.row.ID, f.Status)
	}
	if !unfinished && m.owed {
		o.fail(I12, "file %d of run %s is %s: it was charged for, not executed since, and not refunded", f.Index, r.row.ID, f.Status)
	}
}
