package memory

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type tenants struct{ t *tx }

func (r tenants) Insert(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	if err := r.t.lock(ctx, lockTenant, ""); err != nil {
		return err
	}
	err := r.t.read(ctx, func(st *tenantState) error {
		if r.t.exists(st) == nil {
			return ports.ErrExists
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.t.newTenant = &row
	return nil
}

func (r tenants) Get(ctx context.Context) (core.Tenant, error) {
	var row core.Tenant
	err := r.t.read(ctx, func(st *tenantState) error {
		switch {
		case r.t.savedTenant != nil:
			row = *r.t.savedTenant
		case r.t.newTenant != nil:
			row = *r.t.newTenant
		case st != nil:
			row = st.tenant
		default:
			return ports.ErrNotFound
		}
		return nil
	})
	return row, err
}

func (r tenants) Save(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	if err := r.t.lock(ctx, lockTenant, ""); err != nil {
		return err
	}
	if _, err := r.Get(ctx); err != nil {
		return err
	}
	r.t.savedTenant = &row
	return nil
}
