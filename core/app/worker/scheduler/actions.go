package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Action is something to be done. Its slices belong to whoever carries it out.
type Action interface{ action() }

// Reply is what the queue is told about a message.
type Reply uint8

const (
	// Ack: forget the jobs that the message still has.
	Ack Reply = iota
	// Nack: deliver them again after a back-off.
	Nack
	// Release: deliver Answer.Jobs again at once, to any server. The message keeps the others.
	Release
)

func (r Reply) String() string { return [...]string{"ack", "nack", "release"}[r] }

// Settlement is what is to be recorded of a job.
type Settlement struct {
	Job *Job
	// Piece is how many of the results that are there, oldest first, are recorded while the
	// job goes on; 0: it has ended, and everything that is left of it is recorded.
	Piece int
	// NotKept: the store can never hold the results. Each file that is left gets NotRecorded
	// in place of its result.
	NotKept bool
}

// Actions.
type (
	// Receive asks the queue for messages until they have Limit jobs. The last one may
	// have more. At most one is under way.
	Receive struct {
		Limit int
		Skip  ports.Skip
	}

	// CancelReceive ends the Receive that is under way. Its Received is still to come.
	CancelReceive struct{}

	// Claim takes jobs of one tenant in one transaction. Without Wait runs that another
	// transaction holds are passed over; with it all jobs are of one run, which is waited
	// for.
	Claim struct {
		Group GroupID
		Jobs  []*Job
		Wait  bool
	}

	// Execute begins claimed jobs.
	Execute struct{ Jobs []*Job }

	// Cancel ends the execution of jobs: their leases are lost, or the worker stops.
	Cancel struct{ Jobs []*Job }

	// Accept says that the next N of a job's results that wait to be taken in are: their
	// executor may go on. Those that Executed has named as Early count too.
	Accept struct {
		Job *Job
		N   int
	}

	// Forfeit says that the store can never hold the oldest result of a job that is not
	// recorded. NotRecorded is settled in its place with the rest of the job.
	Forfeit struct{ Job *Job }

	// Settle records results of jobs of one tenant in one transaction. With Wait all are of
	// one run, which is waited for.
	Settle struct {
		Group       GroupID
		Settlements []Settlement
		Wait        bool
	}

	// HandBack gives claimed jobs of one run back, for another worker to claim. Their results
	// are dropped.
	HandBack struct {
		Group GroupID
		Jobs  []*Job
	}

	// Renew extends the leases of jobs of one tenant, within a time. With Wait all are of
	// one run, which is waited for.
	Renew struct {
		Group  GroupID
		Jobs   []*Job
		Wait   bool
		Within time.Duration
	}

	// Look asks which of a tenant's jobs under way are lost, without locking anything.
	Look struct {
		Group GroupID
		Jobs  []*Job
	}

	// Answer tells the queue about a message.
	Answer struct {
		Message MessageID
		Reply   Reply
		Jobs    []core.Job // of Release
	}

	// Interrupt closes the runs that wait because of a fault of ours.
	Interrupt struct{ Interruption Interruption }

	// SetTimer asks for a Tick at that time, and no more for the one before.
	SetTimer struct{ At time.Time }

	// Notify is for the operator's log.
	Notify struct{ Note Note }

	// Stopped says that the drain is over.
	Stopped struct{}
)

func (Receive) action()       {}
func (CancelReceive) action() {}
func (Claim) action()         {}
func (Execute) action()       {}
func (Cancel) action()        {}
func (Accept) action()        {}
func (Forfeit) action()       {}
func (Settle) action()        {}
func (HandBack) action()      {}
func (Renew) action()         {}
func (Look) action()          {}
func (Answer) action()        {}
func (Interrupt) action()     {}
func (SetTimer) action()      {}
func (Notify) action()        {}
func (Stopped) action()       {}
