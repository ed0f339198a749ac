package memory

import (
	"context"
	"errors"

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
	switch err := r.t.exists(ctx); {
	case err == nil:
		return ports.ErrExists
	case !errors.Is(err, ports.ErrNotFound):
		return err
	}
	w := r.t.writes()
	w.tenant, w.newTenant, w.savedTenant = row, true, true
	return nil
}

func (r tenants) Get(ctx context.Context) (core.Tenant, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.Tenant{}, err
	}
	defer r.t.done()
	switch {
	case r.t.wrote.savedTenant:
		return r.t.wrote.tenant, nil
	case st != nil:
		return st.tenant, nil
	default:
		return core.Tenant{}, ports.ErrNotFound
	}
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
	w := r.t.writes()
	w.tenant, w.savedTenant = row, true
	return nil
}
