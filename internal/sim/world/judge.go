package world

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
)

// judge looks at what a scheduler wants done: that a worker which stops takes nothing more,
// keeps to its places and limits, and lets go of what is done.
func (w *World) judge(p *server, action scheduler.Action) {
	switch a := action.(type) {
	case scheduler.Receive:
		w.judgeDrain(p, "receives")
	case scheduler.Claim:
		w.judgeDrain(p, "claims")
	case scheduler.Execute:
		w.judgePlaces(p, a.Jobs)
	case scheduler.Renew:
		w.judgeHeld("renews", a.Jobs)
	case scheduler.HandBack:
		w.judgeHeld("hands back", a.Jobs)
		for _, j := range a.Jobs {
			heldOf(j).offered = true
		}
	case scheduler.Settle:
		for i := range a.Settlements {
			s := &a.Settlements[i]
			w.judgeHeld("records", []*scheduler.Job{s.Job})
			heldOf(s.Job).offered = heldOf(s.Job).offered || s.Piece == 0
		}
	case scheduler.Stopped:
		if w.busyCarrier(p, true) {
			return // it gave up waiting for an answer, and what needs that
		}
		if k := &p.worker; !k.now.Before(k.givesUpAt) {
			w.oracle.NeedsRecovery = true
			return // the answer that the rest waited for came when its time was over
		}
		for _, j := range p.worker.claimed {
			if h := heldOf(j); !h.offered && !h.lost {
				w.oracle.Fail(oracle.Drained, "a worker has stopped without recording job %s of epoch %d or handing it back", j.ID, j.Epoch)
			}
		}
	}
}

func lose(jobs []*scheduler.Job) {
	for _, j := range jobs {
		heldOf(j).lost = true
	}
}

func (w *World) judgeDrain(p *server, what string) {
	if p.worker.stopping {
		w.oracle.Fail(oracle.Drained, "a worker that stops %s", what)
	}
}

func (w *World) judgeHeld(what string, jobs []*scheduler.Job) {
	for _, j := range jobs {
		if heldOf(j).over {
			w.oracle.Fail(oracle.Places, "a worker %s job %s of epoch %d, which it has recorded or handed back", what, j.ID, j.Epoch)
		}
	}
}

// judgePlaces counts what is executed with these jobs.
func (w *World) judgePlaces(p *server, jobs []*scheduler.Job) {
	executed := slices.Clone(jobs)
	for _, a := range p.worker.queued {
		if e, is := a.(scheduler.Execute); is {
			executed = append(executed, e.Jobs...)
		}
	}
	for i := range carriers {
		id := p.carriers + sched.ActorID(i)
		if e, is := w.actors[id].action.(scheduler.Execute); is && !w.sched.Idle(id) && id != w.sched.Current() {
			executed = append(executed, e.Jobs...)
		}
	}
	if len(executed) > p.spec.Concurrency {
		w.oracle.Fail(oracle.Places, "a worker of %d places executes %d jobs", p.spec.Concurrency, len(executed))
	}
	for _, j := range jobs {
		ofTenant, ofTemplate := 0, 0
		for _, o := range executed {
			if o.Tenant == j.Tenant {
				ofTenant++
				if o.Template == j.Template {
					ofTemplate++
				}
			}
		}
		if limit := p.spec.TenantLimit; limit > 0 && ofTenant > limit {
			w.oracle.Fail(oracle.Places, "a worker executes %d jobs of tenant %s at once, and may execute %d", ofTenant, j.Tenant, limit)
		}
		if limit := p.spec.TemplateLimit; limit > 0 && ofTemplate > limit {
			w.oracle.Fail(oracle.Places, "a worker executes %d jobs of template %s at once, and may execute %d", ofTemplate, j.Template, limit)
		}
	}
}

// judgeReceived looks at how a worker has dealt out its places: what it does not pass on
// again it keeps.
func (w *World) judgeReceived(p *server, e *scheduler.Received, actions []scheduler.Action) {
	if len(e.Messages) == 0 {
		return
	}
	s := p.worker.scheduler.Stats(p.worker.now)
	if s.Waiting+s.Running > p.spec.Concurrency {
		w.oracle.Fail(oracle.Places, "a worker of %d places has %d jobs to claim and %d to execute", p.spec.Concurrency, s.Waiting, s.Running)
	}
	if s.Waiting+s.Running < p.spec.Concurrency {
		return // what it passes on it does not pass on for want of places
	}
	if len(e.Messages) == 1 || p.spec.TenantLimit+p.spec.TemplateLimit > 0 || w.sc.Breaker || p.worker.stopping {
		return
	}
	type share struct {
		tenant       core.TenantID
		kept, passed int
	}
	var shares []share
	of := func(tenant core.TenantID) *share {
		i := slices.IndexFunc(shares, func(s share) bool { return s.tenant == tenant })
		if i < 0 {
			i, shares = len(shares), append(shares, share{tenant: tenant})
		}
		return &shares[i]
	}
	for i := range e.Messages {
		of(e.Messages[i].Jobs[0].Tenant).kept += len(e.Messages[i].Jobs)
	}
	for _, action := range actions {
		if a, is := action.(scheduler.Answer); is && a.Reply == scheduler.Release {
			s := of(a.Jobs[0].Tenant)
			s.kept, s.passed = s.kept-len(a.Jobs), s.passed+len(a.Jobs)
		}
	}
	for _, poor := range shares {
		for _, rich := range shares {
			if poor.passed > 0 && rich.kept-poor.kept >= len(shares) {
				w.oracle.Fail(oracle.Fair, "a worker keeps %d jobs of tenant %s and %d of tenant %s, of which it passes %d on", rich.kept, rich.tenant, poor.kept, poor.tenant, poor.passed)
			}
		}
	}
}
