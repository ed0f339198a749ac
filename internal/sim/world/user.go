package world

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// maxTries is how often a user repeats a request whose answer was lost.
const maxTries = 2

// RaisedBy is by how much users raise maxRetryCount.
const RaisedBy = 2

// admin is who asks in a tenant's name.
func admin(t core.TenantID) core.Actor {
	return core.Actor{Subject: "admin", Tenant: t, Role: core.RoleCustomerAdmin}
}

// use works through a user's script.
func (w *World) use(ctx context.Context, id sched.ActorID) {
	a := &w.actors[id]
	for a.at < len(a.script) {
		op := &a.script[a.at]
		if op.unknownToHistories() && w.options.Observer != nil {
			w.next(a)
			continue
		}
		if op.Dropped || w.healing && a.tries == 0 && !a.unknown { // what is asked once faults have stopped finds little
			w.next(a)
			continue
		}
		if a.unknown {
			// The process died before it answered.
			a.unknown = false
			if !w.again(a, op) {
				continue
			}
		}
		if !w.await(id, op) {
			w.next(a)
			continue
		}
		w.passBarrier(id, op)
		if w.operate(op) {
			w.next(a)
			continue
		}
		process := (a.nth + a.at + a.tries) % len(w.sc.Servers)
		if w.sc.Crowded {
			process = 0
		}
		w.awaitStart(id, process)
		a.process = process
		w.env.Event(trace.Ask, uint8(id), w.tenantOf(op), w.slots[op.Run].id, int64(op.Kind)<<8|int64(a.process), op.Kind.String())
		if o := w.options.Observer; o != nil {
			o.Asked(uint8(id), op, w.tenantOf(op), w.slots[op.Run].id, w.accepts(a, op), w.sched.Now)
		}
		err := w.ask(ctx, id, a, op)
		definite := w.answered(id, op, err)
		a.process = -1
		if (!definite || w.insists(op)) && w.again(a, op) {
			continue
		}
		if a.at < len(a.script) && &a.script[a.at] == op {
			w.next(a)
		}
	}
}

// insists reports whether a user who was refused asks once more under the same key,
// as a client does that takes every failure for one of the network.
func (w *World) insists(op *Op) bool { return op.Key != "" && op.Again && w.asked.Err != nil }

// again reports whether a user repeats a request whose outcome is open; if not,
// the next one is up.
func (w *World) again(a *actor, op *Op) bool {
	if op.Again && a.tries < maxTries {
		a.tries++
		return true
	}
	w.next(a)
	return false
}

func (w *World) next(a *actor) {
	op := &a.script[a.at]
	a.at++
	a.tries, a.lost = 0, false
	if op.Filler && !op.Dropped && a.at == len(a.script) && !w.healing {
		for a.at > 0 && a.script[a.at-1].Filler {
			a.at--
		}
	}
	if op.Kind == Initiate {
		if s := &w.slots[op.Run]; !s.known {
			s.gone = true
			w.wakeWaiters(s)
		}
	}
}

// await waits until the operation makes sense; false if it never will.
func (w *World) await(id sched.ActorID, op *Op) bool {
	switch op.Kind {
	case Continue, Raise, Cancel, Preview, Refund:
	case Initiate, Reprice, Delete, Purchase, Audit, Stop, Edit, Enroll, Break, Mend, Bulk, Suspend, Reopen:
		return true
	}
	s := &w.slots[op.Run]
	for !s.gone && !w.healing {
		if s.known && (!op.AtWork || s.atWork) && (op.Early || op.Kind == Cancel || op.Kind == Preview || w.oracle.RunClosed(s.id)) {
			return true
		}
		s.waiting |= 1 << id
		w.sched.Block()
		s.waiting &^= 1 << id
	}
	return false
}

func (w *World) tenantOf(op *Op) core.TenantID {
	switch op.Kind {
	case Reprice, Delete, Edit, Break, Mend:
		return w.sc.Tenants[w.sc.Templates[op.Template].Tenant].ID
	case Purchase, Audit, Bulk, Suspend, Reopen:
		return w.sc.Tenants[op.Tenant].ID
	case Enroll:
		return newTenant
	case Initiate, Continue, Cancel, Raise, Preview, Stop, Refund:
	}
	return w.sc.Tenants[w.sc.Templates[w.sc.Runs[op.Run].Template].Tenant].ID
}

