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
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r templates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.Template{}, err
	}
	defer r.t.done()
	if row := r.t.wrote.template(id); row != nil {
		return *row, nil
	}
	if st != nil {
		if row := st.templates.get(id); row != nil {
			return *row, nil
		}
	}
	return core.Template{}, ports.ErrNotFound
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
	row.Tenant = r.t.tenant
	w := r.t.writes()
	if old := w.template(row.ID); old != nil {
		*old = row
		return
	}
	w.templates = append(w.templates, row)
}

func (r templates) List(ctx context.Context) ([]core.Template, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	rows := map[core.TemplateID]core.Template{}
	if st != nil {
		for _, row := range st.templates.list {
			rows[row.ID] = row
		}
	}
	for _, row := range r.t.wrote.templates {
		rows[row.ID] = row
	}
	return slices.SortedFunc(maps.Values(rows), func(a, b core.Template) int { return cmp.Compare(a.ID, b.ID) }), nil
}
