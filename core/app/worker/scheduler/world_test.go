package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// world is what is around a scheduler: a queue, a store and executors, with what must
// hold of what the scheduler asks of them.
type world struct {
	t   failer
	s   *Scheduler
	cfg Config
	now time.Time

	queue    []parcel
	messages map[MessageID]*inHand
	last     MessageID
	store    map[core.JobID]*row
	names    []core.JobID // in the order in which they came

	receive *Receive
	asked   []Action // whose answers are to come
	running []*run2
	timer   time.Time
	stop    bool // it was asked to
	stopped bool
	history []string
}

// failer is a test or a property.
type failer interface {
	Fatalf(format string, args ...any)
	Helper()
}

// parcel is jobs in the queue.
type parcel struct {
	jobs []core.Job
	from time.Time // not before
}

// inHand is a message that was delivered.
type inHand struct {
	jobs    []core.Job
	telling bool
}

// row is a job in the store.
type row struct {
	job      core.Job
	status   status
	answered bool // a claim of it was, in this process
	left     int  // files without a result
	here     int  // executions under way
	over     bool // its run was closed
}

type status int

const (
	pending status = iota
	leased
	settled
)

// run2 is an execution.
type run2 struct {
	job       *Job
	reported  int
	accepted  int
	early     int // results that can be recorded before the job is counted
	cancelled bool
}

func newWorld(t failer, c Config) *world {
	return &world{
		t: t, s: New(c), cfg: c, now: time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC),
		messages: map[MessageID]*inHand{}, store: map[core.JobID]*row{},
	}
}

// config is one with everything in it, small enough to be full often.
func config() Config {
	return Config{
		Concurrency: 4, Ahead: 8, Parked: 3, Transactions: 2, Linger: 2 * time.Millisecond,
		Lease: 30 * time.Second, CancelEvery: time.Second, DrainTimeout: 20 * time.Second,
		Breaker: Breaker{
			Failures: 2, OpenFor: 10 * time.Second, MaxOutage: time.Hour, InterruptAfter: 10 * time.Second,
			Endpoint: func(ports.TemplateKey) string { return "llm" },
		},
	}
}

