package sched

import (
	"context"
	"time"
)

// Scheduler runs its actors one step at a time. It is used by one goroutine and
// can be reset, which keeps its coroutines.
type Scheduler struct {
	actors  []*Actor
	count   int // of actors that are in use
	ready   Set
	asleep  Set
	current *Actor
	last    ActorID
	chooser Chooser
	quiet   *[MaxKinds]int32 // the chooser's, if it says in advance; see quiet

	Now   time.Time
	Steps int
	// GoesOn is asked when an actor yields, in place of returning to the scheduler's
	// owner: whether the next step is this actor's again, which spares two switches.
	// If not, the owner has been told what is next when Step returns. nil: never.
	GoesOn     func(ActorID) bool
	decided    bool // GoesOn was asked, and the step has ended with that
	deviations []Deviation
	deviatedAt []int
	nth        [MaxKinds]uint16
}

// New makes a scheduler without actors.
func New() *Scheduler { return &Scheduler{} }

// Reset forgets what the actors did and begins anew at a time. All actors must
// be idle, see Settle.
func (s *Scheduler) Reset(c Chooser, now time.Time) {
	for _, a := range s.actors[:s.count] {
		a.steps, a.asked, a.panicked = 0, 0, nil
	}
	s.count, s.ready, s.asleep, s.current, s.last = 0, 0, 0, nil, 0
	s.SetChooser(c)
	s.Now, s.Steps, s.deviations, s.deviatedAt = now, 0, s.deviations[:0], s.deviatedAt[:0]
}

// Close ends all coroutines; without it they leak.
func (s *Scheduler) Close() {
	s.KillAll()
	for _, a := range s.actors {
		a.stop()
	}
	s.actors, s.count = nil, 0
}

// SetChooser lets another chooser go on, for example when faults stop, and gives
// the one before.
func (s *Scheduler) SetChooser(c Chooser) (before Chooser) {
	before, s.chooser, s.quiet = s.chooser, c, nil
	if q, ok := c.(quiet); ok {
		s.quiet = q.quiet()
	}
	return before
}

// quiet is a Chooser that knows how many picks of each kind will be the default
// from now on. Nearly all are, so they are not worth asking for one by one.
type quiet interface {
	quiet() *[MaxKinds]int32
}

// Deviations are the choices made otherwise than by default since Reset, in
// order. The slice is reused.
func (s *Scheduler) Deviations() []Deviation { return s.deviations }

// DeviatedAt gives the world's step at which each deviation showed. The slice is
// reused.
func (s *Scheduler) DeviatedAt() []int { return s.deviatedAt }

func (s *Scheduler) deviate(p Point, value uint8, step int) {
	s.deviations = append(s.deviations, Deviation{p, value})
	s.deviatedAt = append(s.deviatedAt, step)
}

// Add gives the next actor, idle.
func (s *Scheduler) Add() ActorID {
	if s.count == len(s.actors) {
		if s.count == MaxActors {
			panic("sched: too many actors")
		}
		a := &Actor{id: ActorID(s.count)}
		a.start()
		s.actors = append(s.actors, a)
	}
	s.count++
	return ActorID(s.count - 1)
}

// Go gives an idle actor something to do.
func (s *Scheduler) Go(id ActorID, body func()) {
	a := s.actors[id]
	if a.state != idle {
		panic("sched: the actor is not idle")
	}
	a.body = body
	s.setReady(a)
}

// Idle reports whether the actor has nothing to do.
func (s *Scheduler) Idle(id ActorID) bool { return s.actors[id].state == idle }

// Panicked gives what the actor's own code panicked with, or nil.
func (s *Scheduler) Panicked(id ActorID) *Panic { return s.actors[id].panicked }

// Ready are the actors that can go on now.
func (s *Scheduler) Ready() Set { return s.ready }

// Asleep are the actors that wait for a time.
func (s *Scheduler) Asleep() Set { return s.asleep }

