package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type templates struct{ t *tx }

func (r templates) Insert(ctx context.Context, row core.Template) error {
	_, err := r.GetForUpdate(ctx, row.ID)
	if err == nil {
		return ports.ErrExists
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	if err := r.t.read(ctx, r.t.exists); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r templates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	var row core.Template
	err := r.t.read(ctx, func(st *tenantState) error {
		own, ok := r.t.templates[id]
		if !ok && st != nil {
			own, ok = st.templates[id]
		}
		if !ok {
			return ports.ErrNotFound
		}
		row = own
		return nil
	})
	return row, err
}

func (r templates) GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error) {
	if err := r.t.lock(ctx, lockTemplate, string(id)); err != nil {
		return core.Template{}, err
	}
	return r.Get(ctx, id)
}

func (r templates) Save(ctx context.Context, row core.Template) error {
	if _, err := r.GetForUpdate(ctx, row.ID); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r templates) put(row core.Template) {
	if r.t.templates == nil {
		r.t.templates = map[core.TemplateID]core.Template{}
	}
	row.Tenant = r.t.tenant
	r.t.templates[row.ID] = row
}

func (r templates) List(ctx context.Context) ([]core.Template, error) {
	var list []core.Template
	err := r.t.read(ctx, func(st *tenantState) error {
		rows := map[core.TemplateID]core.Template{}
		if st != nil {
			maps.Copy(rows, st.templates)
		}
		maps.Copy(rows, r.t.templates)
		list = slices.SortedFunc(maps.Values(rows), func(a, b core.Template) int { return cmp.Compare(a.ID, b.ID) })
		return nil
	})
	return list, err
}
