package sched

import "math/bits"

// ActorID is the place of an actor in the order in which they were added.
type ActorID uint8

// MaxActors is how many actors a scheduler can have: a Set is one word.
const MaxActors = 64

// Set is a set of actors.
type Set uint64

// Has reports whether the actor is in the set.
func (s Set) Has(a ActorID) bool { return s&(1<<a) != 0 }

// Len counts the actors.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// At gives the nth actor, ascending, n below Len.
func (s Set) At(n int) ActorID {
	for ; n > 0; n-- {
		s &= s - 1
	}
	return ActorID(bits.TrailingZeros64(uint64(s)))
}

// after gives the first actor after a, going round; s is not empty.
func (s Set) after(a ActorID) ActorID {
	if later := s >> a >> 1 << a << 1; later != 0 {
		s = later
	}
	return ActorID(bits.TrailingZeros64(uint64(s)))
}

// Kind is what a choice is about. Next is this package's own; a world adds the
// faults that it has.
type Kind uint8

const (
	// Next chooses who goes on.
	Next Kind = iota
	// MaxKinds bounds the kinds of choices.
	MaxKinds = 24
)

// Point names one choice: the nth of its kind within a step of an actor, steps
// counted per actor. For Next it is the step that would come by default.
type Point struct {
	Actor ActorID
	Kind  Kind
	Nth   uint16
	Step  uint32
}

// Deviation is a choice that was made otherwise than by default. The value of a
// Next is the actor that was chosen.
type Deviation struct {
	Point
	Value uint8
}

// Chooser makes the choices. One that always answers with the default gives the
// default schedule.
type Chooser interface {
	// Next chooses an actor of ready, which has two or more. def is the default.
	Next(p Point, ready Set, def ActorID) ActorID
	// Pick chooses one of 0..n-1, 0 being the default: no fault.
	Pick(p Point, n int) int
}

// Default chooses the default everywhere.
type Default struct{}

var _ Chooser = Default{}

// Next implements Chooser.
func (Default) Next(_ Point, _ Set, def ActorID) ActorID { return def }

// Pick implements Chooser.
func (Default) Pick(Point, int) int { return 0 }

// Replay makes the choices that were recorded, and the default elsewhere. A
// deviation that cannot be followed, because others were taken away, is passed over.
type Replay map[Point]uint8

var _ Chooser = Replay{}

// NewReplay makes a Replay of deviations.
func NewReplay(deviations []Deviation) Replay {
	r := make(Replay, len(deviations))
	for _, d := range deviations {
		r[d.Point] = d.Value
	}
	return r
}

// Next implements Chooser.
func (r Replay) Next(p Point, ready Set, def ActorID) ActorID {
	if v, ok := r[p]; ok && v < MaxActors && ready.Has(ActorID(v)) {
		return ActorID(v)
	}
	return def
}

// Pick implements Chooser.
func (r Replay) Pick(p Point, n int) int {
	if v := int(r[p]); v < n {
		return v
	}
	return 0
}
