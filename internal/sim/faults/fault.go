package faults

import "github.com/redrive/redrive/internal/sim/sched"

// The kinds of faults. The alternatives of each are numbered from 1; 0 is none.
const (
	BeginFault   = sched.Next + 1 + iota // the store cannot be reached
	CommitFault                          // see the Commit… alternatives
	LockFault                            // a lock is not had in time
	ReadFault                            // a snapshot or a list cannot be read
	RefundFault                          // a refund cannot be posted
	EnqueueFault                         // see the Enqueue… alternatives
	MessageFault                         // see the Message… alternatives
	OrderChoice                          // another message than the first
	AckFault                             // see the Ack… alternatives
	NackFault                            // a nack is lost
	ReleaseFault                         // see the Release… alternatives
	ActionFault                          // see the Action… alternatives
	ExecuteFault                         // see the Execute… alternatives
	FilesFault                           // a file cannot be kept or read
	CrashFault                           // the process of the actor dies
	ClockFault                           // see the Clock… alternatives
	kindsEnd
)

// What can happen to a commit.
const (
	CommitAborted    = 1 + iota // serialization failure: no effect
	CommitDown                  // store unavailable: no effect
	CommitUnknown               // no effect, and nobody can tell
	CommitUnanswered            // committed, and nobody can tell
	CommitRerun                 // serialization failure, and the store runs the function again
	commitFaults
)

// What can happen to an enqueueing.
const (
	EnqueueRefused    = 1 + iota // nothing got out
	EnqueueUnanswered            // everything got out, the answer is an error
	EnqueueHalf                  // half got out, the answer is an error
	EnqueueShort                 // half got out, the answer says so
	enqueueFaults
)

// What can happen to a message when its turn comes.
const (
	MessageLost = 1 + iota
	MessageTwice
	MessageDelayed
	messageFaults
)

// What can happen to an ack.
const (
	AckLost       = 1 + iota // the message comes again
	AckUnanswered            // the queue has forgotten it, the answer is an error
	ackFaults
)

// What can happen when jobs of a message are passed on.
const (
	ReleaseRefused    = 1 + iota // they stay in the message
	ReleaseUnanswered            // they got out, the answer is an error
	releaseFaults
)

// What can happen to an action of a worker, beside what its ports do.
const (
	ActionBegins   = 1 + iota // it begins half a lease late
	ActionAnswered            // its answer comes half a lease late
	ActionOutlives            // its answer comes after the lease
	actionFaults
)

// What can happen to an execution.
const (
	ExecuteError = 1 + iota
	ExecutePanic
	ExecuteHang    // until after the lease
	ExecuteNothing // an answer without results
	ExecuteSlow    // half a lease
	ExecuteFenced  // until another worker has its file
	ExecuteBreaks  // a panic when half is done
	executeFaults
)

// How the clock can jump.
const (
	ClockEarliest = 1 + iota // to when the next sleeper wakes
	ClockLease               // past a lease
	ClockMonth               // past the end of the month
	ClockBack                // back by some seconds
	ClockResend              // past the distance of redispatches
	clockFaults
)

// Alternatives is how many a kind of choice has, with the default.
var Alternatives = [sched.MaxKinds]int{
	BeginFault: 2, CommitFault: commitFaults, LockFault: 2, ReadFault: 2, RefundFault: 2,
	EnqueueFault: enqueueFaults, MessageFault: messageFaults, AckFault: ackFaults, NackFault: 2,
	ReleaseFault: releaseFaults, ActionFault: actionFaults,
	ExecuteFault: executeFaults, FilesFault: 2, CrashFault: 2, ClockFault: clockFaults,
}

var kindNames = [sched.MaxKinds]string{
	sched.Next: "next", BeginFault: "begin", CommitFault: "commit", LockFault: "lock", ReadFault: "read",
	RefundFault: "refund", EnqueueFault: "enqueue", MessageFault: "message", OrderChoice: "order",
	AckFault: "ack", NackFault: "nack", ReleaseFault: "release", ActionFault: "action", ExecuteFault: "execute", FilesFault: "files", CrashFault: "crash", ClockFault: "clock",
}

// KindName names a kind of choice, for options and reports.
func KindName(k sched.Kind) string { return kindNames[k] }

// KindNamed finds a kind of choice by its name.
func KindNamed(name string) (sched.Kind, bool) {
	for k := sched.Kind(0); k < kindsEnd; k++ {
		if kindNames[k] == name {
			return k, true
		}
	}
	return 0, false
}

// Kinds lists the kinds of choices.
func Kinds() []sched.Kind {
	list := make([]sched.Kind, 0, kindsEnd)
	for k := sched.Next; k < kindsEnd; k++ {
		list = append(list, k)
	}
	return list
}

var faultWords = [sched.MaxKinds][]string{
	BeginFault:   {"", "store unavailable"},
	CommitFault:  {"", "commit aborted", "store unavailable at the commit", "commit lost, outcome unknown", "commit done, answer lost", "serialization failure, run again"},
	LockFault:    {"", "lock not had in time"},
	ReadFault:    {"", "read failed"},
	RefundFault:  {"", "refund failed"},
	EnqueueFault: {"", "enqueue refused", "enqueued, answer lost", "half enqueued, then an error", "half enqueued, and it says so"},
	MessageFault: {"", "message lost", "message duplicated", "message delayed"},
	AckFault:     {"", "ack lost", "acked, answer lost"},
	NackFault:    {"", "nack lost"},
	ReleaseFault: {"", "not passed on", "passed on, answer lost"},
	ActionFault:  {"", "begins half a lease late", "its answer comes half a lease late", "its answer comes after the lease"},
	ExecuteFault: {"", "executor error", "executor panic", "executor hangs past the lease", "executor without results", "executor slow", "executor hangs until another worker has its file", "executor panic when half is done"},
	FilesFault:   {"", "file not available"},
	CrashFault:   {"", "process dies"},
	ClockFault:   {"", "time passes to the next wake-up", "clock jumps past a lease", "clock jumps past the end of the month", "clock jumps back", "clock jumps past a redispatch"},
}

// Words says what an alternative of a kind is.
func Words(k sched.Kind, alternative int) string {
	if k == OrderChoice {
		return "a later message first"
	}
	if words := faultWords[k]; alternative < len(words) {
		return words[alternative]
	}
	return ""
}
