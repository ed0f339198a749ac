package oracle

import "github.com/redrive/redrive/core"

// Enqueued is told that the queue confirmed jobs to an actor.
func (o *Oracle) Enqueued(jobs []core.Job, use Use) {
	for i := range jobs {
		r := o.run(jobs[i].Run)
		if r == nil {
			continue
		}
		attempts := r.model.Attempts
		for n := range attempts {
			if attempts[n].Epoch == jobs[i].Epoch && (use == UseInitiate || use == UseContinue || use == UseBulk) {
				r.known[n].enqueued = true
			}
		}
		r.took(&jobs[i])
	}
}

// dispatched checks that an attempt is recorded as dispatched only when it is.
func (o *Oracle) dispatched(r *run, next *core.Run) {
	n := r.model.Number()
	if r.row.Dispatch == core.DispatchUnconfirmed && next.Dispatch == core.DispatchConfirmed && !r.model.Latest().Claimed && !r.known[n].taken {
		o.fail(Dispatched, "attempt %d of run %s is recorded as dispatched, but no queue has confirmed its jobs and none was claimed", n, r.row.ID)
	}
}

// Executed is told what an executor answered for a file of a job: the worker that
// executes has claimed the file under the job's epoch, does it once a try, and not again
// once the file has ended.
func (o *Oracle) Executed(actor uint8, job core.Job, index, try int, outcome core.Outcome, code string) {
	r := o.run(job.Run)
	if r == nil || index >= len(r.execs) {
		o.fail(ExecuteOnce, "job %s was executed for file %d, which there is not", job.ID, index)
		return
	}
	claimed := false
	for _, c := range r.claims[index] {
		claimed = claimed || c.epoch == job.Epoch && o.sameProcess(c.actor, actor)
	}
	if !claimed {
		o.fail(ExecuteOnce, "file %d of run %s was executed under epoch %d by a worker that did not claim it so", index, job.Run, job.Epoch)
	}
	for _, e := range r.execs[index] {
		switch {
		case e.epoch != job.Epoch:
		case e.try >= try:
			o.fail(ExecuteOnce, "file %d of run %s was executed twice in epoch %d, try %d", index, job.Run, job.Epoch, try)
		case e.outcome != core.OutcomeTransient:
			o.fail(ExecuteOnce, "file %d of run %s was executed again in epoch %d, although it had ended %s", index, job.Run, job.Epoch, e.outcome)
		}
	}
	r.execs[index] = append(r.execs[index], execution{job.Epoch, outcome, code, try})
	if r.files[index].Epoch != job.Epoch {
		o.met(LateResultDropped)
	}
}

// Refused is told that the store can never hold a file's result: that is what may be recorded
// in its place.
func (o *Oracle) Refused(id core.RunID, index int, epoch core.Epoch) {
	o.met(ResultRefused)
	if r := o.run(id); r != nil && index < len(r.execs) {
		r.execs[index] = append(r.execs[index], execution{epoch, core.OutcomeInterrupted, core.FailureNotRecorded, 0})
	}
}

// held checks that who touches a file that is being processed is the process that
// claimed it.
func (o *Oracle) held(c *Commit, r *run, now *core.File, what string) {
	if !o.sameProcess(r.holder(now.Index), c.Actor) {
		o.fail(Fenced, "%s file %d of run %s by another process than the one that holds it", what, now.Index, r.row.ID)
	}
}

// sameProcess reports whether what one actor claimed is in the hands of another one.
func (o *Oracle) sameProcess(a, b uint8) bool {
	return a == b || o.SameProcess != nil && o.SameProcess(a, b)
}
