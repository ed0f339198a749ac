package faults

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
)

// Env is what the wrapped ports of one world share.
type Env struct {
	Sched  *sched.Scheduler
	Tape   *trace.Tape
	Oracle *oracle.Oracle

	// Faults says whether faults may happen; not while a world is set up and not
	// once it heals.
	Faults bool
	// Over makes everybody who waits return: the world ends.
	Over bool
	// Lease is the recovery policy's, for what is to take longer than it.
	Lease time.Duration
	// Unlucky is a tenant whose rows cannot be read by the refill; empty for none.
	Unlucky core.TenantID

	committing *tx // whose commit the inner store carries out now

	actors [sched.MaxActors]actorState
	turns  sched.Set // actors that wait for their turn, see Turn
	hung   sched.Set // actors that execute until another worker gets their file
	txs    []*tx     // of this world and of earlier ones, to be used again
	spare  []*tx     // of them, those that are free
}

// actorState is what the ports know of an actor.
type actorState struct {
	use       oracle.Use
	inTx      bool
	committed bool // something was committed, and its follow-up is not done yet
	undone    bool // the queue did not take everything
	atomic    int  // above 0: inside a snapshot, which cannot be interrupted
	seenMin   time.Time
	seenMax   time.Time
	ids       int
	failed    bool // something that it called was made to fail
	erred     bool // the store gave it an error
	executes  core.Job
	sent      []core.Job // by the transaction that it committed last in its use case
	fresh     bool       // its step has begun with nothing done yet
}

// Reset begins a new world.
func (e *Env) Reset() {
	e.Faults, e.Over, e.hung, e.turns, e.committing = false, false, 0, 0, nil
	e.actors = [sched.MaxActors]actorState{}
	e.spare = append(e.spare[:0], e.txs...) // also of actors that died within one
}

// Enter says which use case the running actor is in.
func (e *Env) Enter(use oracle.Use) {
	if a := e.actor(); a != nil {
		a.use, a.committed, a.undone, a.failed, a.erred = use, false, false, false, false
		a.sent = a.sent[:0]
	}
}

// Entered reports whether an actor is in a use case, or was in it last.
func (e *Env) Entered(id sched.ActorID, use oracle.Use) bool { return e.actors[id].use == use }

// Fresh says that the running actor was chosen to begin with what it calls next, so that
// the call is no step of its own.
func (e *Env) Fresh() { e.actor().fresh = true }

// EnqueueFailed reports whether the queue did not take everything that the use case
// of an actor enqueued.
func (e *Env) EnqueueFailed(id sched.ActorID) bool { return e.actors[id].undone }

// Died forgets what the ports knew of an actor whose process died, and says where
// it was.
func (e *Env) Died(id sched.ActorID) (inTx, committed bool) {
	a := &e.actors[id]
	inTx, committed = a.inTx, a.committed
	e.hung, e.turns = e.hung&^(1<<id), e.turns&^(1<<id)
	a.use, a.inTx, a.committed, a.undone, a.atomic = oracle.UseOther, false, false, false, 0
	return inTx, committed
}

// hang lets the running actor execute a job until another worker has a file of it.
func (e *Env) hang(job core.Job, most time.Time) {
	me := e.Sched.Current()
	e.actors[me].executes = job
	e.hung |= 1 << me
	e.Sched.Sleep(most)
	e.hung &^= 1 << me
}

// Taken lets actors go on that have executed until another worker got their file: all
// then do their next steps side by side.
func (e *Env) Taken(run core.RunID, file int) {
	for rest := e.hung; rest != 0; rest &= rest - 1 {
		id := rest.At(0)
		if job := &e.actors[id].executes; job.Run == run && slices.Contains(job.Files, file) {
			e.Sched.Wake(id)
		}
	}
}

// actor is the state of the actor that runs, or nil while a world is set up.
func (e *Env) actor() *actorState {
	if !e.Sched.Running() {
		return nil
	}
	return &e.actors[e.Sched.Current()]
}

// step yields before a call, unless the caller cannot be interrupted.
func (e *Env) step(op trace.Op, tenant core.TenantID, run core.RunID) {
	a := e.actor()
	if a == nil {
		return
	}
	e.Sched.Alive()
	if a.atomic > 0 {
		return
	}
	if a.fresh {
		a.fresh = false
	} else {
		e.Sched.Yield()
	}
	e.event(trace.Call, op, tenant, run, 0)
}

// event records what the running actor does.
func (e *Env) event(kind trace.Kind, op trace.Op, tenant core.TenantID, run core.RunID, n int64) {
	actor := uint8(trace.NoActor)
	if e.Sched.Running() {
		actor = uint8(e.Sched.Current())
	}
	e.record(trace.Fact{Actor: actor, Kind: kind, Op: op, Tenant: tenant, Run: run, N: n}, "")
}

// Event records something that the world does.
func (e *Env) Event(kind trace.Kind, actor uint8, tenant core.TenantID, run core.RunID, n int64, text string) {
	e.record(trace.Fact{Actor: actor, Kind: kind, Tenant: tenant, Run: run, N: n}, text)
}

func (e *Env) record(f trace.Fact, text string) {
	f.Step, f.At = e.Sched.Steps, e.Sched.Now
	e.Tape.Add(&f)
	if e.Tape.Recording {
		e.Tape.Events = append(e.Tape.Events, trace.Event{Fact: f, Text: text})
	}
}

