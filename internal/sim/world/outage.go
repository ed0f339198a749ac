package world

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/trace"
)

// A template's outage is a fault of the operator's that every execution meets until he
// has mended it: a credential that is refused, say. Workers with a breaker keep further
// jobs of the template back meanwhile, and interrupt its runs.

// outage is that of one template.
type outage struct {
	code string // of the failures; empty: it works
}

// outageCodes are the failures of outages.
var outageCodes = [...]string{core.FailureUnauthorized, core.FailureQuota, core.FailureMisconfigured, core.FailureRequestRefused}

// outageLasts is for how long an outage lasts at least.
const outageLasts = 45 * time.Second

// operate does what an operator does outside all servers; false if the operation is
// none of those.
func (w *World) operate(op *Op) bool {
	switch op.Kind {
	case Break:
		w.outages[op.Template].code = outageCodes[int(op.Amount)%len(outageCodes)]
		w.announce(op.Template, w.outages[op.Template].code+" from now on")
	case Mend:
		if !w.healing {
			w.sched.Sleep(w.sched.Now.Add(outageLasts))
		}
		if !w.healing || !w.sc.Unmended {
			w.mend(op.Template)
		}
	case Stop:
		w.stop(op.Server)
	case Initiate, Continue, Cancel, Raise, Preview, Reprice, Delete, Purchase, Audit, Edit, Enroll, Bulk, Suspend, Reopen, Refund:
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
func (w *World) broken(id core.TemplateID) string {
	if n := w.templateNumber(id); n >= 0 {
		return w.outages[n].code
	}
	return ""
}
