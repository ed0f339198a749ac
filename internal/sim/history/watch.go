package history

import (
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
	"github.com/redrive/redrive/ports"
)

// Watcher records the histories of a simulated world.
type Watcher struct {
	recorder *Recorder
	scenario *world.Scenario
	asked    map[uint8]*Asked
	wrote    map[uint8]bool // whether a user's request has committed something
}

var _ world.Observer = (*Watcher)(nil)

// Began implements world.Observer.
func (w *Watcher) Began(sc *world.Scenario) {
	w.recorder, w.scenario, w.asked = NewRecorder(), sc, map[uint8]*Asked{}
	w.wrote = map[uint8]bool{}
	w.recorder.Prompt = true
	w.recorder.Saw(sc.Start)
}

// lost ends a request that is not answered. If nothing was committed, it had no
// effect; if something was, the model still goes both ways.
func (w *Watcher) lost(user uint8) {
	q := w.asked[user]
	if q == nil {
		return
	}
	delete(w.asked, user)
	if w.wrote[user] {
		w.recorder.Lost(q)
	} else {
		w.recorder.Forget(q)
	}
}

// Histories are those of the world that was played last.
func (w *Watcher) Histories() []*History {
	for user := range uint8(sched.MaxActors) {
		w.lost(user)
	}
	return w.recorder.Histories()
}

// Asked implements world.Observer.
func (w *Watcher) Asked(user uint8, op *world.Op, tenant core.TenantID, run core.RunID, most *core.Credits, now time.Time) {
	w.lost(user)
	w.wrote[user] = false
	if op.Foreign {
		return
	}
	q := Request{Client: int(user), Tenant: tenant, Run: run, Key: op.Key, Amount: op.Amount}
	if most != nil {
		accepted := *most // the user's own may be another one's by the time of the check
		q.MaxPrice = &accepted
	}
	spec := &w.scenario.Runs[op.Run]
	q.Template = w.scenario.Templates[spec.Template].ID
	switch op.Kind {
	case world.Initiate:
		q.Kind, q.Run, q.Files, q.MaxRetryCount = Initiate, "", spec.Files, spec.MaxRetryCount
	case world.Continue:
		q.Kind = Continue
	case world.Cancel:
		q.Kind, q.Key = Cancel, ""
	case world.Raise:
		q.Kind, q.Key, q.MaxRetryCount = Raise, "", spec.MaxRetryCount+world.RaisedBy
	case world.Preview:
		q.Kind, q.Key = Preview, ""
	case world.Purchase:
		q.Kind, q.Run, q.Template = Purchase, "", ""
	case world.Reprice, world.Delete, world.Audit, world.Stop, world.Edit, world.Enroll, world.Break, world.Mend, world.Bulk, world.Suspend, world.Reopen, world.Refund:
		return
	}
	w.asked[user] = w.recorder.Ask(q, now)
}

// Answered implements world.Observer.
func (w *Watcher) Answered(user uint8, a *oracle.Answer, preview *app.Preview, now time.Time) {
	q := w.asked[user]
	if q == nil {
		return
	}
	if !a.SeenMin.IsZero() { // the process's clock may be ahead of the others'
		w.recorder.Saw(a.SeenMin)
		w.recorder.Saw(a.SeenMax)
	}
	if errors.Is(a.Err, ports.ErrCommitUnknown) {
		w.lost(user)
		return
	}
	delete(w.asked, user)
	w.recorder.Answered(q, Answer{Run: a.Run, Balance: preview.Balance, Refusal: preview.Refusal, Err: a.Err}, now)
}

// Committed implements world.Observer. What users' requests write is not taken
// down: the model is to find it out from the answers.
func (w *Watcher) Committed(c *oracle.Commit) {
	w.recorder.Saw(c.SeenMin)
	w.recorder.Saw(c.SeenMax)
	w.wrote[c.Actor] = true
	for user := range uint8(sched.MaxActors) { // and so may those have that were decided with it
		if c.Together&(1<<user) != 0 {
			w.wrote[user] = true
		}
	}
	for i := range c.Templates {
		w.recorder.Priced(c.Tenant, c.Templates[i].ID, c.Templates[i].CreditsPerRun, 0)
	}
	switch c.Use {
	case oracle.UseInitiate, oracle.UseContinue, oracle.UseCancel, oracle.UseRaise, oracle.UseGrant, oracle.UseTemplate:
		return
	case oracle.UseOther, oracle.UseSetUp, oracle.UseWork, oracle.UseRecover, oracle.UseRefill, oracle.UseInterrupt, oracle.UseTenant, oracle.UseBulk, oracle.UseSuspend, oracle.UseRefund, oracle.UseResume:
	}
	var writes []Write
	at := func(run core.RunID) *Write {
		for i := range writes {
			if writes[i].Run == run {
				return &writes[i]
			}
		}
		writes = append(writes, Write{Run: run})
		return &writes[len(writes)-1]
	}
	for i := range c.Inserted {
		n := &c.Inserted[i]
		writes = append(writes, Write{Given: &n.Run, Files: n.Files})
	}
	for i := range c.Runs {
		at(c.Runs[i].ID).Status = c.Runs[i].Status
	}
	for i := range c.Files {
		w := at(c.Files[i].Run)
		w.Files = append(w.Files, c.Files[i].File)
	}
	if len(c.Entries) > 0 {
		writes = append(writes, Write{Entries: c.Entries})
	}
	if len(writes) > 0 {
		w.recorder.Wrote(c.Tenant, 0, writes...)
	}
}
