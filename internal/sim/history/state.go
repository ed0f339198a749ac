package history

import (
	"slices"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// state is what the model has of one tenant. It is never changed once it is made.
type state struct {
	account model.Account // entries are not kept
	runs    []run
	answers model.Answers
	bought  []bought
	halves  []half
	text    string // all of it, to compare
	broken  bool   // by a step that the model does not allow
}

// run is a run, whose epochs are the model's own, with the request that began its
// latest attempt.
type run struct {
	model.Run
	by  int // the operation; -1 once the attempt cannot be undone any more
	key core.Key
}

func (r *run) exists() bool { return r.Status != "" }

// half is a request whose enqueueing failed and whose second half is still to come.
type half struct {
	op       int
	repeated bool // it was answered from memory
}

type bought struct {
	key    core.Key
	amount core.Credits
}

// change copies the state so that it can be changed.
func (s *state) change() *state {
	n := *s
	n.account.Months = slices.Clone(s.account.Months)
	n.runs, n.answers = slices.Clone(s.runs), slices.Clone(s.answers)
	n.bought, n.halves = slices.Clone(s.bought), slices.Clone(s.halves)
	return &n
}

// own gives a run of a changed state so that it can be changed, too.
func (s *state) own(at int) *run {
	s.runs[at].Run = s.runs[at].Clone()
	return &s.runs[at]
}

// judge makes the state impossible.
func (s *state) judge(model.Rule, string, ...any) { s.broken = true }

// begun keeps that the second half of a request is to come; sorted, as months are.
func (s *state) begun(h half) {
	at := 0
	for at < len(s.halves) && s.halves[at].op < h.op {
		at++
	}
	s.halves = slices.Insert(s.halves, at, h)
}

// done ends a change; it gives none if a step of it was not allowed.
func (s *state) done() []*state {
	if s.broken {
		return nil
	}
	b := make([]byte, 0, 256)
	number := func(n int64) { b = append(strconv.AppendInt(b, n, 36), ' ') }
	word := func(w string) { b = append(append(b, w...), ' ') }
	split := func(c core.Split) { number(int64(c.Monthly)); number(int64(c.Purchased)) }
	files := func(fs []model.File) {
		for i := range fs {
			f := &fs[i]
			word(string(f.Status))
			number(int64(f.Retries - f.Free))
			if f.Status == core.FilePending {
				word(f.Failure)
			}
		}
		word(";")
	}
	number(int64(s.account.Purchased))
	for _, m := range s.account.Months {
		if m.Left != 0 {
			number(int64(m.Period.Year)*12 + int64(m.Period.Month))
			number(int64(m.Left))
		}
	}
	for i := range s.runs {
		r := &s.runs[i]
		word("|")
		if !r.exists() {
			continue
		}
		word(string(r.Status))
		number(int64(r.Number()))
		number(int64(r.MaxRetries))
		split(r.Credits)
		files(r.Files)
		if r.Status == core.RunRunning { // else it cannot be undone
			a := r.Latest()
			number(int64(r.by))
			number(int64(a.Period.Year)*12 + int64(a.Period.Month))
			split(a.Charge)
			word(string(a.Before.Status))
			files(a.Before.Files)
			if a.Claimed {
				word("claimed")
			}
		}
	}
	word("|")
	for _, a := range s.answers {
		word(string(a.Key))
		number(int64(a.Kind))
		word(string(a.Run))
		word(string(a.Code))
		number(int64(a.Attempt))
		split(a.Credits)
	}
	word("|")
	for _, e := range s.bought {
		word(string(e.key))
		number(int64(e.amount))
	}
	word("|")
	for _, h := range s.halves {
		number(int64(h.op))
		if h.repeated {
			word("again")
		}
	}
	s.text = string(b)
	return []*state{s}
}