// say gives the last event its words, for readers.
func (e *Env) say(text string) {
	if n := len(e.Tape.Events); n > 0 && e.Tape.Recording {
		e.Tape.Events[n-1].Text = text
	}
}

// carry says which job the last event's message is about, for readers, who want
// to see where a message that was sent is delivered.
func (e *Env) carry(job *core.Job) {
	if n := len(e.Tape.Events); n > 0 && e.Tape.Recording {
		e.Tape.Events[n-1].Job = string(job.ID) + "@" + strconv.Itoa(int(job.Epoch))
	}
}

// fault asks whether a fault of a kind happens now.
func (e *Env) fault(k sched.Kind, run core.RunID) int {
	if !e.Faults || e.actor() == nil {
		return 0
	}
	v := e.Sched.Pick(k, Alternatives[k])
	if v != 0 {
		e.faulted(k, v, run)
		e.actor().failed = true
		for rest := e.together(); rest != 0; rest &= rest - 1 {
			e.actors[rest.At(0)].failed = true
		}
	}
	return v
}

func (e *Env) faulted(k sched.Kind, v int, run core.RunID) {
	e.event(trace.Fault, trace.NoOp, "", run, int64(k)<<8|int64(v))
	if e.Tape.Recording {
		e.say(Words(k, v))
	}
	if onlyRecoveryHeals(k, v) {
		e.Oracle.NeedsRecovery = true
	}
}

// Failed reports whether something was made to fail that the running actor called
// since it entered its use case.
func (e *Env) Failed() bool { return e.actor().failed }

// Erred reports whether the store has given the running actor an error since it entered
// its use case. Refusals of the use case itself are none.
func (e *Env) Erred() bool { return e.actor().erred }

// unlucky reports whether the running actor is a refill that cannot read a tenant.
func (e *Env) unlucky(tenant core.TenantID) bool {
	if e.Unlucky == "" || e.Unlucky != tenant {
		return false
	}
	a := e.actor()
	if a == nil || a.use != oracle.UseRefill {
		return false
	}
	a.failed = true
	e.Oracle.Met(oracle.RefillFailed)
	return true
}

// erred takes down that the store gives the running actor an error.
func (e *Env) erred(err error) error {
	if a := e.actor(); a != nil && err != nil {
		if _, refused := errors.AsType[*core.Error](err); !refused {
			a.erred = true
		}
	}
	return err
}

// Seen is what the running actor's clock said in the transaction that it was last in.
func (e *Env) Seen() (least, most time.Time) {
	a := e.actor()
	return a.seenMin, a.seenMax
}

// onlyRecoveryHeals reports whether a fault can leave a run open that nobody but
// recovery will ever close.
func onlyRecoveryHeals(k sched.Kind, v int) bool {
	switch k {
	case sched.Next, OrderChoice, AckFault, NackFault, ReleaseFault, ClockFault, ReadFault, FilesFault, ExecuteFault:
		return false
	case MessageFault:
		return v == MessageLost
	default:
		return true
	}
}

// Choose asks for a fault that the world itself makes, before a step.
func (e *Env) Choose(k sched.Kind) int {
	if !e.Faults {
		return 0
	}
	return e.Sched.Pick(k, Alternatives[k])
}

// Chosen records a fault that the world itself made.
func (e *Env) Chosen(k sched.Kind, v int) { e.faulted(k, v, "") }

// outsideTx checks that no transaction waits for a network, a queue or an executor.
func (e *Env) outsideTx(op trace.Op) {
	if a := e.actor(); a != nil && a.inTx {
		e.Oracle.Fail(oracle.NoCallInTx, "%s was called inside a transaction, whose locks everybody else waits for", op)
	}
}

// now is the clock as the running actor sees it.
func (e *Env) now(ahead time.Duration) time.Time {
	t := e.Sched.Now.Add(ahead)
	if a := e.actor(); a != nil {
		a.saw(t)
		for rest := e.together(); rest != 0; rest &= rest - 1 {
			e.actors[rest.At(0)].saw(t)
		}
	}
	return t
}

// saw takes down what a clock said.
func (a *actorState) saw(t time.Time) {
	if a.seenMin.IsZero() || t.Before(a.seenMin) {
		a.seenMin = t
	}
	if t.After(a.seenMax) {
		a.seenMax = t
	}
}

// names are the IDs that an actor gives: they do not depend on what others did.
var names [sched.MaxActors][64]string

func init() {
	for a := range names {
		for n := range names[a] {
			names[a][n] = idOf(a, n)
		}
	}
}

func idOf(actor, n int) string { return "id-" + strconv.Itoa(actor) + "-" + strconv.Itoa(n+1) }

// IDs gives each actor IDs of its own.
type IDs struct{ Env *Env }

// NewID implements ports.IDs.
func (i IDs) NewID() string {
	a := i.Env.actor()
	if a == nil {
		panic("faults: an ID was asked for outside any actor")
	}
	n := a.ids
	a.ids++
	if n < len(names[0]) {
		return names[i.Env.Sched.Current()][n]
	}
	return idOf(int(i.Env.Sched.Current()), n)
}
