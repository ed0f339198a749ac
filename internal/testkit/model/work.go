package model

import "github.com/redrive/redrive/core"

// Step is what becomes of a file.
type Step uint8

// The steps of a file.
const (
	Stays       Step = iota // a renewal, or bookkeeping
	Claimed                 // a worker takes it
	Recorded                // a result
	Interrupted             // a fault of ours, until a Continue
	Requeued                // it waits again: the lease ran out, it was handed back, or the run was cancelled
	Illegal                 // nothing but a Continue or a compensation does that
)

// StepTo says what work on a file has done if it is found so.
func (f *File) StepTo(status core.FileStatus, epoch core.Epoch, failure string) Step {
	switch {
	case status == f.Status && epoch == f.Epoch:
		return Stays
	case f.Status == core.FilePending && status == core.FileProcessing:
		return Claimed
	case f.Status != core.FileProcessing:
		return Illegal
	case status != core.FilePending:
		return Recorded
	case failure != "":
		return Interrupted
	default:
		return Requeued
	}
}

// Claim is a worker that takes a file.
func (r *Run) Claim(j Judge, i int, epoch core.Epoch) {
	f := &r.Files[i]
	switch {
	case r.Status != core.RunRunning:
		j(I7, "file %d of run %s was claimed while the run is %s", i, r.ID, r.Status)
	case epoch != f.Epoch:
		j(I8, "file %d of run %s was claimed under epoch %d, it waits under %d", i, r.ID, epoch, f.Epoch)
	case f.Recorded == f.Epoch:
		j(I8, "file %d of run %s was claimed again under epoch %d, which it has a result for", i, r.ID, epoch)
	case f.Failure != "":
		j(Refinement, "file %d of run %s waits for a Continue because of %s, and was claimed", i, r.ID, f.Failure)
	}
	f.Status = core.FileProcessing
	r.Latest().Claimed = true
}

// Record is a result: completed, failed or error.
func (r *Run) Record(j Judge, i int, status core.FileStatus, epoch core.Epoch, failure string) {
	f := &r.Files[i]
	r.once(j, i)
	if epoch != f.Epoch {
		j(I8, "a result for epoch %d was recorded for file %d of run %s, which is in epoch %d", epoch, i, r.ID, f.Epoch)
	}
	if failure == core.FailureDispatchFailed {
		j(I12, "file %d of run %s became %s because it was never dispatched, and its charge stands", i, r.ID, status)
	}
	f.Status, f.Owed, f.Recorded, f.Failure = status, false, f.Epoch, failure
	if !r.Batch {
		r.Count(status == core.FileCompleted)
	}
}

// Interrupt is a fault of ours instead of a result: the file waits, under an epoch that
// no job has, for a Continue.
func (r *Run) Interrupt(j Judge, i int, epoch core.Epoch, failure string) {
	f := &r.Files[i]
	r.once(j, i)
	r.fresh(j, i, epoch)
	f.Recorded = f.Epoch
	f.Status, f.Epoch, f.Failure = core.FilePending, epoch, failure
	if !r.Batch {
		r.Count(false)
	}
	if r.Fault == "" {
		r.Fault = failure
	}
}

func (r *Run) once(j Judge, i int) {
	f := &r.Files[i]
	if f.Recorded == f.Epoch {
		j(I8, "a second result was recorded for file %d of run %s under epoch %d", i, r.ID, f.Epoch)
	}
	if r.Status != core.RunRunning {
		j(I7, "a result was recorded in run %s, which is %s", r.ID, r.Status)
	}
}

func (r *Run) fresh(j Judge, i int, epoch core.Epoch) {
	if epoch <= r.Epoch {
		j(I8, "file %d of run %s waits again under epoch %d, which was given out before: its worker is not fenced", i, r.ID, epoch)
	}
}

// Requeue takes a file from its worker: it waits under a new epoch.
func (r *Run) Requeue(j Judge, i int, epoch core.Epoch, expired bool) {
	r.fresh(j, i, epoch)
	f := &r.Files[i]
	f.Status, f.Epoch = core.FilePending, epoch
	if expired {
		f.Expired++
	}
}

// Count counts a job that was settled.
func (r *Run) Count(completed bool) {
	if completed {
		r.Completed++
	} else {
		r.Failed++
	}
}

// CountBatch counts the job of a batch run once it is settled, and tells whether it is:
// results may be recorded of some files while the job goes on, if they have come to
// their end.
func (r *Run) CountBatch(j Judge, epoch core.Epoch, allEnded bool) (settled bool) {
	completed := true
	for i := range r.Files {
		f := &r.Files[i]
		if f.Status == core.FileProcessing && f.Epoch == epoch {
			if !allEnded {
				j(Refinement, "the batch job of run %s goes on, and a failure of it was recorded", r.ID)
			}
			return false
		}
		if f.Recorded == epoch {
			completed = completed && f.Status == core.FileCompleted
		}
	}
	r.Count(completed)
	return true
}

// Complete reports whether all jobs of the attempt that is under way are settled.
func (r *Run) Complete() bool { return r.Status == core.RunRunning && r.Completed+r.Failed >= r.Jobs }

// Close ends an attempt whose jobs are all settled.
func (r *Run) Close(j Judge) {
	reason := core.ReasonNone
	status := r.Closing()
	if status == core.RunInterrupted {
		reason = core.ReasonServiceFault
	}
	r.end(j, status, reason, r.Fault)
}

// Break ends an attempt with files pending: a cancel, a fault that keeps all of them
// back, or recovery that gave up.
func (r *Run) Break(j Judge, reason core.CloseReason, fault string) {
	r.end(j, core.RunInterrupted, reason, fault)
}

func (r *Run) end(j Judge, status core.RunStatus, reason core.CloseReason, fault string) {
	a := r.Latest()
	if a.Closes++; a.Closes > 1 {
		j(I7, "attempt %d of run %s closed twice", r.Number(), r.ID)
	}
	if reason != core.ReasonServiceFault {
		fault = "" // it is kept only by the run that it closed
	}
	r.Status, r.Reason, r.Fault = status, reason, fault
}
