// Package trace records what happened in a simulated world. Its hash is always
// kept; the events themselves only when somebody will read them.
package trace

import (
	"time"

	"github.com/redrive/redrive/core"
)

// Kind is what an event is.
type Kind uint8

// The kinds of events.
const (
	Call     Kind = iota // an actor is about to call a port
	Commit               // a transaction was committed
	Rollback             // a transaction was rolled back
	Fault                // a fault was injected
	Send                 // a message got into the queue
	Deliver              // a message was handed to a worker
	Ask                  // a user asks the service for something
	Answer               // and is answered
	Crash                // a process died
	Restart              // and came back
	Time                 // the clock was moved
	Phase                // faults stop, or the world ends
	Broken               // an invariant does not hold
)

var kindNames = [...]string{
	"call", "commit", "rollback", "fault", "send", "deliver", "ask", "answer", "crash", "restart", "time", "phase", "violation",
}

// String names the kind.
func (k Kind) String() string { return kindNames[k] }

// NoActor stands for events that no actor caused.
const NoActor = 0xff

// Fact is one thing that happened. Equal worlds with equal choices have equal
// facts, byte for byte.
type Fact struct {
	Step   int // of the world
	At     time.Time
	Actor  uint8
	Kind   Kind
	Op     Op // the call, for Call
	Tenant core.TenantID
	Run    core.RunID
	N      int64 // the case's number: message, fault alternative, the process asked …
}

// Event is a fact with what readers want to know of it, which follows from the
// facts before.
type Event struct {
	Fact
	Text  string // in words
	Job   string // of a message: which job in which epoch
	State *State // after a commit
}

// State is what was committed and what the model says, for reports.
type State struct {
	Tenants []TenantState `json:"tenants"`
	Runs    []RunState    `json:"runs"`
}

// TenantState is a tenant's credits.
type TenantState struct {
	Tenant    core.TenantID           `json:"tenant"`
	Monthly   map[string]core.Credits `json:"monthly"` // by period
	Purchased core.Credits            `json:"purchased"`
}

// RunState is one run, as it is committed and as the model has it.
type RunState struct {
	Run    core.RunID    `json:"run"`
	Tenant core.TenantID `json:"tenant"`
	Actual RunFacts      `json:"actual"`
	Model  RunFacts      `json:"model"`
}

// RunFacts are what both sides say of a run.
type RunFacts struct {
	Status        core.RunStatus `json:"status"`
	Attempt       int            `json:"attempt"`
	AttemptJobs   int            `json:"attemptJobs"`
	CompletedJobs int            `json:"completedJobs"`
	FailedJobs    int            `json:"failedJobs"`
	Credits       core.Credits   `json:"credits"`
	Files         []string       `json:"files"` // status, retryAttempt and epoch of each
}

// Tape takes the facts.
type Tape struct {
	hash      uint64
	Recording bool
	Events    []Event
}

// Reset begins a new tape.
func (t *Tape) Reset(recording bool) {
	t.hash, t.Recording, t.Events = 14695981039346656037, recording, nil
}

// Hash is that of all facts so far.
func (t *Tape) Hash() uint64 { return t.hash }

// Add takes a fact. It is small enough not to escape: this is the innermost loop.
func (t *Tape) Add(f *Fact) {
	h := t.hash
	h = mix(h, uint64(f.Step)<<24|uint64(f.Actor)<<16|uint64(f.Kind)<<8|uint64(f.Op))
	h = mix(h, uint64(f.At.UnixNano()))
	h = mix(h, uint64(f.N))
	h = mixString(h, string(f.Tenant))
	h = mixString(h, string(f.Run))
	t.hash = h
}

func mix(h, v uint64) uint64 {
	h ^= v
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func mixString(h uint64, s string) uint64 {
	h ^= uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h, uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|
			uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56)
	}
	rest := uint64(0)
	for i := range len(s) {
		rest = rest<<8 | uint64(s[i])
	}
	return mix(h, rest)
}
