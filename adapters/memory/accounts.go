package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

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

type answers struct{ t *tx }

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	var row core.Answer
	err := r.t.read(ctx, func(st *tenantState) error {
		own, ok := r.t.answers[key]
		if !ok && st != nil {
			own, ok = st.answers[key]
		}
		if !ok {
			return ports.ErrNotFound
		}
		row = cloneAnswer(own)
		return nil
	})
	return row, err
}

func (r answers) Insert(ctx context.Context, row core.Answer) error {
	if err := r.t.lock(ctx, lockAnswer, string(row.Key)); err != nil {
		return err
	}
	_, err := r.Get(ctx, row.Key)
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

func (r answers) Save(ctx context.Context, row core.Answer) error {
	if err := r.t.lock(ctx, lockAnswer, string(row.Key)); err != nil {
		return err
	}
	if _, err := r.Get(ctx, row.Key); err != nil {
		return err
	}
	r.put(row)
	return nil
}

func (r answers) put(row core.Answer) {
	if r.t.answers == nil {
		r.t.answers = map[core.Key]core.Answer{}
	}
	row.Tenant = r.t.tenant
	r.t.answers[row.Key] = cloneAnswer(row)
}

// cloneAnswer: what the caller does with its own copy is its own affair.
func cloneAnswer(a core.Answer) core.Answer {
	if a.Refusal != nil {
		refusal := *a.Refusal
		refusal.Files, refusal.Fields = slices.Clone(refusal.Files), slices.Clone(refusal.Fields)
		a.Refusal = &refusal
	}
	return a
}
