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
	err = s.store.InTx(ctx, id, func(tx ports.Tx) error {
		err := tx.Tenants().Insert(ctx, tenant)
		if errors.Is(err, ports.ErrExists) {
			return &core.Error{Code: core.CodeTenantExists, Message: fmt.Sprintf("there is a tenant %q already", id)}
		}
		if err != nil {
			return err
		}
		return grantMonths(ctx, tx, tenant, now)
	})
	if err != nil {
		return core.Tenant{}, err
	}
	return tenant, nil
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

// Tenants lists tenants after an ID, ascending, for platform admins.
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