// jobsOfRun makes n jobs of one file, or with files one job of so many.
func jobsOfRun(tenant core.TenantID, template core.TemplateID, run core.RunID, n, files int) (jobs []core.Job) {
	for i := range n {
		j := core.Job{Tenant: tenant, Template: template, Run: run, Epoch: 1, ID: core.FileJobID(run, i), Files: []int{i}}
		if files > 1 {
			j.ID, j.Files = core.BatchJobID(run), nil
			for f := range files {
				j.Files = append(j.Files, f)
			}
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// enqueue puts jobs in the queue as one message.
func (w *world) enqueue(jobs ...core.Job) {
	for _, j := range jobs {
		if w.store[j.ID] == nil {
			w.store[j.ID] = &row{job: j, left: len(j.Files)}
			w.names = append(w.names, j.ID)
		}
	}
	w.queue = append(w.queue, parcel{jobs: jobs, from: w.now})
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	from := max(len(w.history)-60, 0)
	for _, line := range w.history[from:] {
		format += "\n" + "%s"
		args = append(args, line)
	}
	w.t.Fatalf(format, args...)
}

// happen gives events to the scheduler and takes in what it asks for.
func (w *world) happen(events ...Event) {
	w.t.Helper()
	for _, e := range events {
		w.history = append(w.history, fmt.Sprintf("%s ◄ %T %s", w.now.Format("15:04:05.000"), e, short(e)))
	}
	for _, a := range w.s.Handle(w.now, events...) {
		w.history = append(w.history, fmt.Sprintf("%s ► %T %s", w.now.Format("15:04:05.000"), a, short(a)))
		w.do(a)
	}
	w.check()
}

func short(v any) string {
	switch v := v.(type) {
	case Claim:
		return fmt.Sprint(v.Group, names(v.Jobs), v.Wait)
	case Execute:
		return fmt.Sprint(names(v.Jobs))
	case Cancel:
		return fmt.Sprint(names(v.Jobs))
	case HandBack:
		return fmt.Sprint(v.Group, names(v.Jobs))
	case Renew:
		return fmt.Sprint(v.Group, names(v.Jobs), v.Wait)
	case Look:
		return fmt.Sprint(v.Group, names(v.Jobs))
	case Settle:
		s := fmt.Sprint(v.Group, v.Wait)
		for _, one := range v.Settlements {
			s += fmt.Sprint(" ", one.Job.ID, "/", one.Piece)
		}
		return s
	case Executed:
		return fmt.Sprint(v.Job.ID, v.GaveUp, v.Early, v.Rest, v.Verdict.kind)
	case Reported:
		return fmt.Sprint(v.Job.ID)
	case Accept:
		return fmt.Sprint(v.Job.ID, v.N)
	case Forfeit:
		return fmt.Sprint(v.Job.ID)
	case Received:
		s := fmt.Sprint(v.Failed, v.Closed)
		for _, m := range v.Messages {
			s += fmt.Sprint(" ", m.ID, ids(m.Jobs))
		}
		return s
	case Answer:
		return fmt.Sprint(v.Message, v.Reply, ids(v.Jobs))
	case ClaimAnswered, SettleAnswered, HandedBack, Answered, Receive:
		return fmt.Sprintf("%+v", v)
	}
	return ""
}

func names(jobs []*Job) (list []core.JobID) {
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

func ids(jobs []core.Job) (list []core.JobID) {
	for _, j := range jobs {
		list = append(list, j.ID)
	}
	return list
}

// do takes in what the scheduler asks for.
func (w *world) do(a Action) {
	if w.stopped {
		w.fail("%T is asked for after the stop", a)
	}
	switch a := a.(type) {
	case Receive:
		if w.receive != nil || w.stop {
			w.fail("a Receive too many")
		}
		if a.Limit < 1 {
			w.fail("a Receive of %d jobs", a.Limit)
		}
		w.receive = &a
	case CancelReceive:
		if w.receive == nil {
			w.fail("no Receive is there to be cancelled")
		}
		w.asked = append(w.asked, a)
	case Claim:
		if w.stop {
			w.fail("a claim after the stop")
		}
		w.oneTenant(a.Jobs, a.Wait)
		w.asked = append(w.asked, a)
	case Execute:
		for _, j := range a.Jobs {
			w.begins(j)
		}
	case Cancel:
		for _, j := range a.Jobs {
			w.execution(j).cancelled = true
		}
	case Accept:
		if r := w.running2(a.Job); r != nil {
			r.accepted += a.N
		}
	case Settle:
		var jobs []*Job
		for _, one := range a.Settlements {
			jobs = append(jobs, one.Job)
		}
		w.oneTenant(jobs, a.Wait)
		w.asked = append(w.asked, a)
	case HandBack:
		w.oneTenant(a.Jobs, true)
		for _, j := range a.Jobs {
			if r := w.running2(j); r != nil && !r.cancelled {
				w.fail("%s is handed back while it is executed", j.ID)
			}
		}
		w.asked = append(w.asked, a)
	case Renew:
		w.oneTenant(a.Jobs, a.Wait)
		for _, j := range a.Jobs {
			if !j.state.isClaimed() {
				w.fail("%s is renewed and not claimed", j.ID)
			}
		}
		w.asked = append(w.asked, a)
	case Look:
		w.oneTenant(a.Jobs, false)
		w.asked = append(w.asked, a)
	case Answer:
		w.answers(a)
	case Interrupt:
		w.asked = append(w.asked, a)
	case SetTimer:
		w.timer = a.At
	case Stopped:
		w.stopped = true
	case Notify, Forfeit:
	default:
		w.fail("%T", a)
	}
}

func (w *world) oneTenant(jobs []*Job, oneRun bool) {
	if len(jobs) == 0 {
		w.fail("an empty group")
	}
	for n, j := range jobs {
		if j.Tenant != jobs[0].Tenant || oneRun && j.Run != jobs[0].Run {
			w.fail("%s and %s in one group", jobs[0].ID, j.ID)
		}
		if slices.Index(jobs, j) != n {
			w.fail("%s twice in a group", j.ID)
		}
	}
}

func (w *world) begins(j *Job) {
	r := w.store[j.ID]
	if r.here++; r.here > 1 {
		w.fail("%s is executed twice at once", j.ID)
	}
	if r.status != leased {
		w.fail("%s is executed and not claimed", j.ID)
	}
	one := &run2{job: j}
	if len(j.Files) > 1 {
		one.early = len(j.Files) - 1
	}
	w.running = append(w.running, one)
	if len(w.running) > w.cfg.Concurrency {
		w.fail("%d are executed at once", len(w.running))
	}
}

func (w *world) running2(j *Job) *run2 {
	for _, r := range w.running {
		if r.job == j {
			return r
		}
	}
	return nil
}

func (w *world) execution(j *Job) *run2 {
	r := w.running2(j)
	if r == nil {
		w.fail("%s is not executed", j.ID)
	}
	return r
}

// answers checks what the queue is told.
func (w *world) answers(a Answer) {
	m := w.messages[a.Message]
	if m == nil {
		w.fail("message %d is not there any more", a.Message)
	}
	if m.telling {
		w.fail("message %d is answered twice at once", a.Message)
	}
	m.telling = true
	switch a.Reply {
	case Ack:
		for _, j := range m.jobs {
			if !w.store[j.ID].answered {
				w.fail("message %d is acked, and the claim of %s was not answered", a.Message, j.ID)
			}
		}
	case Release:
		for _, j := range a.Jobs {
			if !slices.ContainsFunc(m.jobs, func(o core.Job) bool { return o.ID == j.ID }) {
				w.fail("%s is released and not in message %d", j.ID, a.Message)
			}
		}
		if len(a.Jobs) == 0 {
			w.fail("nothing is released")
		}
	case Nack:
	}
	w.asked = append(w.asked, a)
}

// check looks into the scheduler.
func (w *world) check() {
	s := w.s
	placed, waiting, unsaved := 0, 0, 0
	seen := map[*Job]bool{}
	for _, r := range s.runs {
		for _, j := range r.jobs {
			seen[j] = true
			if j.placed {
				placed++
			}
			if j.state == parked {
				waiting++
			}
			unsaved += j.unsaved
			if j.state == gone {
				w.fail("%s is gone and there", j.ID)
			}
		}
		if r.users < 0 || r.stuck < 0 {
			w.fail("run %s is used %d times", r.key.Run, r.users)
		}
	}
	if len(seen) != s.jobs {
		w.fail("%d jobs are there, and %d are counted", len(seen), s.jobs)
	}
	if placed != s.taken {
		w.fail("%d jobs have places, and %d are taken", placed, s.taken)
	}
	if placed > w.cfg.Concurrency+w.cfg.Ahead+mostKept {
		w.fail("%d jobs have places", placed)
	}
	if waiting != len(s.parked) || waiting > w.cfg.Parked {
		w.fail("%d are parked, and %d are counted", waiting, len(s.parked))
	}
	if s.unsaved < 0 || s.unsaved > unsavedCost+jobUnsaved {
		w.fail("%d are not saved", s.unsaved)
	}
	if s.openTx < 0 || s.openTx > w.cfg.Transactions || s.waitingTx < 0 || s.waitingTx > s.mostWaiting() {
		w.fail("%d transactions, and %d that wait", s.openTx, s.waitingTx)
	}
	if s.running != len(w.running) && s.drain < handingBack {
		w.fail("%d are executed, and %d are counted", len(w.running), s.running)
	}
	if s.stats.Waiting < 0 || s.stats.Running < 0 || s.stats.Unsaved < 0 {
		w.fail("%+v", s.stats)
	}
	for tenant, n := range s.gate.tenants {
		if limit := w.cfg.TenantLimit(tenant); limit > 0 && n > limit {
			w.fail("%d jobs of %s", n, tenant)
		}
	}
	for key, n := range s.gate.templates {
		if limit := w.cfg.TemplateLimit(key); limit > 0 && n > limit {
			w.fail("%d jobs of %v", n, key)
		}
	}
	perRun := map[*run]int{}
	for _, g := range s.groups {
		if g.kind >= kinds {
			continue
		}
		for _, p := range byRun(g.part.items) {
			if perRun[p.runs[0]]++; perRun[p.runs[0]] > 1 {
				w.fail("run %s is in two transactions", p.runs[0].key.Run)
			}
		}
	}
}

// empty checks that nothing is left in the scheduler.
func (w *world) empty() {
	s := w.s
	for what, n := range map[string]int{
		"jobs": s.jobs, "places": s.taken, "runs": len(s.runs), "tenants": len(s.tenants), "messages": len(s.messages),
		"groups": len(s.groups), "transactions": s.openTx, "waiting transactions": s.waitingTx, "unsaved": s.unsaved,
		"parked": len(s.parked), "ready": len(s.ready), "running": s.running, "reports": len(s.reports), "held": len(s.held),
		"renewals": len(s.renewals), "limits of tenants": len(s.gate.tenants), "limits of templates": len(s.gate.templates),
		"interrupts": s.interrupts, "looks": s.looks, "waiting": s.stats.Waiting, "executing": s.stats.Running, "not recorded": s.stats.Unsaved,
	} {
		if n != 0 {
			w.fail("%d %s are left", n, what)
		}
	}
	if s.claimed.first != nil || s.claimed.last != nil {
		w.fail("a claim is left")
	}
	for name, e := range s.gate.breaker.endpoints {
		for key, c := range e.circuits {
			if c.inside != 0 {
				w.fail("%d jobs of %v are inside %s", c.inside, key, name)
			}
		}
	}
}

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

// TestAnything plays any events in any order, with faults, and then lets all go well.
func TestAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := config()
		c.Concurrency = rapid.IntRange(1, 8).Draw(t, "concurrency")
		c.Parked = rapid.IntRange(0, 4).Draw(t, "parked")
		if rapid.Bool().Draw(t, "limits") {
			c.TenantConcurrency = rapid.IntRange(1, 4).Draw(t, "limit")
			c.TenantLimit = func(core.TenantID) int { return c.TenantConcurrency }
			c.TemplateLimit = func(k ports.TemplateKey) int { return map[core.TemplateID]int{"t": 2}[k.Template] }
		} else {
			c.TenantLimit, c.TemplateLimit = nil, nil
		}
		w := newWorld(t, c)
		how := drawn{t}
		if rapid.Bool().Draw(t, "short jobs") {
			w.s.pace.mean = time.Millisecond
		}
		w.happen(Tick{})
		runs := 0
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			if w.stopped {
				break
			}
			switch what := how.choose("step", 20); {
			case what < 3:
				runs++
				tenant := core.TenantID(fmt.Sprint("tenant", how.choose("tenant", 3)))
				template := core.TemplateID([]string{"t", "u"}[how.choose("template", 2)])
				files := []int{1, 1, 1, 7}[how.choose("files", 4)]
				n := 1
				if files == 1 {
					n += how.choose("jobs", 9)
				}
				w.enqueue(jobsOfRun(tenant, template, core.RunID(fmt.Sprintf("%s-%d", tenant, runs)), n, files)...)
			case what < 6:
				if w.receive != nil {
					w.deliver(how, false)
				}
			case what < 12:
				if len(w.asked) > 0 {
					w.give(how.choose("answer", len(w.asked)), how)
				}
			case what < 15:
				if len(w.running) > 0 {
					w.goOn(how.choose("execution", len(w.running)), how)
				}
			case what < 17:
				w.pass([]time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second, 20 * time.Second}[how.choose("time", 4)])
			case what == 17:
				if len(w.names) > 0 { // a run is cancelled
					run := w.store[w.names[how.choose("run", len(w.names))]].job.Run
					for _, r := range w.store {
						r.over = r.over || r.job.Run == run
					}
				}
			case what == 18:
				w.recoverLost()
			case how.choose("stop", 8) == 7 && !w.stop:
				w.stop = true
				w.happen(Stop{})
			}
		}
		w.calm()
		if w.stop {
			if !w.stopped {
				w.fail("the stop does not end")
			}
			for id, m := range w.messages {
				w.fail("message %d is not answered: %v", id, ids(m.jobs))
			}
		}
		w.empty()
	})
}