// Current is the actor that runs.
func (s *Scheduler) Current() ActorID { return s.current.id }

// Running reports whether an actor runs, rather than the scheduler's owner.
func (s *Scheduler) Running() bool { return s.current != nil }

// StepOf counts the steps that an actor has taken.
func (s *Scheduler) StepOf(id ActorID) uint32 { return s.actors[id].steps }

func (s *Scheduler) setReady(a *Actor) {
	a.state = ready
	s.ready |= 1 << a.id
	s.asleep &^= 1 << a.id
}

func (s *Scheduler) setWaiting(a *Actor, why state) {
	a.state = why
	s.ready &^= 1 << a.id
	if why == sleeping {
		s.asleep |= 1 << a.id
	}
}

// Yield ends a step: others may go on before the actor does. It is called by
// the actor that runs, holding no mutex: whoever wants it next would hang.
func (s *Scheduler) Yield() {
	a := s.current
	if s.GoesOn == nil || a.dead {
		a.pause()
		return
	}
	s.ended(a)
	s.current = nil
	goesOn := s.GoesOn(a.id)
	s.current = a
	if goesOn {
		s.Steps++
		return
	}
	s.decided = true
	a.pause()
}

func (s *Scheduler) ended(a *Actor) {
	a.steps++
	a.asked = 0
}

// Block waits until Wake.
func (s *Scheduler) Block() {
	if !s.TryBlock() {
		panic(killed{})
	}
}

// TryBlock is Block for those who return by themselves when they are killed, which
// is cheaper than to unwind them: alive is false then.
func (s *Scheduler) TryBlock() (alive bool) {
	s.Alive()
	a := s.current
	s.setWaiting(a, blocked)
	return a.tryPause()
}

// Sleep waits until a time.
func (s *Scheduler) Sleep(until time.Time) {
	if !s.TrySleep(until) {
		panic(killed{})
	}
}

// TrySleep is to Sleep what TryBlock is to Block.
func (s *Scheduler) TrySleep(until time.Time) (alive bool) {
	s.Alive()
	a := s.current
	if !until.After(s.Now) {
		s.Yield()
		return true
	}
	a.wake = until
	s.setWaiting(a, sleeping)
	return a.tryPause()
}

// WakeAt lets an actor that waits go on at a time, and not at the one that it waits for.
// It takes no step for that.
func (s *Scheduler) WakeAt(id ActorID, at time.Time) {
	a := s.actors[id]
	if a.state != blocked && a.state != sleeping {
		return
	}
	if !at.After(s.Now) {
		s.setReady(a)
		return
	}
	a.wake = at
	s.setWaiting(a, sleeping)
}

// Wake lets an actor that waits go on.
func (s *Scheduler) Wake(id ActorID) {
	if a := s.actors[id]; a.state == blocked || a.state == sleeping {
		s.setReady(a)
	}
}

// Alive panics if the running actor was killed, so that what it does on its way
// out has no effect.
func (s *Scheduler) Alive() {
	if s.current != nil && s.current.dead {
		panic(killed{})
	}
}

// Dead reports whether the running actor was killed: for those who return by themselves.
func (s *Scheduler) Dead() bool { return s.current.dead }

// LockWait makes a wait for a lock: its shape is that of memory.NewWait. When the
// actor is killed, wait fails instead of panicking, so that the store can take it
// out of its line. An actor waits for one lock at a time, and a store wakes nobody
// who has given up, so each has one pair of functions for all its waits.
func (s *Scheduler) LockWait() (wait func(ctx context.Context) error, wake func()) {
	a := s.current
	if a == nil {
		panic("sched: a lock is waited for outside any actor")
	}
	a.woken = false
	if a.lockWait == nil {
		a.lockWait = func(context.Context) error {
			for !a.woken {
				s.setWaiting(a, blocked)
				if !a.yield(struct{}{}) {
					a.dead = true
				}
				if a.dead {
					return errKilled
				}
			}
			return nil
		}
		a.lockWake = func() {
			a.woken = true
			s.Wake(a.id)
		}
	}
	return a.lockWait, a.lockWake
}

