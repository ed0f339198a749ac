package scheduler

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// script decides how things go.
type script interface {
	// choose gives a number below n.
	choose(what string, n int) int
}

// well is a script in which everything goes well.
type well struct{}

func (well) choose(string, int) int { return 0 }

// drawn is a script of a property.
type drawn struct{ t *rapid.T }

func (d drawn) choose(what string, n int) int { return rapid.IntRange(0, n-1).Draw(d.t, what) }

// give answers what was asked at that place.
func (w *world) give(i int, how script) {
	a := w.asked[i]
	w.asked = slices.Delete(w.asked, i, i+1)
	switch a := a.(type) {
	case CancelReceive:
		if w.receive != nil {
			w.deliver(how, true)
		}
	case Claim:
		w.happen(w.claim(a, how))
	case Settle:
		w.happen(w.settle(a, how))
	case HandBack:
		e := HandedBack{Group: a.Group, Fault: w.fault(how)}
		if e.Fault == FaultNone {
			for _, j := range a.Jobs {
				if r := w.store[j.ID]; r.status == leased {
					r.status = pending
					w.enqueue(j.Job)
				}
			}
		}
		w.happen(e)
	case Renew:
		e := Renewed{Group: a.Group, Fault: w.fault(how)}
		for _, j := range a.Jobs {
			if r := w.store[j.ID]; e.Fault == FaultNone && (r.status != leased || r.over) {
				e.Lost = append(e.Lost, j)
			} else if !a.Wait && e.Fault == FaultNone && how.choose("held", 6) == 5 {
				e.Held = append(e.Held, j)
			}
		}
		w.happen(e)
	case Look:
		e := Looked{Group: a.Group}
		for _, j := range a.Jobs {
			if r := w.store[j.ID]; r.status != leased || r.over {
				e.Lost = append(e.Lost, j)
			}
		}
		w.happen(e)
	case Answer:
		w.tell(a, how)
	case Interrupt:
		w.happen(Interrupted{Interruption: a.Interruption, Closed: how.choose("closed", 2)})
	}
}

func (w *world) fault(how script) Fault {
	return [...]Fault{FaultNone, FaultNone, FaultNone, FaultNone, FaultNone, FaultNone, FaultOfOne, FaultOfStore, FaultRefused}[how.choose("fault", 9)]
}

func (w *world) claim(a Claim, how script) ClaimAnswered {
	e := ClaimAnswered{Group: a.Group, Fault: w.fault(how)}
	if e.Fault != FaultNone && how.choose("made", 3) == 0 {
		return e
	}
	held := map[core.RunID]bool{}
	for _, j := range a.Jobs {
		if _, known := held[j.Run]; !known {
			held[j.Run] = !a.Wait && e.Fault == FaultNone && how.choose("held", 6) == 5
		}
		r := w.store[j.ID]
		switch {
		case held[j.Run]:
			e.Outcomes = append(e.Outcomes, OutcomeHeld)
			continue
		case r.status == pending && !r.over && j.Epoch == r.job.Epoch:
			r.status = leased
			e.Outcomes = append(e.Outcomes, OutcomeClaimed)
		default:
			e.Outcomes = append(e.Outcomes, OutcomeDropped)
		}
		r.answered = r.answered || e.Fault == FaultNone
	}
	if e.Fault != FaultNone { // it was made, and the answer is lost
		e.Outcomes = nil
	}
	return e
}

func (w *world) settle(a Settle, how script) SettleAnswered {
	e := SettleAnswered{Group: a.Group, Fault: w.fault(how)}
	if e.Fault != FaultNone {
		return e
	}
	held := map[core.RunID]bool{}
	e.Held = make([]bool, len(a.Settlements))
	for i, one := range a.Settlements {
		run := one.Job.Run
		if _, known := held[run]; !known {
			held[run] = !a.Wait && how.choose("held", 6) == 5
		}
		if e.Held[i] = held[run]; e.Held[i] {
			continue
		}
		r := w.store[one.Job.ID]
		if one.Piece > 0 {
			r.left -= one.Piece
			if r.left < 1 {
				w.fail("nothing of %s is left for its last settlement", one.Job.ID)
			}
			continue
		}
		if r.status == leased {
			r.status = settled
		}
	}
	return e
}

// tell lets the queue do what it is told.
func (w *world) tell(a Answer, how script) {
	m := w.messages[a.Message]
	failed := how.choose("told", 8) == 7
	out := how.choose("out", 2) == 0 || !failed
	m.telling = false
	switch a.Reply {
	case Release:
		if out {
			w.queue = append(w.queue, parcel{jobs: a.Jobs, from: w.now})
		}
		if !failed {
			m.jobs = slices.DeleteFunc(slices.Clone(m.jobs), func(j core.Job) bool {
				return slices.ContainsFunc(a.Jobs, func(o core.Job) bool { return o.ID == j.ID })
			})
		}
	case Nack:
		w.queue = append(w.queue, parcel{jobs: m.jobs, from: w.now.Add(time.Second)})
		delete(w.messages, a.Message)
	case Ack:
		if failed && len(m.jobs) > 0 { // it comes again
			w.queue = append(w.queue, parcel{jobs: m.jobs, from: w.now})
		}
		delete(w.messages, a.Message)
	}
	w.happen(Answered{Message: a.Message, Failed: failed})
}

