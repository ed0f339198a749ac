package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

type txFileViews struct{ *tx }

func (t txFileViews) Page(ctx context.Context, run core.RunID, filter ports.FileFilter) ([]core.File, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return nil, err
	}
	return t.inner.FileViews().Page(ctx, run, filter)
}

func (t txFileViews) Output(ctx context.Context, run core.RunID, index int) (core.File, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return core.File{}, err
	}
	return t.inner.FileViews().Output(ctx, run, index)
}

func (t txFileViews) Counts(ctx context.Context, run core.RunID) (core.FileCounts, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return core.FileCounts{}, err
	}
	return t.inner.FileViews().Counts(ctx, run)
}

func (t txFileViews) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return false, err
	}
	return t.inner.FileViews().AnyMaxed(ctx, run, maxRetryCount)
}

type txTemplateVersions struct{ *tx }

func (t txTemplateVersions) Insert(ctx context.Context, v core.TemplateVersion) error {
	if err := t.before(trace.TemplateSave, ""); err != nil {
		return err
	}
	err := t.inner.TemplateVersions().Insert(ctx, v)
	t.locked(err)
	return err
}

func (t txTemplateVersions) Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error) {
	if err := t.before(trace.TemplateGet, ""); err != nil {
		return core.TemplateVersion{}, err
	}
	v, err := t.inner.TemplateVersions().Get(ctx, id, number)
	if err == nil {
		t.ofTenant(v.Tenant, "template version")
	}
	return v, err
}

func (t txTemplateVersions) List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	if err := t.before(trace.TemplateList, ""); err != nil {
		return nil, err
	}
	return t.inner.TemplateVersions().List(ctx, id, below, limit)
}
