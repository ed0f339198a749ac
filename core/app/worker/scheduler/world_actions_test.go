package scheduler

import (
	"slices"

	"github.com/redrive/redrive/core"
)

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