// Kill ends an actor where it is. Its memory is gone; what it holds at a store is
// given up as its stack unwinds. An actor cannot kill itself: see Step.
func (s *Scheduler) Kill(id ActorID) {
	a := s.actors[id]
	if a.state == idle {
		return
	}
	a.dead = true
	a.steps++ // or the choice to kill it would be made again for its next life
	a.asked = 0
	s.setReady(a)
	s.enter(a)
	if a.state != idle {
		panic("sched: a killed actor went on")
	}
}

// KillAll ends every actor.
func (s *Scheduler) KillAll() {
	for id := range s.count {
		s.Kill(ActorID(id))
	}
}

// enter lets an actor run until it pauses.
func (s *Scheduler) enter(a *Actor) {
	s.current = a
	a.resume()
	s.current = nil
	if a.state == idle {
		s.ready &^= 1 << a.id
		s.asleep &^= 1 << a.id
	}
}

// Choose picks the actor of the next step. If nobody is ready, time passes until
// the first sleeper wakes. ok is false if there is nobody who could ever go on.
func (s *Scheduler) Choose() (id ActorID, ok bool) {
	if s.ready == 0 && !s.WakeEarliest() {
		return 0, false
	}
	def := s.last
	if !s.ready.Has(def) {
		def = s.ready.after(def)
	}
	if s.ready&(s.ready-1) == 0 {
		return def, true
	}
	a := s.actors[def]
	p := Point{Actor: def, Step: a.steps, Kind: Next, Nth: a.asked}
	chosen := s.chooser.Next(p, s.ready, def)
	a.asked++
	if chosen != def {
		s.deviate(p, uint8(chosen), s.Steps+1)
	}
	return chosen, true
}

// Begin makes an actor the one that choices are about, before Step.
func (s *Scheduler) Begin(id ActorID) {
	s.nth = [MaxKinds]uint16{}
	s.last = id
}

// Step lets the actor take a step, or as many as GoesOn says.
func (s *Scheduler) Step(id ActorID) {
	a := s.actors[id]
	s.Steps++
	s.enter(a)
	if !s.decided {
		s.ended(a)
	}
	s.decided = false
}

// Pick makes a choice of a kind within the current step.
func (s *Scheduler) Pick(k Kind, n int) int {
	if s.quiet != nil && s.quiet[k] > 0 {
		if s.quiet[k] != never {
			s.quiet[k]--
		}
		s.nth[k]++
		return 0
	}
	a := s.actors[s.last]
	p := Point{Actor: a.id, Step: a.steps, Kind: k, Nth: s.nth[k]}
	s.nth[k]++
	v := s.chooser.Pick(p, n)
	if v != 0 {
		s.deviate(p, uint8(v), s.Steps)
	}
	return v
}

// WakeEarliest lets time pass until the first sleeper wakes; false if nobody sleeps.
func (s *Scheduler) WakeEarliest() bool {
	var first *Actor
	for rest := s.asleep; rest != 0; rest &= rest - 1 {
		if a := s.actors[rest.At(0)]; first == nil || a.wake.Before(first.wake) {
			first = a
		}
	}
	if first == nil {
		return false
	}
	s.PassTo(first.wake)
	return true
}

// WakeAll lets everybody look again at what they wait for. Who waits for a lock
// goes on waiting.
func (s *Scheduler) WakeAll() {
	for id := range s.count {
		s.Wake(ActorID(id))
	}
}

// PassTo moves the clock and wakes whoever slept until then. A time in the past
// moves the clock back and wakes nobody.
func (s *Scheduler) PassTo(t time.Time) {
	s.Now = t
	for rest := s.asleep; rest != 0; rest &= rest - 1 {
		if a := s.actors[rest.At(0)]; !a.wake.After(t) {
			s.setReady(a)
		}
	}
}
