package core

import (
	"fmt"
	"time"
)

// RunID names a run. It is unique over all tenants.
type RunID string

// Epoch is a number of the run that only grows and is never used twice. Every time that a
// file becomes pending it gets an epoch that no file of the run had before. So a file is
// claimed at most once per epoch, and messages and results of earlier dispatches are
// recognized by their epoch.
type Epoch int64

// AttemptNumber counts a run's dispatches: 0 is the initiation, each Continue
// is the next. A compensated attempt keeps its number.
type AttemptNumber int

// Bounds of maxRetryCount (spec 2).
const (
	DefaultMaxRetryCount = 3
	MaxMaxRetryCount     = 10
	DefaultMaxFiles      = 10_000
)

// RunStatus is the status of a run.
type RunStatus string

const (
	RunRunning             RunStatus = "RUNNING"
	RunCompleted           RunStatus = "COMPLETED"             // every file completed
	RunCompletedWithErrors RunStatus = "COMPLETED_WITH_ERRORS" // at least one completed, at least one not
	RunFailed              RunStatus = "FAILED"                // no file completed
	RunInterrupted         RunStatus = "INTERRUPTED"           // closed with files still pending
)

// Valid reports whether the status is one of the five.
func (s RunStatus) Valid() bool {
	switch s {
	case RunRunning, RunCompleted, RunCompletedWithErrors, RunFailed, RunInterrupted:
		return true
	}
	return false
}

// Closed reports whether nothing of the run is under way.
func (s RunStatus) Closed() bool { return s.Valid() && s != RunRunning }

// CanBecome is the legal-transition table of runs. A completed run never
// changes again; every other closed run can be continued; a running run closes
// once per attempt.
func (s RunStatus) CanBecome(to RunStatus) bool {
	switch s {
	case RunRunning:
		return to.Closed()
	case RunCompletedWithErrors, RunFailed, RunInterrupted:
		return to == RunRunning
	case RunCompleted:
		return false
	}
	return false
}

// CloseReason says why a run closed if not because its files were settled.
type CloseReason string

const (
	ReasonNone                  CloseReason = ""
	ReasonDispatchFailed        CloseReason = "dispatch_failed"        // the initiation could not be enqueued and was refunded
	ReasonCancelled             CloseReason = "cancelled"              // a user cancelled it
	ReasonRedeliveriesExhausted CloseReason = "redeliveries_exhausted" // recovery gave up on its unfinished files
	ReasonServiceFault          CloseReason = "service_fault"          // a fault of the operator's or Redrive's own; Run.Failure says which
)

// DispatchState says whether the current attempt's jobs are known to have
// reached the queue.
type DispatchState string

const (
	// DispatchUnconfirmed: committed, and not known yet to have reached the queue. Only in
	// this state can the attempt be compensated.
	DispatchUnconfirmed DispatchState = "unconfirmed"
	// DispatchConfirmed: enqueueing was confirmed, or a job was claimed, which
	// proves the same.
	DispatchConfirmed DispatchState = "confirmed"
)

// Tally counts a run's files by status. Unfinished is pending and processing together, so
// that claims need not change it.
type Tally struct {
	Unfinished int
	Completed  int
	Failed     int
	Error      int
}

// Total is the number of files of the run; no operation changes it.
func (t Tally) Total() int { return t.Unfinished + t.Completed + t.Failed + t.Error }

// FileCounts are a run's files by status, counted from their rows.
type FileCounts struct {
	Pending, Processing, Completed, Failed, Error int
	// Interrupted counts the pending files that wait for a Continue because a fault of
	// ours interrupted them.
	Interrupted int
}

// Tally is the value that Run.Tally must have.
func (c FileCounts) Tally() Tally {
	return Tally{Unfinished: c.Pending + c.Processing, Completed: c.Completed, Failed: c.Failed, Error: c.Error}
}

// TallyOf counts files; it is what a run's Tally must always equal.
func TallyOf(files []File) Tally {
	var t Tally
	for i := range files {
		t.add(files[i].Status, 1)
	}
	return t
}

