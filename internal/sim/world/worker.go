package world

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/ports"
)

// worker is what a server's worker has in memory: it is gone when the process dies. The
// scheduler decides; the rest is what package core/app/worker keeps for it.
type worker struct {
	scheduler *scheduler.Scheduler // nil while none works
	now       time.Time            // the latest: the scheduler's clock does not go back
	wakeAt    time.Time            // when the scheduler wants to be asked again; zero: not
	stopping  bool
	givesUpAt time.Time          // of a stop: from then on it need not wait for the store
	stopped   bool               // the drain is over: the process ends
	queued    []scheduler.Action // for a carrier
	claimed   []*scheduler.Job   // since it started
	messages  []ports.Delivery   // by MessageID
	receiving *ending            // of the receive that is under way; nil: none is
	asks      int                // how many jobs that asks for
	skip      ports.Skip         // and what it leaves in the queue
	places    int                // how many a worker asked for that had just started
}

// held is what a worker keeps with a job that it has claimed.
type held struct {
	claimed  app.Claimed
	results  []core.FileResult // not recorded, the oldest first
	forfeits []core.FileResult // in place of those that the store can never hold
	reported int               // results that wait to be taken in
	begun    bool              // its execution was asked for
	ctx      ending            // of the execution
	carrier  sched.ActorID     // that executes it
	offered  bool              // it was asked to be recorded as a whole, or handed back
	over     bool              // that was done
	lost     bool              // its lease is
}

// ending is the context of something that a worker can end. What is carried out looks at
// it as it goes on: to wait for it would be to wait for what no scheduler gives.
type ending struct{ over bool }

var _ context.Context = (*ending)(nil)

func (e *ending) end() { e.over = true }

func (e *ending) Err() error {
	if e.over {
		return context.Canceled
	}
	return nil
}

func (*ending) Done() <-chan struct{}               { panic("world: an end is waited for beside the scheduler") }
func (*ending) Deadline() (at time.Time, some bool) { return time.Time{}, false }
func (*ending) Value(any) any                       { return nil }

func heldOf(j *scheduler.Job) *held { return j.Work.(*held) }

const (
	// drainFor is how long a worker that stops lets jobs go on.
	drainFor = 20 * time.Second
	// cancelFor is how long it then waits for executions that were told to end.
	cancelFor = 2 * time.Second
	// carriers is how many actions of a worker are carried out at once; more wait.
	carriers = 10
)

// addWorker adds the actors of a server's worker.
func (w *World) addWorker(n int, add func(kind actorKind, nth, process int, script []Op)) {
	p := &w.servers[n]
	if p.spec.Dropped {
		return
	}
	p.timer = sched.ActorID(len(w.actors))
	add(timer, n, n, nil)
	p.carriers = sched.ActorID(len(w.actors))
	for i := range carriers {
		add(carrier, n*carriers+i, n, nil)
	}
	if p.simple() {
		p.simpleWorker = sched.ActorID(len(w.actors))
		add(simpleWorker, n, n, nil)
	}
}

// startWorker lets a server work on jobs.
func (w *World) startWorker(p *server) {
	k := &p.worker
	k.now = w.sched.Now
	k.scheduler = scheduler.New(w.config(p))
	w.post(p, scheduler.Tick{})
	k.places = k.asks
}

func (w *World) config(p *server) scheduler.Config {
	c := scheduler.Config{
		Concurrency: p.spec.Concurrency, Parked: 2, Transactions: p.spec.Transactions,
		TenantConcurrency: p.spec.TenantLimit, TemplateConcurrency: p.spec.TemplateLimit,
		Lease: w.recovery.Lease,
		Breaker: scheduler.Breaker{
			Failures: -1, OpenFor: 10 * time.Second, MaxOutage: 2 * time.Minute, InterruptAfter: time.Second,
			Endpoint: func(t ports.TemplateKey) string { return string(t.Tenant) },
		},
	}
	if limit := p.spec.TenantLimit; limit > 0 {
		c.TenantLimit = func(core.TenantID) int { return limit }
	}
	if limit := p.spec.TemplateLimit; limit > 0 {
		c.TemplateLimit = func(ports.TemplateKey) int { return limit }
	}
	if p.spec.Drains {
		c.DrainTimeout = drainFor
	}
	if p.spec.Lingers {
		c.Linger = time.Second
	}
	if w.sc.Breaker {
		c.Breaker.Failures = 3
	}
	if w.sc.Looks {
		c.CancelEvery = w.recovery.Lease / 6
	}
	return c
}

// post tells a worker's scheduler what has happened, and has done what it wants.
func (w *World) post(p *server, e scheduler.Event) {
	w.sched.Alive()
	k := &p.worker
	if w.env.Over || k.scheduler == nil {
		return
	}
	if w.sched.Now.After(k.now) {
		k.now = w.sched.Now
	}
	actions := k.scheduler.Handle(k.now, e)
	if received, is := e.(scheduler.Received); is {
		w.judgeReceived(p, &received, actions)
	}
	for _, a := range actions {
		w.judge(p, a)
		w.begin(p, a)
	}
}

