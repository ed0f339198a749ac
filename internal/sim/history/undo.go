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
		s.done()
		if repeated {
			return []*state{s}
		}
	}
	r := &s.runs[o.run]
	mine := r.exists && r.undo.by == o.of.id
	unsure := o.Open || o.status == core.RunRunning
	var states []*state
	if unsure || o.credits == r.credits {
		states = append(states, s)
	}
	if !mine || r.status != core.RunRunning || r.undo.claimed {
		return states
	}
	n := s.change()
	next, u := &n.runs[o.run], &r.undo
	n.purchased += u.charge.Purchased
	n.add(u.period, u.charge.Monthly)
	next.credits.Monthly -= u.charge.Monthly
	next.credits.Purchased -= u.charge.Purchased
	next.files = slices.Clone(r.files)
	next.status = u.status
	if u.status == "" {
		next.status = core.RunFailed
	}
	for i := range next.files {
		f := &next.files[i]
		switch {
		case u.status == "":
			*f = file{status: core.FileFailed}
		case f.status == core.FilePending:
			*f = u.files[i]
		}
	}
	next.undo = undo{by: -1}
	if !unsure && (o.credits != next.credits || o.status != next.status) {
		return states
	}
	if a := n.answer(u.key); a != nil {
		a.code, a.attempt, a.credits = core.CodeEnqueueFailed, next.attempt, next.credits
	}
	return distinct(append(states, n.done()))
}
