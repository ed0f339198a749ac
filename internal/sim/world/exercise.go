package world

import (
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// checkPlaces looks at a worker that has come to rest: it has to ask for as many jobs as
// when it had just started, and to leave none in the queue. What a breaker keeps back has
// to be let in once jobs show that all is well.
func (w *World) checkPlaces(p *server) {
	k := &p.worker
	if k.scheduler == nil || k.stopped {
		return
	}
	x := &w.exercise
	*x = exercise{scheduler: k.scheduler, now: k.now, messages: scheduler.MessageID(len(k.messages)), events: x.events}
	x.handle(scheduler.Received{})
	atRest := func() bool {
		s := k.scheduler.Stats(x.now)
		return x.asks(k.places) && s.Running+s.Waiting+s.Unsaved+s.Parked == 0 && !down(s)
	}
	if atRest() && !w.oneOf(exerciseEvery) {
		return
	}
	for range exerciseRounds {
		for n := range w.sc.Templates {
			x.play(core.Job{
				Tenant: w.sc.Tenants[w.sc.Templates[n].Tenant].ID, Template: w.sc.Templates[n].ID,
				Run: core.RunID(w.sc.Templates[n].ID), Epoch: core.Epoch(x.messages + 1), Files: []int{0},
			}, k.places)
		}
		x.handle(scheduler.Received{})
		if atRest() {
			return
		}
	}
	s := k.scheduler.Stats(x.now)
	w.oracle.Fail(oracle.Leaked, "a worker had %d places when it started; when all goes well it asks for %d jobs, leaves %v in the queue and has %d jobs in hand; something is taken to be down: %t",
		k.places, x.receive.Limit, x.receive.Skip, s.Running+s.Waiting+s.Unsaved+s.Parked, down(s))
}

// down reports whether a breaker keeps jobs back, or would.
func down(s scheduler.Stats) bool {
	return slices.ContainsFunc(s.Breakers, func(b scheduler.BreakerStats) bool { return !b.DownSince.IsZero() })
}

const (
	// exerciseEvery is in how many worlds one is exercised that shows nothing by itself.
	exerciseEvery = 16
	// exerciseRounds is how often each template gets jobs until all must be well again.
	exerciseRounds = 3
)

// exercise gives a scheduler jobs that all go well, and carries out at once what it wants.
type exercise struct {
	scheduler *scheduler.Scheduler
	now       time.Time
	messages  scheduler.MessageID
	receive   scheduler.Receive // that is under way
	receives  bool
	events    []scheduler.Event // answers that are still to be given, the oldest first
}

func (x *exercise) asks(places int) bool {
	return x.receives && x.receive.Limit >= places && len(x.receive.Skip.Tenants)+len(x.receive.Skip.Templates) == 0
}

// play gives jobs like one to the scheduler, after a time in which every pause is over.
func (x *exercise) play(job core.Job, n int) {
	x.now = x.now.Add(time.Minute)
	x.handle(scheduler.Tick{})
	if !x.receives || x.receive.Skip.Skips(job) {
		return
	}
	x.messages++
	m := scheduler.Message{ID: x.messages, Jobs: make([]core.Job, 0, n)}
	for i := range n {
		job.ID, job.Files = jobIDs[i], []int{i}
		m.Jobs = append(m.Jobs, job)
	}
	x.handle(scheduler.Received{Messages: []scheduler.Message{m}})
	x.now = x.now.Add(time.Minute)
	x.handle(scheduler.Tick{})
}

var jobIDs = [...]core.JobID{"0", "1", "2", "3", "4", "5", "6", "7"}

func (x *exercise) handle(e scheduler.Event) {
	x.events = append(x.events[:0], e)
	for i := 0; i < len(x.events); i++ { // it grows meanwhile
		e := x.events[i]
		if _, is := e.(scheduler.Received); is {
			x.receives = false
		}
		for _, a := range x.scheduler.Handle(x.now, e) {
			x.carryOut(a)
		}
	}
}

func (x *exercise) carryOut(action scheduler.Action) {
	switch a := action.(type) {
	case scheduler.Receive:
		x.receive, x.receives = a, true
	case scheduler.CancelReceive:
		x.events = append(x.events, scheduler.Received{})
	case scheduler.Claim:
		outcomes := make([]scheduler.Outcome, len(a.Jobs))
		for i := range outcomes {
			outcomes[i] = scheduler.OutcomeClaimed
		}
		x.events = append(x.events, scheduler.ClaimAnswered{Group: a.Group, Outcomes: outcomes})
	case scheduler.Execute:
		for _, j := range a.Jobs {
			well := scheduler.Judge([]core.FileResult{{Outcome: core.OutcomeCompleted}})
			x.events = append(x.events, scheduler.Executed{Job: j, Verdict: well, Rest: 1})
		}
	case scheduler.Settle:
		x.events = append(x.events, scheduler.SettleAnswered{Group: a.Group})
	case scheduler.HandBack:
		x.events = append(x.events, scheduler.HandedBack{Group: a.Group})
	case scheduler.Renew:
		x.events = append(x.events, scheduler.Renewed{Group: a.Group})
	case scheduler.Look:
		x.events = append(x.events, scheduler.Looked{Group: a.Group})
	case scheduler.Answer:
		x.events = append(x.events, scheduler.Answered{Message: a.Message})
	case scheduler.Interrupt:
		x.events = append(x.events, scheduler.Interrupted{Interruption: a.Interruption})
	}
}
