package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// RefundRequest asks to give back a charge by hand, or a part of it.
type RefundRequest struct {
	Tenant core.TenantID
	Charge core.Key      // of the ledger entry
	Amount *core.Credits // nil: all that can be given back
	Reason string
	// IdempotencyKey is required. A repeat under the same key returns the first entry and
	// gives nothing back.
	IdempotencyKey core.Key
}

// RefundCharge gives back what a charge took, wholly or in part, each part to where it came
// from (core.PlanRefund), and takes it off the run's credit fields.
//
// Refusals: CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest, CodeTenantNotFound,
// CodeChargeNotFound, CodeIdempotencyKeyReused, CodeRunAlreadyRunning, CodeRefundTooLarge,
// CodeCreditsOutOfRange: nothing was changed.
func (s *Service) RefundCharge(ctx context.Context, actor core.Actor, req RefundRequest) (core.Entry, error) {
	if err := core.Authorize(actor, core.ActionManageCredits, req.Tenant); err != nil {
		return core.Entry{}, err
	}
	if err := core.CheckKey("Idempotency-Key", req.IdempotencyKey); err != nil {
		return core.Entry{}, err
	}
	wanted := core.HandRefund{Key: clientKey(req.IdempotencyKey), Amount: req.Amount, Reason: req.Reason, By: actor}
	key := idempotencyOf(ctx)
	key.Key = req.IdempotencyKey
	// The entry alone does not say whether an amount was asked for, or all; the reply does, as
	// long as it is kept. The entry's key is good for ever.
	d := deed{tenant: req.Tenant, op: core.OperationRefund, request: []any{req.Charge, req.Amount, req.Reason}}
	again := false
	posted, err := once(WithIdempotency(ctx, key), s, d, func(tx ports.Tx) (core.Entry, error) {
		again = false
		charge, err := chargeOf(ctx, tx, req)
		if err != nil {
			return core.Entry{}, err
		}
		run, err := ports.LockRun(ctx, tx, charge.Run)
		if err != nil {
			return core.Entry{}, fmt.Errorf("run of charge %s: %w", charge.Key, err)
		}
		if _, err := tx.Ledger().BalanceForUpdate(ctx, charge.Period); err != nil {
			return core.Entry{}, err
		}
		first, err := tx.Ledger().Entry(ctx, wanted.Key)
		switch {
		case err == nil && first.SameRefund(charge.Key, wanted):
			again = true
			return first, nil
		case err == nil:
			return core.Entry{}, core.KeyReused()
		case !errors.Is(err, ports.ErrNotFound):
			return core.Entry{}, err
		}
		return s.refund(ctx, tx, run, charge, wanted)
	})
	if err == nil && again {
		replayed(ctx)
	}
	return posted, err
}

// chargeOf finds the charge, which never changes.
func chargeOf(ctx context.Context, tx ports.Tx, req RefundRequest) (core.Entry, error) {
	if _, err := tx.Tenants().Get(ctx); err != nil {
		return core.Entry{}, notFound(err, tenantNotFound(req.Tenant))
	}
	charge, err := tx.Ledger().Entry(ctx, req.Charge)
	if errors.Is(err, ports.ErrNotFound) || err == nil && charge.Kind != core.EntryCharge {
		err = &core.Error{Code: core.CodeChargeNotFound, Message: "the tenant's ledger has no charge of this key; the receipt of a run names its charges"}
	}
	return charge, err
}

// refund decides and writes. The caller holds the run's lock and the tenant's.
func (s *Service) refund(ctx context.Context, tx ports.Tx, run core.Run, charge core.Entry, wanted core.HandRefund) (core.Entry, error) {
	attempt, err := tx.Attempts().Get(ctx, run.ID, charge.Attempt)
	if err != nil {
		return core.Entry{}, err
	}
	refunds, err := tx.Ledger().RefundsOf(ctx, charge.Key)
	if err != nil {
		return core.Entry{}, err
	}
	pending, err := tx.Files().InStatus(ctx, run.ID, core.FilePending)
	if err != nil {
		return core.Entry{}, err
	}
	plan, err := core.PlanRefund(run, attempt, refunds, pending, wanted, s.clock.Now())
	if err != nil {
		return core.Entry{}, err
	}
	posted, err := tx.Ledger().Post(ctx, plan.Entry)
	if err != nil {
		return core.Entry{}, err
	}
	if err := tx.Runs().Save(ctx, ports.RunRows{Run: plan.Run}); err != nil {
		return core.Entry{}, err
	}
	return posted, s.audit(ctx, tx, run.Tenant, wanted.By, posted.At, core.AuditCreditsRefunded, string(posted.Key), core.AuditFacts{
		"amount": creditsText(posted.Amount.Total()), "charge": string(charge.Key), "run": string(run.ID), "reason": posted.Reason,
	})
}
