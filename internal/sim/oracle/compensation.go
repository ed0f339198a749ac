package oracle

import (
	"github.com/redrive/redrive/core"
)

// compensated undoes the latest attempt: everything is as before it, under a new
// epoch, and the charge is given back.
func (o *Oracle) compensated(c *Commit, r *run, mark *Mark, next *core.Run) {
	n := len(r.attempts) - 1
	a := &r.attempts[n]
	m := &r.model
	switch {
	case int(mark.Number) != n || m.status != core.RunRunning:
		o.fail(I4, "attempt %d of run %s was compensated while the run is %s in attempt %d", mark.Number, r.row.ID, m.status, n)
		return
	case a.claimed:
		o.fail(I12, "attempt %d of run %s was compensated although a job of it was claimed: the tenant gets both the work and the refund", n, r.row.ID)
	case a.enqueued:
		o.fail(I12, "attempt %d of run %s was compensated although all its jobs were enqueued", n, r.row.ID)
	case a.compensated:
		o.fail(I4, "attempt %d of run %s was compensated twice", n, r.row.ID)
	}
	o.refundOf(c, r, n)
	if next.Epoch <= r.row.Epoch {
		o.fail(I8, "attempt %d of run %s was compensated under epoch %d, which was given out before: a job of it that got out could still be claimed", n, r.row.ID, next.Epoch)
	}
	if n == 0 {
		o.met(CompensatedInitiate)
		m.status, m.failed = core.RunFailed, m.jobs
		m.reason, m.fault = core.ReasonDispatchFailed, ""
		for i := range m.files {
			f := &m.files[i]
			f.status, f.retries, f.epoch, f.owed, f.unpaid = core.FileFailed, 0, next.Epoch, false, true
			f.expired, f.free, f.failure = 0, 0, core.FailureDispatchFailed
		}
	} else {
		o.met(CompensatedContinue)
		for i := range m.files {
			if m.files[i].status == core.FilePending {
				f := &m.files[i]
				*f = a.before.files[i]
				f.epoch = next.Epoch
			}
		}
		m.status, m.jobs, m.completed, m.failed = a.before.status, a.before.jobs, a.before.completed, a.before.failed
		m.reason, m.fault = a.before.reason, a.before.fault
		if m.fault != "" {
			o.met(CompensatedInterrupted)
		}
	}
	m.credits.Monthly -= a.charge.Monthly
	m.credits.Purchased -= a.charge.Purchased
	a.compensated, a.undone = true, o.commits
}

// refundOf checks that a compensation is committed with the refund of its charge.
func (o *Oracle) refundOf(c *Commit, r *run, n int) {
	want, found := r.attempts[n].charge, core.Split{}
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Kind == core.EntryRefund && e.Run == r.row.ID && int(e.Attempt) == n {
			found.Monthly += e.Amount.Monthly
			found.Purchased += e.Amount.Purchased
		}
	}
	if found != want {
		o.fail(I4, "attempt %d of run %s took %+v, its compensation gives back %+v", n, r.row.ID, want, found)
	}
}
