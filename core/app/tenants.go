package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CreateTenant adds a tenant and grants its monthly allowance, so that it can start at
// once. Refusals: CodeRoleNotAllowed, CodeInvalidRequest, CodeTenantExists.
func (s *Service) CreateTenant(ctx context.Context, actor core.Actor, id core.TenantID, name string, monthlyAllowance core.Credits) (core.Tenant, error) {
	if err := core.Authorize(actor, core.ActionManageTenants, actor.Tenant); err != nil {
		return core.Tenant{}, err
	}
	now := s.clock.Now()
	tenant, err := core.NewTenant(id, name, monthlyAllowance, now)
	if err != nil {
		return core.Tenant{}, err
	}
	d := deed{tenant: id, op: core.OperationCreateTenant, creates: true, request: []any{name, monthlyAllowance}}
	return once(ctx, s, d, func(tx ports.Tx) (core.Tenant, error) {
		err := tx.Tenants().Insert(ctx, tenant)
		if errors.Is(err, ports.ErrExists) {
			return core.Tenant{}, &core.Error{Code: core.CodeTenantExists, Message: fmt.Sprintf("there is a tenant %q already", id)}
		}
		if err != nil {
			return core.Tenant{}, err
		}
		if err := s.audit(ctx, tx, id, actor, now, core.AuditTenantCreated, string(id), core.AuditFacts{
			"name": name, "monthlyAllowance": creditsText(monthlyAllowance),
		}); err != nil {
			return core.Tenant{}, err
		}
		return tenant, grantMonths(ctx, tx, tenant, now)
	})
}

// ChangeTenant changes a tenant's name or monthly allowance. A new allowance is that of
// every month that was not granted yet. Refusals: CodeRoleNotAllowed, CodeTenantNotFound,
// CodeInvalidRequest.
func (s *Service) ChangeTenant(ctx context.Context, actor core.Actor, id core.TenantID, c core.TenantChange) (core.Tenant, error) {
	return s.updateTenant(ctx, actor, deed{tenant: id}, core.AuditTenantChanged, func(t core.Tenant, _ time.Time) (core.Tenant, error) { return t.Change(c) })
}

// SuspendTenant keeps a tenant from beginning attempts and being charged, until it is
// reopened: initiations, Continues and trials are refused with CodeTenantSuspended. What
// runs goes on to its end. Refusals: CodeRoleNotAllowed, CodeTenantNotFound,
// CodeInvalidRequest.
func (s *Service) SuspendTenant(ctx context.Context, actor core.Actor, id core.TenantID, reason string) (core.Tenant, error) {
	d := deed{tenant: id, op: core.OperationSuspendTenant, request: reason}
	return s.updateTenant(ctx, actor, d, core.AuditTenantSuspended, func(t core.Tenant, now time.Time) (core.Tenant, error) { return t.Suspend(reason, now) })
}

// ReopenTenant ends a suspension. Refusals: CodeRoleNotAllowed, CodeTenantNotFound.
func (s *Service) ReopenTenant(ctx context.Context, actor core.Actor, id core.TenantID) (core.Tenant, error) {
	d := deed{tenant: id, op: core.OperationReopenTenant}
	return s.updateTenant(ctx, actor, d, core.AuditTenantReopened, func(t core.Tenant, _ time.Time) (core.Tenant, error) { return t.Reopen(), nil })
}

// updateTenant changes the tenant under the lock of its credits, which whatever charges it
// takes too: once it has returned, nothing is decided on what the tenant was before.
func (s *Service) updateTenant(ctx context.Context, actor core.Actor, d deed, action core.AuditAction, update func(core.Tenant, time.Time) (core.Tenant, error)) (core.Tenant, error) {
	if err := core.Authorize(actor, core.ActionManageTenants, d.tenant); err != nil {
		return core.Tenant{}, err
	}
	return once(ctx, s, d, func(tx ports.Tx) (core.Tenant, error) {
		_, now, err := s.lockBalance(ctx, tx, d.tenant)
		if err != nil {
			return core.Tenant{}, err
		}
		t, err := tx.Tenants().Get(ctx)
		if err != nil {
			return core.Tenant{}, err
		}
		updated, err := update(t, now)
		if err != nil || updated == t {
			return updated, err
		}
		if err := tx.Tenants().Save(ctx, updated); err != nil {
			return core.Tenant{}, err
		}
		return updated, s.audit(ctx, tx, d.tenant, actor, now, action, string(d.tenant), tenantFacts(t, updated))
	})
}

// tenantFacts are what changed of a tenant.
func tenantFacts(before, after core.Tenant) core.AuditFacts {
	facts := core.AuditFacts{}
	if before.Name != after.Name {
		facts["nameFrom"], facts["nameTo"] = before.Name, after.Name
	}
	if before.MonthlyAllowance != after.MonthlyAllowance {
		facts["monthlyAllowanceFrom"], facts["monthlyAllowanceTo"] = creditsText(before.MonthlyAllowance), creditsText(after.MonthlyAllowance)
	}
	if before.SuspendedReason != after.SuspendedReason {
		facts["reason"] = after.SuspendedReason
	}
	return facts
}

// Tenant reads one tenant.
func (s *Service) Tenant(ctx context.Context, actor core.Actor, id core.TenantID) (core.Tenant, error) {
	if err := core.Authorize(actor, core.ActionRead, id); err != nil {
		return core.Tenant{}, err
	}
	var tenant core.Tenant
	err := s.store.View(ctx, id, func(tx ports.Tx) (err error) {
		tenant, err = tx.Tenants().Get(ctx)
		return notFound(err, tenantNotFound(id))
	})
	return tenant, err
}

// Tenants lists tenants after an ID, ascending, for platform admins. Those that cannot be asked
// are left out, with an error that is ports.ErrIncomplete beside the list.
func (s *Service) Tenants(ctx context.Context, actor core.Actor, after core.TenantID, limit int) ([]core.Tenant, error) {
	if err := core.Authorize(actor, core.ActionInspectAnyTenant, actor.Tenant); err != nil {
		return nil, err
	}
	return s.store.AllTenants(ctx, after, limit)
}

// grantMonths grants a new tenant the months that the refill would. The tenant is not
// visible to other transactions yet, so the months cannot have been granted.
func grantMonths(ctx context.Context, tx ports.Tx, t core.Tenant, now time.Time) error {
	if t.MonthlyAllowance == 0 {
		return nil
	}
	var entries []core.Entry
	for _, m := range monthsToRefill(now) {
		entry, err := core.NewAllowance(t.ID, m.key, m.period, t.MonthlyAllowance, core.System, now)
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	if _, err := tx.Ledger().BalanceForUpdate(ctx, entries[0].Period); err != nil {
		return err
	}
	return post(ctx, tx, entries)
}
