package scheduler

import (
	"github.com/redrive/redrive/core"
)

// Event is something that has happened. Its slices are the scheduler's from then on.
type Event interface{ event() }

// MessageID names a message of the queue in this process. The caller numbers the messages
// that it receives, and uses no number twice.
type MessageID uint64

// Message is what the queue carries: jobs of one run, epoch and template.
type Message struct {
	ID   MessageID
	Jobs []core.Job
}

// GroupID names a Claim, Settle, HandBack, Renew or Look.
type GroupID uint64

// Fault is how an attempt to do something failed.
type Fault uint8

const (
	// FaultNone: it was done.
	FaultNone Fault = iota
	// FaultOfOne may have to do with any one of the jobs. Its parts are tried.
	FaultOfOne
	// FaultOfStore has to do with the store or a lock and not with any of the jobs: to try
	// each by itself would only take longer.
	FaultOfStore
	// FaultRefused: the store can never hold what it was given, or one part of it.
	FaultRefused
)

// Outcome is what became of a job in a claim.
type Outcome uint8

const (
	// OutcomeDropped: the claim had no effect and never will.
	OutcomeDropped Outcome = iota
	// OutcomeClaimed: the job's files are leased.
	OutcomeClaimed
	// OutcomeHeld: another transaction holds the run, and the claim did not wait.
	OutcomeHeld
)

// Events.
type (
	// Received answers Receive, also after CancelReceive. It may have messages in each
	// case.
	Received struct {
		Messages []Message
		Failed   bool // it is tried again after a pause
		Closed   bool // the queue is closed: nothing more will come, and the worker stops
	}

	// ClaimAnswered answers Claim. Outcomes are those of its jobs, in their order; none
	// with a fault, which leaves open whether any was claimed.
	ClaimAnswered struct {
		Group    GroupID
		Outcomes []Outcome
		Fault    Fault
	}

	// Reported is a result that came while its job goes on. It counts as taken in, and
	// its executor may report the next, when an Accept says so.
	Reported struct {
		Job  *Job
		Cost int // see ResultCost
	}

	// Executed answers Execute for one job.
	Executed struct {
		Job *Job
		// GaveUp: the execution was cancelled and nothing is to be recorded of it. The rest
		// of the event has no meaning then.
		GaveUp bool
		// Verdict is Judge's of the results.
		Verdict Verdict
		// Early are the costs of those results that can be recorded before the job is counted,
		// in the order in which they would be; Rest is the cost of the others, which is 0 if
		// there are none. Of a job with one file all is Rest.
		Early []int
		Rest  int
	}

	// SettleAnswered answers Settle. Held says which of its settlements were of runs that
	// another transaction holds; nil: none.
	SettleAnswered struct {
		Group GroupID
		Held  []bool
		Fault Fault
	}

	// HandedBack answers HandBack.
	HandedBack struct {
		Group GroupID
		Fault Fault
	}

	// Renewed answers Renew. Lost are the jobs whose leases are lost, Held those of runs
	// that another transaction holds.
	Renewed struct {
		Group      GroupID
		Lost, Held []*Job
		Fault      Fault
	}

	// Looked answers Look. What was not found out is not lost.
	Looked struct {
		Group GroupID
		Lost  []*Job
	}

	// Answered answers Answer. If it failed, it may have reached the queue or not.
	Answered struct {
		Message MessageID
		Failed  bool
	}

	// Interrupted answers Interrupt with the number of runs that it closed.
	Interrupted struct {
		Interruption Interruption
		Closed       int
	}

	// Tick says that time has passed, see SetTimer.
	Tick struct{}

	// Stop begins the drain: nothing more is received or claimed, what is not claimed goes
	// back to the queue, and what is under way may end within the DrainTimeout.
	Stop struct{}
)

func (Received) event()       {}
func (ClaimAnswered) event()  {}
func (Reported) event()       {}
func (Executed) event()       {}
func (SettleAnswered) event() {}
func (HandedBack) event()     {}
func (Renewed) event()        {}
func (Looked) event()         {}
func (Answered) event()       {}
func (Interrupted) event()    {}
func (Tick) event()           {}
func (Stop) event()           {}
