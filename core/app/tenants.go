package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CreateTenant adds a tenant without credits. Refusals: CodeRoleNotAllowed,
// CodeInvalidRequest, CodeTenantExists.
func (s *Service) CreateTenant(ctx context.Context, actor core.Actor, id core.TenantID, name string, monthlyAllowance core.Credits) (core.Tenant, error) {
	if err := core.Authorize(actor, core.ActionManageTenants, id); err != nil {
		return core.Tenant{}, err
	}
	tenant, err := core.NewTenant(id, name, monthlyAllowance, s.clock.Now())
	if err != nil {
		return core.Tenant{}, err
	}
	err = s.store.InTx(ctx, id, func(tx ports.Tx) error {
		err := tx.Tenants().Insert(ctx, tenant)
		if errors.Is(err, ports.ErrExists) {
			return &core.Error{Code: core.CodeTenantExists, Message: fmt.Sprintf("there is a tenant %q already", id)}
		}
		return err
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
