package core

import (
	"fmt"
	"time"
)

// RunID names a run. It is unique over all tenants.
type RunID string

// Epoch is a number of the run that only ever grows and is never used twice.
// Every time that a file becomes pending it gets an epoch that no file of the
// run had before, so a file is claimed at most once per epoch, and whatever an
// older message or an older worker brings is told apart by its epoch.
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

// RunStatus is where a run is.
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

// CloseReason says why a run closed otherwise than by its files being settled.
type CloseReason string

const (
	ReasonNone                  CloseReason = ""
	ReasonDispatchFailed        CloseReason = "dispatch_failed"        // the initiation could not be enqueued and was refunded
	ReasonCancelled             CloseReason = "cancelled"              // somebody cancelled it
	ReasonRedeliveriesExhausted CloseReason = "redeliveries_exhausted" // recovery gave up on what was left
	ReasonServiceFault          CloseReason = "service_fault"          // a fault of the operator's or Redrive's own; Run.Failure says which
)

// DispatchState says whether the current attempt's jobs are known to have
// reached the queue.
type DispatchState string

const (
	// DispatchUnconfirmed: committed, and nobody knows yet that its jobs got
	// out. Only in this state can the attempt be compensated.
	DispatchUnconfirmed DispatchState = "unconfirmed"
	// DispatchConfirmed: enqueueing was confirmed, or a job was claimed, which
	// proves the same.
	DispatchConfirmed DispatchState = "confirmed"
)

// Tally counts a run's files by what has become of them. Unfinished is pending
// and processing together, so that claims need not touch it.
type Tally struct {
	Unfinished int
	Completed  int
	Failed     int
	Error      int
}

// Total is the number of files of the run; no operation changes it.
func (t Tally) Total() int { return t.Unfinished + t.Completed + t.Failed + t.Error }

// FileCounts are a run's files by status, as their rows say.
type FileCounts struct {
	Pending, Processing, Completed, Failed, Error int
	// Interrupted are those of the pending that wait for a Continue because a fault of
	// ours interrupted them.
	Interrupted int
}

// Tally is what the run's own must be.
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
	// Failure is the first fault of ours that interrupted a file in the current
	// attempt. It stays when the run closes by it (ReasonServiceFault).
	Failure   Failure
	CreatedBy Actor
	CreatedAt time.Time
	ClosedAt  time.Time // zero while RUNNING

	MaxRetryCount int
	Attempt       AttemptNumber // the latest dispatch
	Epoch         Epoch         // the latest epoch that was given out
	Dispatch      DispatchState
	LastRetriedAt time.Time // zero until the first Continue

	// TotalJobs is fixed at the initiation. AttemptJobs is the current
	// attempt's own number of jobs: fan-in compares with it, because after a
	// partial retry TotalJobs is never reached.
	TotalJobs     int
	AttemptJobs   int
	CompletedJobs int
	FailedJobs    int
	Tally         Tally

	CreditsConsumed      Credits
	CreditsFromMonthly   Credits
	CreditsFromPurchased Credits

	// RecoverAt is when recovery looks at a RUNNING run next; DispatchedAt and
	// Redispatches space out how often its waiting jobs are sent again.
	RecoverAt    time.Time
	DispatchedAt time.Time
	Redispatches int
}

// become moves the run along the transition table. A plan that would break
// the table is a bug of this package, not a refusal.
func (r *Run) become(to RunStatus) error {
	if !r.Status.CanBecome(to) {
		return fmt.Errorf("run %s cannot go from %s to %s", r.ID, r.Status, to)
	}
	r.Status = to
	return nil
}

// close ends the current attempt. Only a run that a fault of ours interrupted keeps
// that fault.
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

// closeByResults closes the run when every job of the attempt is settled, with a
// status that is decided by all files of the run, not by those of the last attempt
// alone.
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

// addCharge grows the run's credit fields by a charge.
func (r *Run) addCharge(s Split) error {
	sum, err := Split{r.CreditsFromMonthly, r.CreditsFromPurchased}.Plus(s)
	if err != nil {
		return err
	}
	r.setCredits(sum)
	return nil
}

// takeOffCharge is the exact undo of addCharge.
func (r *Run) takeOffCharge(s Split) error {
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
