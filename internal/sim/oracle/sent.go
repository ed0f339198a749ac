package oracle

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// begunAs checks an attempt that is committed as dispatched: the transaction that began
// it sends all of its jobs, since nothing else will before recovery.
func (o *Oracle) begunAs(c *Commit, r *run, a *core.Attempt, next *core.Run) {
	sent := 0
	for i := range c.Sent {
		if c.Sent[i].Run == r.row.ID && c.Sent[i].Epoch == next.Epoch {
			sent += len(c.Sent[i].Files)
		}
	}
	at := &r.known[len(r.known)-1]
	switch {
	case next.Dispatch != core.DispatchConfirmed && sent > 0:
		o.fail(SentOnce, "attempt %d of run %s was sent by its transaction, and is committed as if it still had to be", a.Number, r.row.ID)
	case next.Dispatch != core.DispatchConfirmed:
	case sent < len(a.Files):
		o.fail(Dispatched, "attempt %d of run %s is committed as dispatched, but its transaction sends jobs of %d of its %d files", a.Number, r.row.ID, sent, len(a.Files))
	default:
		at.enqueued, at.taken = true, true
		o.met(SentByTransaction)
	}
}

// sentAgain takes down what a transaction sends of attempts that were begun before.
func (o *Oracle) sentAgain(c *Commit, r *run) {
	for i := range c.Sent {
		if c.Sent[i].Run == r.row.ID {
			r.took(&c.Sent[i])
		}
	}
}

// took says that the queue has a job, whichever attempt sent it. What recovery sends may be
// under an epoch that came later.
func (r *run) took(j *core.Job) {
	attempts := r.model.Attempts
	for n := range attempts {
		if attempts[n].Epoch <= j.Epoch && (n+1 == len(attempts) || attempts[n+1].Epoch > j.Epoch) {
			r.known[n].taken = true
		}
	}
}

// EnqueuedBeside is told of jobs that are enqueued by a process whose transactions send what they
// begin: the last one that it committed must not have sent them.
func (o *Oracle) EnqueuedBeside(sent, jobs []core.Job) {
	for i := range jobs {
		if slices.ContainsFunc(sent, func(j core.Job) bool {
			return j.ID == jobs[i].ID && j.Epoch == jobs[i].Epoch && j.Run == jobs[i].Run
		}) {
			o.fail(SentOnce, "job %s of epoch %d was sent by the transaction, and is enqueued as well", jobs[i].ID, jobs[i].Epoch)
			return
		}
	}
}
