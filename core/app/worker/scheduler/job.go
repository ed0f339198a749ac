package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Job is a job in this process, from its delivery until it is done with. A (job, epoch)
// is there at most once. The scheduler makes it and owns all of it but the exported
// fields.
type Job struct {
	core.Job
	// Work is what the owner of the scheduler keeps with the job. The scheduler does not
	// look at it.
	Work any

	run      *run
	state    state
	messages []*message  // that it came in and that are not answered
	first    [1]*message // holds them while there is one, as there most often is
	answered bool        // its claim is: another delivery of it has no effect
	placed   bool        // it has a place and pass
	pass     pass

	parkedTill time.Time
	begun      time.Time // its execution
	lost       bool      // its lease is
	renewing   bool      // a renewal of its lease is under way
	tries      int       // to record it, or to hand it back, that failed
	inClaim    bool      // its claim is under way
	retry      *timer    // while it waits to be tried again, alone or with others
	retryOf    int       // results of the piece that waits; 0: all of it

	cost      int   // of the settlement that counts it, see groupCost
	early     []int // costs of results that can be recorded before that
	rest      int
	executed  bool // only its settlement is left
	notKept   bool // its results can never be held and were replaced
	unsaved   int  // its cost in Scheduler.unsaved, while it has no place
	pieces    *pieces
	interrupt Interruption // follows once it was handed back
	// returnsLater: it is handed back once the piece was recorded that is on its way.
	returnsLater bool

	prev, next *Job // in Scheduler.claimed, while it is claimed
}

// state is how far a job is.
type state uint8

const (
	parked    state = iota // by a limit or the breaker
	claiming               // waits to be claimed, or is being
	ready                  // claimed, waits to be executed
	executing              //
	recording              // its results wait to be recorded, or are being
	returning              // it waits to be handed back, or is being
	done                   // only its messages are not answered yet
	gone                   // not there any more
)

// isClaimed reports whether a job's lease is this process's.
func (s state) isClaimed() bool { return s >= ready && s <= returning }

// jobKey tells the jobs of a run apart.
type jobKey struct {
	id    core.JobID
	epoch core.Epoch
}

func keyOf(j core.Job) jobKey { return jobKey{j.ID, j.Epoch} }

func runOf(j core.Job) ports.RunKey { return ports.RunKey{Tenant: j.Tenant, Run: j.Run} }

func templateOf(j core.Job) ports.TemplateKey {
	return ports.TemplateKey{Tenant: j.Tenant, Template: j.Template}
}