// deliver answers the Receive with what is there, or without.
func (w *world) deliver(how script, cancelled bool) {
	limit, skip := w.receive.Limit, w.receive.Skip
	w.receive = nil
	e := Received{Failed: !cancelled && how.choose("receive", 10) == 9}
	blind := how.choose("blind", 4) == 3
	var left []parcel
	for _, p := range w.queue {
		if e.Failed || limit <= 0 || p.from.After(w.now) || !blind && skip.Skips(p.jobs[0]) {
			left = append(left, p)
			continue
		}
		limit -= len(p.jobs)
		w.last++
		w.messages[w.last] = &inHand{jobs: p.jobs}
		e.Messages = append(e.Messages, Message{ID: w.last, Jobs: slices.Clone(p.jobs)})
		if how.choose("twice", 10) == 9 {
			left = append(left, p)
		}
	}
	w.queue = left
	w.asked = slices.DeleteFunc(w.asked, func(a Action) bool { _, is := a.(CancelReceive); return is })
	w.happen(e)
}

// deliverable reports whether the queue has something for the Receive.
func (w *world) deliverable() bool {
	return w.receive != nil && slices.ContainsFunc(w.queue, func(p parcel) bool {
		return !p.from.After(w.now) && !w.receive.Skip.Skips(p.jobs[0])
	})
}

var verdicts = []Verdict{answered, answered, answered, nothing, timeout, wrongKey, shape}

// goOn lets an execution report a result, or end.
func (w *world) goOn(i int, how script) {
	r := w.running[i]
	if r.reported > r.accepted && !r.cancelled {
		return // it waits
	}
	if r.reported < r.early && !r.cancelled && how.choose("report", 3) > 0 {
		r.reported++
		w.happen(Reported{Job: r.job, Cost: 1 + how.choose("cost", 600)})
		return
	}
	w.running = slices.Delete(w.running, i, i+1)
	w.store[r.job.ID].here--
	e := Executed{Job: r.job, GaveUp: r.cancelled, Rest: 1}
	for range r.early - r.reported {
		e.Early = append(e.Early, 1+how.choose("cost", 600))
	}
	e.Verdict = verdicts[how.choose("verdict", len(verdicts))]
	w.happen(e)
}

// pass lets time pass up to the scheduler's timer, or for a moment.
func (w *world) pass(d time.Duration) {
	to := w.now.Add(d)
	if !w.timer.IsZero() && w.timer.After(w.now) && w.timer.Before(to) {
		to = w.timer
	}
	w.now = to
	w.happen(Tick{})
}

// recoverLost puts jobs back into the queue that nobody has, as recovery does.
func (w *world) recoverLost() {
	for _, id := range w.names {
		r := w.store[id]
		if r.status == settled || r.over || r.here > 0 {
			continue
		}
		if run := w.s.runs[runOf(r.job)]; run != nil && run.jobs[keyOf(r.job)] != nil {
			continue
		}
		queued := slices.ContainsFunc(w.queue, func(p parcel) bool {
			return slices.ContainsFunc(p.jobs, func(j core.Job) bool { return j.ID == id })
		})
		if queued {
			continue
		}
		r.status = pending
		w.queue = append(w.queue, parcel{jobs: []core.Job{r.job}, from: w.now})
	}
}

// calm lets everything go well until nothing is left to do.
func (w *world) calm() {
	for range 20_000 {
		switch {
		case w.stopped:
			return
		case len(w.asked) > 0:
			w.give(0, well{})
		case w.endsOne():
		case w.deliverable():
			w.deliver(well{}, false)
		case w.s.jobs == 0 && w.s.unsaved == 0 && len(w.queue) == 0 && !w.stop && len(w.s.messages) == 0 && w.allSettled():
			return
		default:
			w.recoverLost()
			w.next()
		}
	}
	w.fail("it does not come to an end: %d jobs, %d in the queue", w.s.jobs, len(w.queue))
}

// next lets time pass until the scheduler's timer or a message that went back: nothing
// else happens.
func (w *world) next() {
	to := w.timer
	if !to.After(w.now) {
		w.fail("no timer is set")
	}
	for _, p := range w.queue {
		if w.receive != nil && p.from.After(w.now) && p.from.Before(to) {
			to = p.from
		}
	}
	if at := w.s.timers.next(); at.Before(to) && w.timer.After(at) {
		w.fail("the timer is set too late")
	}
	w.now = to
	w.happen(Tick{})
}

func (w *world) endsOne() bool {
	for i, r := range w.running {
		if r.cancelled || r.reported <= r.accepted {
			w.goOn(i, well{})
			return true
		}
	}
	return false
}

func (w *world) allSettled() bool {
	for _, r := range w.store {
		if r.status != settled && !r.over {
			return false
		}
	}
	return true
}
