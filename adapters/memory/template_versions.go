package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type templateVersions struct{ t *tx }

func (r templateVersions) Insert(ctx context.Context, v core.TemplateVersion) error {
	if err := r.t.lock(ctx, lockTemplate, string(v.Template)); err != nil {
		return err
	}
	if _, err := r.Get(ctx, v.Template, v.Number); err == nil {
		return ports.ErrExists
	}
	if _, err := templates(r).Get(ctx, v.Template); err != nil {
		return err
	}
	v.Tenant = r.t.tenant
	w := r.t.writes()
	w.versions = append(w.versions, v)
	return nil
}

func (r templateVersions) Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error) {
	list, err := r.of(ctx, id)
	if err != nil {
		return core.TemplateVersion{}, err
	}
	for _, v := range list {
		if v.Number == number {
			return v, nil
		}
	}
	return core.TemplateVersion{}, ports.ErrNotFound
}

func (r templateVersions) List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	list, err := r.of(ctx, id)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(v core.TemplateVersion) bool { return below > 0 && v.Number >= below })
	slices.SortFunc(list, func(a, b core.TemplateVersion) int { return cmp.Compare(b.Number, a.Number) })
	return list[:min(max(limit, 0), len(list))], nil
}

// of gives a copy of a template's versions.
func (r templateVersions) of(ctx context.Context, id core.TemplateID) ([]core.TemplateVersion, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	var list []core.TemplateVersion
	if st != nil {
		list = slices.Clone(st.versions[id])
	}
	for _, v := range r.t.wrote.versions {
		if v.Template == id {
			list = append(list, v)
		}
	}
	return list, nil
}
