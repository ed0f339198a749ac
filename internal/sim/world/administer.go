package world

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
)

// administer has the operator suspend a tenant, give back charges by hand and reopen the
// tenant, while its users go on.
func (s *Scenario) administer(r *sched.Rand) {
	const operator = users
	tenant := s.Templates[s.Runs[0].Template].Tenant
	if r.IntN(3) == 0 {
		tenant = r.IntN(len(s.Tenants))
	}
	script := s.user(operator)
	at := 0
	add := func(op Op) {
		at += r.IntN(len(*script) - at + 1)
		*script = slices.Insert(*script, at, op)
		at++
	}
	refund := func(key core.Key) Op {
		op := Op{Kind: Refund, Run: r.IntN(len(s.Runs)), Key: key, Amount: core.Credits(1 + r.IntN(30)), Again: r.IntN(3) > 0}
		if r.IntN(2) == 0 {
			op.Run = r.IntN(pastRuns)
		}
		op.Early = r.IntN(4) == 0
		return op
	}
	suspended := r.IntN(3) > 0
	if suspended {
		add(Op{Kind: Suspend, Tenant: tenant, Again: r.IntN(2) == 0})
	}
	for n := range r.IntN(len(refundKeys) + 1) {
		add(refund(refundKeys[n]))
	}
	if suspended && r.IntN(4) > 0 {
		add(Op{Kind: Reopen, Tenant: tenant, Again: true})
	}
}

var refundKeys = [...]core.Key{"refund-a", "refund-b", "refund-c"}

// refunded is what an operator gives back; 0 for all that can be.
func refunded(op *Op) core.Credits {
	if op.Amount%3 == 0 {
		return 0
	}
	return op.Amount
}

// refund gives back a charge by hand, if there is one. A repeat is about the same one.
func (w *World) refund(ctx context.Context, svc *app.Service, tenant core.TenantID, a *actor, op *Op) error {
	w.env.Enter(oracle.UseRefund)
	if a.charge == "" {
		return nil
	}
	req := app.RefundRequest{Tenant: tenant, Charge: a.charge, Reason: "goodwill", IdempotencyKey: op.Key}
	if amount := refunded(op); amount > 0 {
		req.Amount = &amount
	}
	_, err := svc.RefundCharge(ctx, core.System, req)
	return err
}
