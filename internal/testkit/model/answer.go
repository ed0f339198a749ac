package model

import (
	"cmp"
	"slices"

	"github.com/redrive/redrive/core"
)

// Answer is what is remembered under an idempotency key.
type Answer struct {
	Key     core.Key
	Kind    uint8     // of the request, numbered by the one who asks
	Code    core.Code // empty: success
	Run     core.RunID
	Attempt core.AttemptNumber
	Credits core.Split // of the run
}

// Repeats reports whether the same request may be answered so later. A success may be
// followed by enqueue_failed and the other way round: a repeat can come before the
// dispatch is known to have failed.
func (a *Answer) Repeats(now *Answer) bool {
	dispatched := func(c core.Code) bool { return c == "" || c == core.CodeEnqueueFailed }
	switch {
	case a.Code == "" && now.Code == "":
		return a.Run == now.Run && a.Attempt == now.Attempt
	case dispatched(a.Code) && dispatched(now.Code):
		return true
	default:
		return a.Code == now.Code
	}
}

// Answers are a tenant's, ascending by key, so that equal ones are written equally.
type Answers []Answer

func (a Answers) find(key core.Key) (int, bool) {
	return slices.BinarySearchFunc(a, key, func(of Answer, key core.Key) int { return cmp.Compare(of.Key, key) })
}

// Get finds what is remembered under a key; nil for nothing. It is valid until the
// next Put.
func (a Answers) Get(key core.Key) *Answer {
	if at, known := a.find(key); known {
		return &a[at]
	}
	return nil
}

// Put remembers an answer, unless it has no key.
func (a *Answers) Put(of Answer) {
	at, known := a.find(of.Key)
	switch {
	case of.Key == "":
	case known:
		(*a)[at] = of
	default:
		*a = slices.Insert(*a, at, of)
	}
}
