package app

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CreateTemplate adds a draft to the tenant t.Tenant. If t.ID is empty, an ID is made.
// Refusals: CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest, CodeTenantNotFound.
func (s *Service) CreateTemplate(ctx context.Context, actor core.Actor, t core.Template) (core.Template, error) {
	if err := core.Authorize(actor, core.ActionManageTemplates, t.Tenant); err != nil {
		return core.Template{}, err
	}
	asked := t
	if t.ID == "" {
		var err error
		if t.ID, err = newID[core.TemplateID](s.ids); err != nil {
			return core.Template{}, err
		}
	}
	draft, err := core.NewTemplate(t, s.clock.Now())
	if err != nil {
		return core.Template{}, err
	}
	d := deed{tenant: t.Tenant, op: core.OperationCreateTemplate, request: []any{asked.ID, asked.Name, asked.Instructions, asked.CreditsPerRun, asked.Mode}}
	return once(ctx, s, d, func(tx ports.Tx) (core.Template, error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return core.Template{}, notFound(err, tenantNotFound(t.Tenant))
		}
		err := tx.Templates().Insert(ctx, draft)
		if errors.Is(err, ports.ErrExists) {
			return core.Template{}, core.InvalidField("id", "there is a template %q already; choose another ID or leave it out", t.ID)
		}
		if err != nil {
			return core.Template{}, err
		}
		if err := tx.TemplateVersions().Insert(ctx, draft.VersionBy(actor, draft.CreatedAt)); err != nil {
			return core.Template{}, err
		}
		return draft, s.audit(ctx, tx, t.Tenant, actor, draft.CreatedAt, core.AuditTemplateCreated, string(draft.ID), core.AuditFacts{
			"name": draft.Name, "creditsPerRun": creditsText(draft.CreditsPerRun),
		})
	})
}

// ChangeTemplate changes name, instructions or price. New instructions are a new version,
// for runs that are initiated from then on.
func (s *Service) ChangeTemplate(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID, c core.TemplateChange) (core.Template, error) {
	return s.updateTemplate(ctx, actor, deed{tenant: tenant}, id, core.AuditTemplateChanged, func(t core.Template, now time.Time) (core.Template, error) { return t.Change(c, now) })
}

// PublishTemplate makes a draft usable for runs.
func (s *Service) PublishTemplate(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID) (core.Template, error) {
	d := deed{tenant: tenant, op: core.OperationPublishTemplate, request: id}
	return s.updateTemplate(ctx, actor, d, id, core.AuditTemplatePublished, core.Template.Publish)
}

// DeleteTemplate soft-deletes a template: its runs can still be continued.
func (s *Service) DeleteTemplate(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID) (core.Template, error) {
	return s.updateTemplate(ctx, actor, deed{tenant: tenant}, id, core.AuditTemplateDeleted, func(t core.Template, now time.Time) (core.Template, error) { return t.SoftDelete(now), nil })
}

func (s *Service) updateTemplate(ctx context.Context, actor core.Actor, d deed, id core.TemplateID, action core.AuditAction, update func(core.Template, time.Time) (core.Template, error)) (core.Template, error) {
	if err := core.Authorize(actor, core.ActionManageTemplates, d.tenant); err != nil {
		return core.Template{}, err
	}
	return once(ctx, s, d, func(tx ports.Tx) (core.Template, error) {
		t, err := tx.Templates().GetForUpdate(ctx, id)
		if err != nil {
			return core.Template{}, notFound(err, templateNotFound(id))
		}
		now := s.clock.Now()
		updated, err := update(t, now)
		if err != nil {
			return core.Template{}, err
		}
		if updated.Version != t.Version {
			if err := tx.TemplateVersions().Insert(ctx, updated.VersionBy(actor, now)); err != nil {
				return core.Template{}, err
			}
		}
		if updated == t {
			return t, nil // as it was: nothing was done
		}
		if err := tx.Templates().Save(ctx, updated); err != nil {
			return core.Template{}, err
		}
		return updated, s.audit(ctx, tx, d.tenant, actor, now, action, string(id), templateFacts(t, updated))
	})
}

// templateFacts are what changed of a template. Of instructions, which are long, it is the
// version.
func templateFacts(before, after core.Template) core.AuditFacts {
	facts := core.AuditFacts{}
	if before.Name != after.Name {
		facts["nameFrom"], facts["nameTo"] = before.Name, after.Name
	}
	if before.CreditsPerRun != after.CreditsPerRun {
		facts["creditsPerRunFrom"], facts["creditsPerRunTo"] = creditsText(before.CreditsPerRun), creditsText(after.CreditsPerRun)
	}
	if before.Version != after.Version {
		facts["version"] = strconv.Itoa(after.Version)
	}
	return facts
}

// Template reads one template, soft-deleted or not.
func (s *Service) Template(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID) (core.Template, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return core.Template{}, err
	}
	var t core.Template
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		t, err = tx.Templates().Get(ctx, id)
		return notFound(err, templateNotFound(id))
	})
	return t, err
}

// TemplateVersions lists the versions of a template's instructions, newest first: those
// below a number (0: all), up to limit.
func (s *Service) TemplateVersions(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	_, list, err := s.TemplateVersionsPage(ctx, actor, tenant, id, below, limit)
	return list, err
}

// TemplateVersionsPage is TemplateVersions with the template, whose Version is how many there
// are.
func (s *Service) TemplateVersionsPage(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID, below, limit int) (core.Template, []core.TemplateVersion, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return core.Template{}, nil, err
	}
	var t core.Template
	var list []core.TemplateVersion
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if t, err = tx.Templates().Get(ctx, id); err != nil {
			return notFound(err, templateNotFound(id))
		}
		list, err = tx.TemplateVersions().List(ctx, id, below, limit)
		return err
	})
	return t, list, err
}

// Templates lists a tenant's templates, the soft-deleted ones too.
func (s *Service) Templates(ctx context.Context, actor core.Actor, tenant core.TenantID) ([]core.Template, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return nil, err
	}
	var list []core.Template
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		list, err = tx.Templates().List(ctx)
		return err
	})
	return list, err
}
