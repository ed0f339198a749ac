package history

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// undone is what followed a failed enqueueing: the attempt was undone, or not,
// because it was under way or the run was closed meanwhile, or because that
// failed, too. The answer's credits tell.
func (s *state) undone(o *Op) []*state {
	if !o.of.Open {
		at := slices.IndexFunc(s.halves, func(h half) bool { return h.op == o.of.id })
		if at < 0 {
			return nil // the first half comes first
		}
		repeated := s.halves[at].repeated
		s = s.change()
		s.halves = slices.Delete(s.halves, at, at+1)
		s = s.done()[0]
		if repeated {
			return []*state{s}
		}
	}
	r := &s.runs[o.place]
	unsure := o.Open || o.status == core.RunRunning
	var states []*state
	if unsure || o.credits == r.Credits {
		states = append(states, s)
	}
	if r.Status != core.RunRunning || r.by != o.of.id || r.Latest().Claimed {
		return states
	}
	n := s.change()
	next := n.own(o.place)
	n.account.Add(next.Undo(n.judge, r.Epoch+1))
	next.by = -1
	if !unsure && (o.credits != next.Credits || o.status != next.Status) {
		return states
	}
	if a := n.answers.Get(r.key); a != nil {
		a.Code, a.Attempt, a.Credits = core.CodeEnqueueFailed, next.Number(), next.Credits
	}
	return distinct(append(states, n.done()...))
}