// ask sends one request.
func (w *World) ask(ctx context.Context, id sched.ActorID, a *actor, op *Op) (err error) {
	svc := w.servers[a.process].svc
	tenant := w.tenantOf(op)
	who := admin(tenant)
	if op.Foreign {
		who = admin(w.sc.Tenants[(w.sc.Templates[w.sc.Runs[op.Run].Template].Tenant+1)%len(w.sc.Tenants)].ID)
	}
	run := w.slots[op.Run].id
	answer := oracle.Answer{Tenant: tenant, Key: op.Key, Actor: uint8(id), Effects: w.oracle.Effects(uint8(id))}
	most := w.accepts(a, op)
	request := oracle.Request{Use: useOf(op.Kind), Tenant: tenant, Run: run, Key: op.Key, MaxPrice: most}
	if op.Kind == Initiate {
		spec := &w.sc.Runs[op.Run]
		request.Template, request.Files = w.sc.Templates[spec.Template].ID, spec.Files
	}
	if op.Kind == Refund {
		if a.tries == 0 {
			a.charge = w.oracle.Charge(run, op.Amount%2 == 0)
		}
		request.Charge, request.Amount = a.charge, refunded(op)
	}
	w.oracle.Asked(uint8(id), request)
	switch op.Kind {
	case Initiate:
		w.env.Enter(oracle.UseInitiate)
		answer.Use = oracle.UseInitiate
		spec := &w.sc.Runs[op.Run]
		wanted := app.InitiateRequest{
			Tenant: tenant, Template: w.sc.Templates[spec.Template].ID, Files: newFiles[:spec.Files],
			MaxRetryCount: &spec.MaxRetryCount, IdempotencyKey: op.Key, MaxPrice: most,
		}
		if w.sc.Reads {
			answer.Run, err = upload(ctx, svc, who, wanted)
		} else {
			answer.Run, err = svc.Initiate(ctx, who, wanted)
		}
		if answer.Run.ID != "" {
			s := &w.slots[op.Run]
			s.id, s.known = answer.Run.ID, true
			w.wakeWaiters(s)
		}
	case Continue:
		w.env.Enter(oracle.UseContinue)
		answer.Use = oracle.UseContinue
		answer.Run, err = svc.RetryFailed(ctx, who, run, app.RetryRequest{IdempotencyKey: op.Key, MaxPrice: most})
	case Cancel:
		w.env.Enter(oracle.UseCancel)
		answer.Use = oracle.UseCancel
		answer.Run, err = svc.Cancel(ctx, who, run)
	case Raise:
		w.env.Enter(oracle.UseRaise)
		answer.Use = oracle.UseRaise
		answer.Run, err = svc.RaiseMaxRetryCount(ctx, core.System, run, w.sc.Runs[op.Run].MaxRetryCount+RaisedBy)
	case Preview:
		w.env.Enter(oracle.UseOther)
		w.preview, err = svc.PreviewRetry(ctx, who, run)
	case Reprice:
		w.env.Enter(oracle.UseTemplate)
		answer.Use = oracle.UseTemplate
		_, err = svc.ChangeTemplate(ctx, core.System, tenant, w.sc.Templates[op.Template].ID, core.TemplateChange{CreditsPerRun: &op.Amount})
	case Delete:
		w.env.Enter(oracle.UseTemplate)
		answer.Use = oracle.UseTemplate
		_, err = svc.DeleteTemplate(ctx, core.System, tenant, w.sc.Templates[op.Template].ID)
	case Edit:
		w.env.Enter(oracle.UseTemplate)
		answer.Use = oracle.UseTemplate
		text := instructions[int(op.Amount)%len(instructions)]
		_, err = svc.ChangeTemplate(ctx, core.System, tenant, w.sc.Templates[op.Template].ID, core.TemplateChange{Instructions: &text})
	case Enroll:
		w.env.Enter(oracle.UseTenant)
		answer.Use = oracle.UseTenant
		_, err = svc.CreateTenant(ctx, core.System, newTenant, string(newTenant), op.Amount-1)
	case Break, Mend, Stop: // outside all servers
	case Purchase:
		w.env.Enter(oracle.UseGrant)
		answer.Use = oracle.UseGrant
		_, err = svc.PurchaseCredits(ctx, core.System, tenant, op.Key, op.Amount)
	case Suspend:
		w.env.Enter(oracle.UseSuspend)
		answer.Use = oracle.UseSuspend
		_, err = svc.SuspendTenant(ctx, core.System, tenant, "unpaid")
	case Reopen:
		w.env.Enter(oracle.UseSuspend)
		answer.Use = oracle.UseSuspend
		_, err = svc.ReopenTenant(ctx, core.System, tenant)
	case Refund:
		answer.Use = oracle.UseRefund
		err = w.refund(ctx, svc, tenant, a, op)
	case Bulk:
		w.env.Enter(oracle.UseOther)
		err = w.bulk(ctx, svc, who, a, op)
	case Audit:
		w.env.Enter(oracle.UseOther)
		_, err = svc.CheckLedger(ctx, core.System, tenant)
	}
	answer.Err, answer.Failed = err, w.env.Failed()
	answer.SeenMin, answer.SeenMax = w.env.Seen()
	w.asked = answer
	return err
}

