package oracle

import (
	"math/bits"

	"github.com/redrive/redrive/core"
)

// Actors is a set of actors, by their numbers.
type Actors uint64

func (s Actors) has(actor uint8) bool { return s&(1<<actor) != 0 }

// only gives the one actor of a set that has one.
func (s Actors) only() (actor uint8, ok bool) {
	return uint8(bits.TrailingZeros64(uint64(s))), bits.OnesCount64(uint64(s)) == 1
}

// A commit may be of several requests, whose actors waited while one of them was at
// work. Whose an attempt is follows from what each asked for; where several asked for
// the same, from what they are answered: in the end one of them has to own it.

// attributed finds out whose an attempt can be, which a commit begins; none if that is
// not known.
func (o *Oracle) attributed(c *Commit, r *run, initiated bool) (by Actors) {
	if c.Together == 0 || c.Use != UseInitiate && c.Use != UseContinue {
		return 0
	}
	for actor := range uint8(maxActors) {
		q := &o.requests[actor]
		if !c.Together.has(actor) || !q.open || q.Tenant != r.row.Tenant {
			continue
		}
		switch {
		case initiated && q.Use == UseInitiate && q.Template == r.row.Template && q.Files == len(r.files),
			!initiated && q.Use == UseContinue && q.Run == r.row.ID:
			by |= 1 << actor
		}
	}
	if by == 0 {
		o.fail(OneAttempt, "an attempt of run %s was begun, which none of those asked for that it was decided with", r.row.ID)
	}
	if actor, ok := by.only(); ok {
		o.effects[actor]++
		if o.requests[actor].begun++; o.requests[actor].begun > 1 {
			o.fail(OneAttempt, "one request began %d attempts", o.requests[actor].begun)
		}
	}
	return by
}

// refused takes a refused actor from those whose attempts can be.
func (o *Oracle) refused(actor uint8, code core.Code) {
	for _, r := range o.runs {
		for n := range r.known {
			at := &r.known[n]
			if !at.by.has(actor) {
				continue
			}
			if at.by &^= 1 << actor; at.by == 0 {
				o.fail(Refusal, "%s was answered, but attempt %d of run %s was begun, which is no one else's", code, n, r.row.ID)
			}
		}
	}
}

// owned says that an actor was answered with an attempt. Others that can be its own are
// not, since a request begins one at most.
func (o *Oracle) owned(a *Answer) {
	for _, r := range o.runs {
		for n := range r.known {
			at := &r.known[n]
			mine := r.row.ID == a.Run.ID && n == int(a.Run.Attempt)
			switch {
			case mine && at.by != 0 && !at.by.has(a.Actor) && a.Key == "":
				o.fail(Idempotency, "a request was answered with attempt %d of run %s, which another one began", n, r.row.ID)
			case mine && at.by.has(a.Actor):
				at.by = 0
			case at.by.has(a.Actor):
				if at.by &^= 1 << a.Actor; at.by == 0 {
					o.fail(OneAttempt, "attempt %d of run %s was begun, and its request was answered with attempt %d of run %s", n, r.row.ID, a.Run.Attempt, a.Run.ID)
				}
			}
		}
	}
}

// failed checks that an error which leaves nothing open was not answered to a request
// that began an attempt.
func (o *Oracle) failed(a *Answer) {
	for _, r := range o.runs {
		for n := range r.known {
			if actor, ok := r.known[n].by.only(); ok && actor == a.Actor {
				o.fail(Refusal, "an error was answered after which nothing is said to have happened, but attempt %d of run %s was begun: %v", n, r.row.ID, a.Err)
			}
		}
	}
}

// forgotten says that it will never be known whether an actor's attempts are its own.
func (o *Oracle) forgotten(actor uint8) {
	for _, r := range o.runs {
		for n := range r.known {
			if at := &r.known[n]; at.by.has(actor) {
				at.by = 0
			}
		}
	}
}