// begin does at once what a worker does without asking others, and has the rest carried
// out.
func (w *World) begin(p *server, action scheduler.Action) {
	k := &p.worker
	switch a := action.(type) {
	case scheduler.CancelReceive:
		if k.receiving != nil { // else it is over, and on its way to the scheduler
			k.receiving.end()
		}
		w.queue.Wake()
	case scheduler.Cancel:
		for _, j := range a.Jobs {
			w.cancelExecution(heldOf(j))
		}
	case scheduler.Accept:
		h := heldOf(a.Job)
		h.reported = max(h.reported-a.N, 0)
		if h.ctx.Err() == nil {
			w.sched.Wake(h.carrier)
		}
	case scheduler.Forfeit:
		h := heldOf(a.Job)
		h.forfeits = append(h.forfeits, scheduler.NotRecorded(h.results[0].Index))
		h.results = slices.Delete(h.results, 0, 1)
	case scheduler.SetTimer:
		k.wakeAt = a.At
		w.sched.WakeAt(p.timer, a.At)
	case scheduler.Notify:
	case scheduler.Stopped:
		k.stopped = true
		if w.busyCarrier(p, true) {
			w.oracle.NeedsRecovery = true // it gave up waiting for an answer
		}
	case scheduler.Execute:
		for _, j := range a.Jobs {
			h := heldOf(j)
			if h.begun {
				w.oracle.Fail(oracle.ExecuteOnce, "job %s of epoch %d is executed twice by one worker", j.ID, j.Epoch)
			}
			h.begun = true
			if len(a.Jobs) > 1 { // each is executed by itself
				action = scheduler.Execute{Jobs: []*scheduler.Job{j}}
			}
			w.dispatch(p, action)
		}
	case scheduler.Receive:
		k.receiving = &ending{}
		k.asks, k.skip = a.Limit, a.Skip
		w.dispatch(p, action)
	default:
		w.dispatch(p, action)
	}
}

// cancelExecution tells an executor to return. Some do not hear it.
func (w *World) cancelExecution(h *held) {
	h.ctx.end()
	if h.reported > 0 {
		w.sched.Wake(h.carrier)
	}
}

// dispatch gives an action to a carrier, or keeps it for the next that is free.
func (w *World) dispatch(p *server, a scheduler.Action) {
	for i := range carriers {
		if id := p.carriers + sched.ActorID(i); w.sched.Idle(id) {
			w.actors[id].action = a
			w.start(id, false)
			return
		}
	}
	p.worker.queued = append(p.worker.queued, a)
}

// stop lets a server's worker come to its end, as a deployment does. One without a
// scheduler is killed.
func (w *World) stop(n int) {
	p := &w.servers[n]
	switch {
	case p.spec.Dropped:
	case p.simple():
		p.worker.stopped, w.oracle.NeedsRecovery = true, true
	default:
		p.worker.stopping = p.worker.scheduler != nil
		if k := &p.worker; k.givesUpAt.IsZero() {
			k.givesUpAt = w.sched.Now.Add(drainFor + cancelFor + scheduler.HandBackTimeout)
		}
		w.post(p, scheduler.Stop{})
	}
}

// stopped finds a server whose worker has stopped and that answers no user; -1 for none.
func (w *World) stopped() int {
	for n := range w.servers {
		if w.servers[n].worker.stopped && !slices.ContainsFunc(w.actors, func(a actor) bool { return a.kind == user && a.process == n }) {
			return n
		}
	}
	return -1
}

// atRest reports whether a worker does nothing and keeps nothing back: only a message
// could make it do something.
func (w *World) atRest(n int) bool {
	k := &w.servers[n].worker
	return k.scheduler != nil && w.leakedBy(n) == "" && len(k.skip.Tenants)+len(k.skip.Templates) == 0
}

// leaked says what a worker has in hand or keeps back although all runs are closed; empty
// for nothing.
func (w *World) leaked() string {
	for n := range w.servers {
		if leak := w.leakedBy(n); leak != "" {
			return leak
		}
	}
	return ""
}

func (w *World) leakedBy(n int) string {
	p := &w.servers[n]
	if p.spec.Dropped || p.simple() {
		return ""
	}
	k := &p.worker
	switch {
	case k.scheduler == nil:
		return "a worker has not started"
	case k.stopping:
		return "a worker is stopping"
	case k.receiving == nil:
		return "a worker receives nothing"
	case w.queue.Held(n):
		return "a message that a worker has received is not answered"
	}
	if w.busyCarrier(p, false) {
		return "a worker is at work"
	}
	if s := k.scheduler.Stats(k.now); s.Running+s.Unsaved+s.Waiting+s.Parked > 0 {
		return fmt.Sprintf("a worker has jobs in hand: %d to claim, %d to execute, %d to record, %d parked", s.Waiting, s.Running, s.Unsaved, s.Parked)
	}
	return ""
}

// busyCarrier reports whether an action is under way, besides the receive, the one whose
// answer is being handled, and executions if they do not count.
func (w *World) busyCarrier(p *server, butExecutions bool) bool {
	for i := range carriers {
		id := p.carriers + sched.ActorID(i)
		if w.sched.Idle(id) || w.sched.Running() && id == w.sched.Current() {
			continue
		}
		switch w.actors[id].action.(type) {
		case scheduler.Receive:
		case scheduler.Execute:
			if !butExecutions {
				return true
			}
		default:
			return true
		}
	}
	return len(p.worker.queued) > 0
}

// reset forgets what a worker had in memory.
func (k *worker) reset() {
	*k = worker{queued: k.queued[:0], messages: k.messages[:0], claimed: k.claimed[:0]}
}
