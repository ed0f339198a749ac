package history

import (
	"slices"
	"strconv"

	"github.com/redrive/redrive/core"
)

// state is what the model has of one tenant. It is never changed once it is made.
type state struct {
	purchased core.Credits
	months    []month
	runs      []run
	answers   []answer
	bought    []bought
	halves    []half
	text      string // all of it, to compare
}

type month struct {
	period core.Period
	left   core.Credits
}

type run struct {
	exists  bool
	status  core.RunStatus
	attempt core.AttemptNumber
	retries int // maxRetryCount
	credits core.Split
	files   []file
	undo    undo
}

type file struct {
	status  core.FileStatus
	charged int // Continues that found it failed
}

// undo is what it takes to undo the latest attempt.
type undo struct {
	by      int // the operation that made it
	claimed bool
	period  core.Period
	charge  core.Split
	status  core.RunStatus // before it; empty for the initiation
	files   []file
	key     core.Key
}

// answer is what is remembered under an idempotency key.
type answer struct {
	key     core.Key
	kind    Kind
	run     int
	code    core.Code
	attempt core.AttemptNumber
	credits core.Split
}

// half is a request whose enqueueing failed and whose second half is still to come.
type half struct {
	op       int
	repeated bool // it was answered from memory
}

type bought struct {
	key    core.Key
	amount core.Credits
}

// change copies the state so that it can be changed. Files are copied by who
// changes them.
func (s *state) change() *state {
	return &state{
		purchased: s.purchased, months: slices.Clone(s.months), runs: slices.Clone(s.runs),
		answers: slices.Clone(s.answers), bought: slices.Clone(s.bought), halves: slices.Clone(s.halves),
	}
}

func (s *state) left(p core.Period) core.Credits {
	for _, m := range s.months {
		if m.period == p {
			return m.left
		}
	}
	return 0
}

// add changes what is left of a month; months are kept in order, so that equal
// states are written equally.
func (s *state) add(p core.Period, c core.Credits) {
	at, found := slices.BinarySearchFunc(s.months, p, func(m month, p core.Period) int {
		switch {
		case m.period == p:
			return 0
		case m.period.Before(p):
			return -1
		default:
			return 1
		}
	})
	if !found {
		s.months = slices.Insert(s.months, at, month{period: p})
	}
	s.months[at].left += c
}

// begun keeps that the second half of a request is to come; sorted, as months are.
func (s *state) begun(h half) {
	at := 0
	for at < len(s.halves) && s.halves[at].op < h.op {
		at++
	}
	s.halves = slices.Insert(s.halves, at, h)
}

func (s *state) answer(key core.Key) *answer {
	for i := range s.answers {
		if s.answers[i].key == key {
			return &s.answers[i]
		}
	}
	return nil
}

// remember keeps an answer, if there is a key; sorted, as months are.
func (s *state) remember(a answer) {
	if a.key == "" {
		return
	}
	if known := s.answer(a.key); known != nil {
		*known = a
		return
	}
	at := 0
	for at < len(s.answers) && s.answers[at].key < a.key {
		at++
	}
	s.answers = slices.Insert(s.answers, at, a)
}

// done ends a change.
func (s *state) done() *state {
	b := make([]byte, 0, 256)
	number := func(n int64) { b = append(strconv.AppendInt(b, n, 36), ' ') }
	word := func(w string) { b = append(append(b, w...), ' ') }
	split := func(c core.Split) { number(int64(c.Monthly)); number(int64(c.Purchased)) }
	files := func(fs []file) {
		for _, f := range fs {
			word(string(f.status))
			number(int64(f.charged))
		}
		word(";")
	}
	number(int64(s.purchased))
	for _, m := range s.months {
		if m.left != 0 {
			number(int64(m.period.Year)*12 + int64(m.period.Month))
			number(int64(m.left))
		}
	}
	for i := range s.runs {
		r := &s.runs[i]
		word("|")
		if !r.exists {
			continue
		}
		word(string(r.status))
		number(int64(r.attempt))
		number(int64(r.retries))
		split(r.credits)
		files(r.files)
		if r.status == core.RunRunning { // else nobody can undo it
			u := &r.undo
			number(int64(u.by))
			number(int64(u.period.Year)*12 + int64(u.period.Month))
			split(u.charge)
			word(string(u.status))
			files(u.files)
			if u.claimed {
				word("claimed")
			}
		}
	}
	word("|")
	for _, a := range s.answers {
		word(string(a.key))
		number(int64(a.kind))
		number(int64(a.run))
		word(string(a.code))
		number(int64(a.attempt))
		split(a.credits)
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
	return s
}