func (t *Tally) add(s FileStatus, n int) {
	switch s {
	case FilePending, FileProcessing:
		t.Unfinished += n
	case FileCompleted:
		t.Completed += n
	case FileFailed:
		t.Failed += n
	case FileError:
		t.Error += n
	}
}

// Run is one template applied to N files of one tenant. Its files and attempts
// are rows of their own. All times are UTC.
type Run struct {
	ID       RunID
	Tenant   TenantID
	Template TemplateID
	// TemplateVersion is the version of the template's instructions that every
	// attempt of the run works with.
	TemplateVersion int
	Mode            Mode

	Status RunStatus
	Reason CloseReason
	// Failure is the first fault of ours that interrupted a file in the current attempt.
	// It is kept if the run closes because of it (ReasonServiceFault).
	Failure   Failure
	CreatedBy Actor
	CreatedAt time.Time
	ClosedAt  time.Time // zero while RUNNING

	MaxRetryCount int
	Attempt       AttemptNumber // the latest dispatch
	Epoch         Epoch         // the latest epoch that was given out
	Dispatch      DispatchState
	LastRetriedAt time.Time // zero until the first Continue

	// TotalJobs is fixed at the initiation. AttemptJobs is the number of jobs of the
	// current attempt. Fan-in compares with AttemptJobs, because after a Continue of some
	// files TotalJobs is never reached.
	TotalJobs     int
	AttemptJobs   int
	CompletedJobs int
	FailedJobs    int
	Tally         Tally

	CreditsConsumed      Credits
	CreditsFromMonthly   Credits
	CreditsFromPurchased Credits

	// RecoverAt is when recovery visits a RUNNING run next. From DispatchedAt and
	// Redispatches recovery computes when to send its waiting jobs again.
	RecoverAt    time.Time
	DispatchedAt time.Time
	Redispatches int
}

// become changes the run's status by the transition table. A transition that is not in
// the table is a bug of this package, not a refusal.
func (r *Run) become(to RunStatus) error {
	if !r.Status.CanBecome(to) {
		return fmt.Errorf("run %s cannot go from %s to %s", r.ID, r.Status, to)
	}
	r.Status = to
	return nil
}

// close ends the current attempt. Run.Failure is kept only if that fault closes the run.
func (r *Run) close(to RunStatus, why CloseReason, now time.Time) error {
	if err := r.become(to); err != nil {
		return err
	}
	r.Reason, r.ClosedAt, r.RecoverAt = why, now, time.Time{}
	if why != ReasonServiceFault {
		r.Failure = Failure{}
	}
	return nil
}

// closeByResults closes the run when every job of the attempt is settled. The status
// depends on all files of the run, and not only on those of the last attempt.
func (r *Run) closeByResults(now time.Time) error {
	switch t := r.Tally; {
	case t.Unfinished > 0 && r.Failure.Code == "":
		return fmt.Errorf("%d files are unfinished and nothing interrupted them, the run %s cannot close by its results", t.Unfinished, r.ID)
	case t.Unfinished > 0:
		return r.close(RunInterrupted, ReasonServiceFault, now)
	case t.Completed == t.Total():
		return r.close(RunCompleted, ReasonNone, now)
	case t.Completed > 0:
		return r.close(RunCompletedWithErrors, ReasonNone, now)
	default:
		return r.close(RunFailed, ReasonNone, now)
	}
}

// nextEpoch gives out an epoch that was never used before.
func (r *Run) nextEpoch() Epoch {
	r.Epoch++
	return r.Epoch
}

// addCharge adds a charge to the run's credit fields.
func (r *Run) addCharge(s Split) error {
	sum, err := Split{r.CreditsFromMonthly, r.CreditsFromPurchased}.Plus(s)
	if err != nil {
		return err
	}
	r.setCredits(sum)
	return nil
}

// subtractCharge is the exact undo of addCharge.
func (r *Run) subtractCharge(s Split) error {
	rest, err := Split{r.CreditsFromMonthly, r.CreditsFromPurchased}.Minus(s)
	if err != nil {
		return err
	}
	r.setCredits(rest)
	return nil
}

func (r *Run) setCredits(s Split) {
	r.CreditsFromMonthly, r.CreditsFromPurchased, r.CreditsConsumed = s.Monthly, s.Purchased, s.Total()
}
