package world

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// A template's outage is a fault of the operator's that every execution meets until he
// has mended it: a credential that is refused, say. Workers may keep further jobs of the
// template back meanwhile; then its runs are interrupted.

// outage is that of one template.
type outage struct {
	code string // of the failures; empty: it works
	back bool   // workers keep its jobs back
}

// faults are the codes of outages.
var faults = [...]string{core.FailureUnauthorized, core.FailureQuota, core.FailureMisconfigured, core.FailureRequestRefused}

const (
	// outageLasts is for how long an outage lasts at least.
	outageLasts = 45 * time.Second
	// interruptEvery is how often runs are looked for that wait for the end of an outage.
	interruptEvery = 15 * time.Second
)

// meddles does what an operator does outside all servers; false if the operation is
// none of those.
func (w *World) meddles(op *Op) bool {
	switch op.Kind {
	case Break:
		w.outages[op.Template].code = faults[int(op.Amount)%len(faults)]
		w.announce(op.Template, w.outages[op.Template].code+" from now on")
	case Mend:
		if !w.healing {
			w.sched.Sleep(w.sched.Now.Add(outageLasts))
		}
		if !w.healing || !w.sc.Unmended {
			w.mend(op.Template)
		}
	case Initiate, Continue, Cancel, Raise, Preview, Reprice, Delete, Purchase, Audit, Stop, Edit, Enroll:
		return false
	}
	return true
}

func (w *World) announce(template int, text string) {
	if w.tape.Recording {
		text = string(w.sc.Templates[template].ID) + ": " + text
	}
	w.env.Event(trace.Phase, trace.NoActor, "", "", int64(template)<<8|int64(len(w.outages[template].code)), text)
}

// mend ends an outage.
func (w *World) mend(template int) {
	o := &w.outages[template]
	if o.code == "" {
		return
	}
	*o = outage{}
	w.announce(template, "mended")
	w.skips()
	w.queue.Wake()
}

// mendAll ends all outages.
func (w *World) mendAll() {
	for n := range w.outages {
		w.mend(n)
	}
}

// templateNumber finds a template's place; -1 if the scenario does not have it.
func (w *World) templateNumber(id core.TemplateID) int {
	for n := range w.sc.Templates {
		if w.sc.Templates[n].ID == id {
			return n
		}
	}
	return -1
}

// broken is what every execution of a template's files fails with; empty if it works.
// Workers learn of the outage by it.
func (w *World) broken(id core.TemplateID) string {
	n := w.templateNumber(id)
	if n < 0 || w.outages[n].code == "" {
		return ""
	}
	o := &w.outages[n]
	if w.sc.KeepsBack && !o.back {
		o.back = true
		w.skips()
		for id := range w.actors {
			if a := &w.actors[id]; a.kind == interrupter && a.parked {
				w.sched.Wake(sched.ActorID(id))
			}
		}
	}
	return o.code
}

// skips says what workers leave in the queue.
func (w *World) skips() {
	w.skip = w.skip[:0]
	for n := range w.outages {
		if w.outages[n].back {
			w.skip = append(w.skip, w.templateKey(n))
		}
	}
}

func (w *World) templateKey(n int) ports.TemplateKey {
	t := &w.sc.Templates[n]
	return ports.TemplateKey{Tenant: w.sc.Tenants[t.Tenant].ID, Template: t.ID}
}

// interrupt is the loop that closes runs whose files all wait for the end of an outage.
func (w *World) interrupt(ctx context.Context, a *actor) {
	svc := w.processes[a.process].svc
	for !w.env.Over {
		if len(w.skip) == 0 {
			a.parked = true
			alive := w.sched.TryBlock()
			a.parked = false
			if !alive {
				return
			}
			continue
		}
		for n := range w.outages {
			if o := w.outages[n]; o.back {
				w.env.Enter(oracle.UseInterrupt)
				_, err := svc.Interrupt(ctx, w.templateKey(n), core.Failure{Code: o.code, Message: "the operator has to mend it"})
				w.tolerate(err)
			}
		}
		if !w.env.Rest(interruptEvery) {
			return
		}
	}
}
