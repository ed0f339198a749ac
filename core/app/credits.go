package app

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// clientKey prefixes callers' keys, so that no caller can use the key of a later charge
// or refund.
func clientKey(key core.Key) core.Key { return "client/" + key }

// Balance reads what a tenant can spend now.
func (s *Service) Balance(ctx context.Context, actor core.Actor, tenant core.TenantID) (core.Balance, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return core.Balance{}, err
	}
	var balance core.Balance
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		balance, err = tx.Ledger().Balance(ctx, core.PeriodOf(s.clock.Now()))
		return notFound(err, tenantNotFound(tenant))
	})
	return balance, err
}

// GrantAllowance adds monthly allowance to one period. A repeat under the same
// key returns the first entry and adds nothing; the same key for something else
// is core.CodeIdempotencyKeyReused.
func (s *Service) GrantAllowance(ctx context.Context, actor core.Actor, tenant core.TenantID, key core.Key, p core.Period, amount core.Credits) (core.Entry, error) {
	if err := core.CheckKey("Idempotency-Key", key); err != nil {
		return core.Entry{}, err
	}
	key = clientKey(key)
	return s.grant(ctx, actor, tenant, key, func(now time.Time) (core.Entry, error) {
		return core.NewAllowance(tenant, key, p, amount, actor, now)
	})
}

// PurchaseCredits adds to the purchased balance, once per key as in GrantAllowance.
func (s *Service) PurchaseCredits(ctx context.Context, actor core.Actor, tenant core.TenantID, key core.Key, amount core.Credits) (core.Entry, error) {
	if err := core.CheckKey("Idempotency-Key", key); err != nil {
		return core.Entry{}, err
	}
	key = clientKey(key)
	return s.grant(ctx, actor, tenant, key, func(now time.Time) (core.Entry, error) {
		return core.NewPurchase(tenant, key, amount, actor, now)
	})
}

// grant posts an entry that a caller requested, at most once per key. It takes the
// tenant's lock first, so that of two calls with one key the second finds the entry of the
// first.
func (s *Service) grant(ctx context.Context, actor core.Actor, tenant core.TenantID, key core.Key, entry func(now time.Time) (core.Entry, error)) (core.Entry, error) {
	if err := core.Authorize(actor, core.ActionManageCredits, tenant); err != nil {
		return core.Entry{}, err
	}
	var posted core.Entry
	again := false
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		again = false
		_, now, err := s.lockBalance(ctx, tx, tenant)
		if err != nil {
			return err
		}
		first, err := tx.Ledger().Entry(ctx, key)
		switch {
		case errors.Is(err, ports.ErrNotFound):
			wanted, err := entry(now)
			if err != nil {
				return err
			}
			if posted, err = tx.Ledger().Post(ctx, wanted); err != nil {
				return err
			}
			return s.auditGrant(ctx, tx, posted)
		case err != nil:
			return err
		}
		// A repeat may come when the month has ended. So it is checked as at the time of
		// the first request.
		wanted, err := entry(first.At)
		if err != nil || !first.SameAs(wanted) {
			return core.KeyReused()
		}
		posted, again = first, true
		return nil
	})
	if err != nil {
		return core.Entry{}, err
	}
	if again {
		replayed(ctx)
	}
	return posted, nil
}

// auditGrant records an entry that an administrator posted.
func (s *Service) auditGrant(ctx context.Context, tx ports.Tx, e core.Entry) error {
	facts := core.AuditFacts{"amount": creditsText(e.Amount.Total())}
	action := core.AuditCreditsPurchased
	if e.Kind == core.EntryAllowance {
		action = core.AuditAllowanceGranted
		facts["period"] = e.Period.String()
	}
	return s.audit(ctx, tx, e.Tenant, e.Actor, e.At, action, string(e.Key), facts)
}

// Entries reads a page of a tenant's ledger, in order.
func (s *Service) Entries(ctx context.Context, actor core.Actor, tenant core.TenantID, after int64, limit int) ([]core.Entry, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return nil, err
	}
	var entries []core.Entry
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		entries, err = tx.Ledger().Entries(ctx, after, limit)
		return err
	})
	return entries, err
}