// newTenant is who an operator enrolls.
const newTenant = core.TenantID("eve")

// instructions are what templates are edited to.
var instructions = [...]string{"summarise", "translate", "extract the dates"}

// accepts is the price that a user accepts, the same in every repeat; nil for any.
func (w *World) accepts(a *actor, op *Op) *core.Credits {
	if op.Accepts == AnyPrice {
		return nil
	}
	if a.tries > 0 {
		return &a.most
	}
	spec := &w.sc.Runs[op.Run]
	template := &w.sc.Templates[spec.Template]
	price, files := template.Price, spec.Files
	if op.Accepts == PriceOfNow {
		price = w.oracle.Price(w.sc.Tenants[template.Tenant].ID, template.ID)
	}
	if op.Kind == Continue {
		files = w.oracle.Row(w.slots[op.Run].id).Tally.Failed
	}
	a.most = price * core.Credits(files)
	return &a.most
}

// useOf is the use case of an operation, as far as the oracle looks at requests.
func useOf(k OpKind) oracle.Use {
	switch k {
	case Initiate:
		return oracle.UseInitiate
	case Continue:
		return oracle.UseContinue
	case Purchase:
		return oracle.UseGrant
	case Refund:
		return oracle.UseRefund
	case Suspend, Reopen:
		return oracle.UseSuspend
	case Cancel, Raise, Preview, Reprice, Delete, Audit, Stop, Edit, Enroll, Break, Mend, Bulk:
	}
	return oracle.UseOther
}

// answered tells the oracle; definite is false if the user cannot know what
// became of the request.
func (w *World) answered(id sched.ActorID, op *Op, err error) (definite bool) {
	w.oracle.Step = w.sched.Steps
	if o := w.options.Observer; o != nil {
		o.Answered(uint8(id), &w.asked, &w.preview, w.sched.Now)
	}
	answer := w.asked
	if op.Kind != Initiate && op.Kind != Continue {
		answer.Key = ""
	}
	code, definite := w.oracle.Answered(answer)
	if op.Foreign && definite && code != core.CodeWrongTenant {
		w.oracle.Fail(oracle.I10, "an admin of another tenant asked to %s run %s and was answered %q", op.Kind, w.slots[op.Run].id, code)
	}
	w.metAnswer(id, op, err, code, definite)
	text := string(code)
	if err != nil && !definite && w.tape.Recording {
		text = err.Error()
	}
	w.env.Event(trace.Answer, uint8(id), answer.Tenant, w.slots[op.Run].id, int64(len(code)), text)
	return definite
}

// metAnswer looks at what an answer shows of what went on behind it.
func (w *World) metAnswer(id sched.ActorID, op *Op, err error, code core.Code, definite bool) {
	a := &w.actors[id]
	dispatches := op.Kind == Initiate || op.Kind == Continue
	if dispatches && err == nil && w.env.EnqueueFailed(id) {
		w.oracle.Met(oracle.CompensationRefused)
	}
	if p := &w.servers[a.process]; code == core.CodeEnqueueFailed {
		if n := p.svc.Stats().CompensationFailures; n > p.failures {
			p.failures = n
			w.oracle.Met(oracle.CompensationFailed)
		}
	}
	if a.lost && definite {
		w.oracle.Met(oracle.RepeatAfterLostCommit)
	}
	a.lost = dispatches && op.Key != "" && errors.Is(err, ports.ErrCommitUnknown)
}
