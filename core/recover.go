package core

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// RecoveryPolicy says when recovery acts. All durations are positive.
type RecoveryPolicy struct {
	// DispatchGrace is how long an initiation or Continue may take to enqueue
	// its jobs before recovery enqueues them.
	DispatchGrace time.Duration
	// RedispatchAfter is how long waiting jobs of a run may stay unclaimed before they
	// are sent again, in case the queue lost them. It doubles every time, up to
	// MaxRedispatchAfter, because they may also be waiting in a long queue.
	RedispatchAfter    time.Duration
	MaxRedispatchAfter time.Duration
	// Lease is how long a claim is valid without renewal, and how often at least recovery
	// visits a running run. It is 12 hours at most. The clocks of all servers must agree
	// to well within it: a server whose clock is ahead by a lease takes live workers for
	// dead ones.
	Lease time.Duration
	// MaxRedeliveries is how many leases of one file may expire within an attempt before
	// recovery gives up on the file; 0 gives up at the first.
	MaxRedeliveries int
}

// Validate refuses a policy under which a run could stay RUNNING for ever.
func (p RecoveryPolicy) Validate() error {
	if p.DispatchGrace <= 0 || p.RedispatchAfter <= 0 || p.MaxRedispatchAfter < p.RedispatchAfter || p.Lease <= 0 || p.MaxRedeliveries < 0 {
		return errors.New("recovery policy: durations must be positive, MaxRedispatchAfter at least RedispatchAfter, MaxRedeliveries 0 or more")
	}
	if p.Lease > MaxLease {
		return fmt.Errorf("recovery policy: Lease must be at most %s", MaxLease)
	}
	return nil
}

// RecoveryPlan is everything that one recovery of one run writes.
type RecoveryPlan struct {
	Run    Run
	Files  []File
	Jobs   []Job // to be enqueued after the commit
	Closed bool  // recovery gave up: the run closed INTERRUPTED
	// Expired counts leases that expired; Unconfirmed says that the attempt's dispatch
	// was not confirmed. Both are for logs and counters.
	Expired     int
	Unconfirmed bool
}

// MaxLease bounds RecoveryPolicy.Lease.
const MaxLease = 12 * time.Hour

// Horizon is how far ahead of now recovery may be due at most. PlanRecovery never plans
// further than a lease ahead; another server's lease may be twice as long. A later time
// was written by a wrong clock, and must not delay recovery until then.
func (p RecoveryPolicy) Horizon() time.Duration { return 2 * p.Lease }

// RecoveryDue reports whether recovery has to visit the run. The caller checks it again
// under the run's lock, because another server may have visited the run first.
func RecoveryDue(run Run, now time.Time, horizon time.Duration) bool {
	return run.Status == RunRunning && (!run.RecoverAt.After(now) || run.RecoverAt.After(now.Add(horizon)))
}

