package oracle

import (
	"github.com/redrive/redrive/core"
)

// compensated undoes the latest attempt: everything is as before it, under a new
// epoch, and the charge is given back.
func (o *Oracle) compensated(c *Commit, r *run, mark *Mark, next *core.Run) {
	m := &r.model
	n := m.Number()
	switch {
	case mark.Number != n:
		o.fail(I4, "attempt %d of run %s was compensated while the run is in attempt %d", mark.Number, r.row.ID, n)
		return
	case r.known[n].enqueued:
		o.fail(I12, "attempt %d of run %s was compensated although all its jobs were enqueued", n, r.row.ID)
	}
	want, _ := m.Undo(o.judge, next.Epoch)
	o.refundOf(c, r, n, want)
	r.known[n].undone = o.commits
	switch {
	case n == 0:
		o.met(CompensatedInitiate)
	case m.Fault != "":
		o.met(CompensatedInterrupted)
		fallthrough
	default:
		o.met(CompensatedContinue)
	}
}

// refundOf checks that a compensation is committed with the refund of its charge.
func (o *Oracle) refundOf(c *Commit, r *run, n core.AttemptNumber, want core.Split) {
	found := core.Split{}
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Kind == core.EntryRefund && e.Run == r.row.ID && e.Attempt == n {
			found.Monthly += e.Amount.Monthly
			found.Purchased += e.Amount.Purchased
		}
	}
	if found != want {
		o.fail(I4, "attempt %d of run %s took %+v, its compensation gives back %+v", n, r.row.ID, want, found)
	}
}
