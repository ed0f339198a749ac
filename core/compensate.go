package core

import (
	"fmt"
	"time"
)

// CompensatePlan is everything that undoing an attempt writes.
type CompensatePlan struct {
	Run     Run
	Files   []File
	Attempt Attempt
	Refund  []Entry // one refund, or none if nothing was charged
}

// Compensable says whether an attempt may still be undone. It must be the run's latest
// and not be undone already, the run must be running, and nothing may prove that one of
// its jobs got to a worker. Once a job was claimed, or recovery confirmed the dispatch,
// the tenant would get both the work and the refund.
func Compensable(run Run, n AttemptNumber) bool {
	return run.Attempt == n && run.Status == RunRunning && run.Dispatch == DispatchUnconfirmed
}

// Compensate undoes an attempt whose jobs could not be enqueued (spec 4). It refunds both
// parts of the charge to the period and the balance that they came from. It restores the
// run's status, counters and credit fields, and each file's status and retryAttempt. An
// initiation has no earlier state, so it closes the run FAILED with every file failed; a
// later Continue charges and runs them. Epoch and attempt number stay used, so that jobs
// that reached the queue after all have no effect.
//
// files are the attempt's files as they are now. The caller holds the run's lock and has
// checked Compensable; otherwise Compensate fails, which is a bug of the caller and not a
// refusal.
func Compensate(run Run, a Attempt, files []File, by Actor, now time.Time) (CompensatePlan, error) {
	if !Compensable(run, a.Number) || a.Compensated() || a.Run != run.ID || a.Tenant != run.Tenant {
		return CompensatePlan{}, fmt.Errorf("attempt %d of run %s cannot be compensated: run is %s, attempt %d, dispatch %s",
			a.Number, run.ID, run.Status, run.Attempt, run.Dispatch)
	}
	var rows fileRows
	rows.fill(files)
	if len(files) != len(a.Files) {
		return CompensatePlan{}, fmt.Errorf("attempt %d of run %s has %d files, %d were given", a.Number, run.ID, len(a.Files), len(files))
	}
	epoch := run.nextEpoch()
	for _, before := range a.Files {
		f := rows.at(before.Index)
		if f == nil {
			return CompensatePlan{}, fmt.Errorf("file %d of run %s was not given", before.Index, run.ID)
		}
		if err := f.undo(before.Before, epoch, &run); err != nil {
			return CompensatePlan{}, err
		}
	}
	if err := run.subtractCharge(a.Charge.Amount); err != nil {
		return CompensatePlan{}, err
	}
	if err := run.undo(a.Before, now); err != nil {
		return CompensatePlan{}, err
	}
	a.CompensatedAt = now
	return CompensatePlan{Run: run, Files: rows.own, Attempt: a, Refund: refundOf(a, by, now)}, nil
}

// undo restores one file; without a before (the initiation) it becomes failed.
func (f *File) undo(before FileBefore, epoch Epoch, r *Run) error {
	to := before.Status
	if to == "" {
		to = FileFailed
		before = FileBefore{Failure: Failure{
			Code:    FailureDispatchFailed,
			Message: "the run could not be started and was refunded; continue it to run this file",
		}}
	}
	if err := f.become(to, r); err != nil {
		return err
	}
	f.Epoch = epoch
	f.RetryAttempt, f.FreeRetries, f.Redeliveries = before.RetryAttempt, before.FreeRetries, before.Redeliveries
	f.PaidBy, f.Failure = before.PaidBy, before.Failure
	return nil
}

// undo restores the run's status and counters; without a before (the
// initiation) it closes FAILED with every job failed.
func (r *Run) undo(before RunBefore, now time.Time) error {
	if before.Status == "" {
		r.FailedJobs = r.AttemptJobs
		return r.close(RunFailed, ReasonDispatchFailed, now)
	}
	if err := r.close(before.Status, before.Reason, before.ClosedAt); err != nil {
		return err
	}
	r.Failure, r.LastRetriedAt = before.Failure, before.LastRetriedAt
	r.AttemptJobs, r.CompletedJobs, r.FailedJobs = before.AttemptJobs, before.CompletedJobs, before.FailedJobs
	return nil
}

// refundOf is the exact reverse of an attempt's charge.
func refundOf(a Attempt, by Actor, now time.Time) []Entry {
	if a.Charge.IsZero() {
		return nil
	}
	return []Entry{{
		Tenant: a.Tenant, Key: RefundKey(a.Run, a.Number), Kind: EntryRefund,
		Period: a.Charge.Period, Amount: a.Charge.Amount,
		Run: a.Run, Attempt: a.Number, Charge: a.Charge.Key, Actor: by, At: now,
	}}
}