// PlanRecovery decides what a running run needs so that it does not stay
// RUNNING with nothing under way (spec 6):
//   - files whose lease expired become pending under a new epoch, which fences the
//     worker that held them, and are dispatched again, up to MaxRedeliveries times;
//   - an attempt whose enqueueing was not confirmed in time is dispatched again;
//   - files that have waited too long are dispatched again under their own
//     epoch: if the queue still has them, that changes nothing;
//   - if all unfinished files were given up by recovery or interrupted by a fault of
//     ours, the run closes INTERRUPTED, and Continue is free for those files.
//
// unfinished are the run's pending and processing files; the caller holds the
// run's lock.
func PlanRecovery(run Run, unfinished []File, now time.Time, policy RecoveryPolicy) (RecoveryPlan, error) {
	p := RecoveryPlan{Run: run}
	if p.Run.DispatchedAt.After(now) {
		p.Run.DispatchedAt = now // a clock was ahead and is corrected
	}
	resend := p.Run.resendDue(now, policy)
	own := slices.Clone(unfinished)

	var expiredEpoch Epoch
	var jobs []File
	givenUp, interrupted, earliest := 0, 0, now.Add(policy.Lease)
	for i := range own {
		f := &own[i]
		switch {
		case f.Status == FileProcessing && f.LeaseUntil.After(now.Add(2*policy.Lease)):
			// Written by a clock that was ahead. The lease is shortened to what it should be:
			// a live worker renews it in time.
			f.LeaseUntil = now.Add(policy.Lease)
			p.Files = append(p.Files, *f)
		case f.Status == FileProcessing && f.LeaseUntil.After(now):
			if f.LeaseUntil.Before(earliest) {
				earliest = f.LeaseUntil
			}
		case f.Status == FileProcessing:
			if expiredEpoch == 0 {
				expiredEpoch = p.Run.nextEpoch()
			}
			if err := f.toPending(expiredEpoch, &p.Run); err != nil {
				return RecoveryPlan{}, err
			}
			f.Redeliveries++
			p.Expired++
			p.Files = append(p.Files, *f)
			if f.Redeliveries > policy.MaxRedeliveries {
				givenUp++
			} else {
				jobs = append(jobs, *f)
			}
		case f.Failure.Code != "": // interrupted by a fault of ours: a Continue dispatches it
			interrupted++
			if p.Run.Failure.Code == "" {
				p.Run.Failure = f.Failure
			}
		case f.Redeliveries > policy.MaxRedeliveries:
			givenUp++
		case resend:
			jobs = append(jobs, *f)
		}
	}

	if givenUp+interrupted == p.Run.Tally.Unfinished && givenUp+interrupted > 0 {
		why := ReasonRedeliveriesExhausted
		if givenUp == 0 { // the settlement that should have closed the run did not
			why = ReasonServiceFault
		}
		closed, err := interrupt(p.Run, nil, why, now)
		if err != nil {
			return RecoveryPlan{}, err
		}
		p.Run, p.Closed = closed.Run, true
		return p, nil
	}
	switch {
	case resend && len(jobs) > 0:
		p.Unconfirmed = run.Dispatch == DispatchUnconfirmed
		p.Run.DispatchedAt = now
		p.Run.Redispatches++
	case len(jobs) > 0:
		// A new dispatch: the interval starts again with its shortest value, in case these
		// messages are lost.
		p.Run.DispatchedAt, p.Run.Redispatches = now, 0
	}
	p.Run.RecoverAt = earliest
	if due := p.Run.resendAt(policy); due.Before(earliest) && due.After(now) {
		p.Run.RecoverAt = due
	}
	var err error
	p.Jobs, err = JobsOf(p.Run, jobs)
	return p, err
}

// PlanResume is PlanRecovery when no other process can be at work on the run: at the start
// of one that has its store for itself, and a queue that was lost with the process of
// before. Every lease is void, whatever time it has left, and all that waits is dispatched at
// once. That a lease was cut short counts as a redelivery, because the file may be what
// ended the process.
func PlanResume(run Run, unfinished []File, now time.Time, policy RecoveryPolicy) (RecoveryPlan, error) {
	void := slices.Clone(unfinished)
	for i := range void {
		if void[i].Status == FileProcessing {
			void[i].LeaseUntil = now
		}
	}
	lost := run
	lost.DispatchedAt, lost.Redispatches = time.Time{}, 0 // due, and the new queue is not long
	p, err := PlanRecovery(lost, void, now, policy)
	if err == nil && len(p.Jobs) == 0 { // nothing was dispatched
		p.Run.DispatchedAt, p.Run.Redispatches = run.DispatchedAt, run.Redispatches
	}
	return p, err
}

// Sent gives a run that is about to be dispatched as it is if the transaction that begins
// its attempt sends the jobs as well: dispatched, and due for recovery when a visit would
// have it due.
func Sent(run Run, policy RecoveryPolicy) Run {
	run.Dispatch = DispatchConfirmed
	run.RecoverAt = run.DispatchedAt.Add(policy.Lease)
	if due := run.resendAt(policy); due.Before(run.RecoverAt) {
		run.RecoverAt = due
	}
	return run
}

// resendAt is the time at which the run's waiting jobs are sent again.
func (r *Run) resendAt(policy RecoveryPolicy) time.Time {
	if r.Dispatch == DispatchUnconfirmed && r.Redispatches == 0 {
		return r.DispatchedAt.Add(policy.DispatchGrace)
	}
	return r.DispatchedAt.Add(Backoff(policy.RedispatchAfter, policy.MaxRedispatchAfter, r.Redispatches))
}

func (r *Run) resendDue(now time.Time, policy RecoveryPolicy) bool {
	return !r.resendAt(policy).After(now)
}
