package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type templates struct{ t *tx }

const (
	templateColumns = `tenant_id, template_id, name, instructions, credits_per_run, mode, status, created_at, updated_at, deleted_at, version`
	getTemplate     = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = ? AND template_id = ?`
	insertTemplate  = `INSERT INTO templates (` + templateColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func (t *tx) templateExists(ctx context.Context, id core.TemplateID) (bool, error) {
	return t.exists(ctx, rowKey{kind: locktable.Template, id: string(id)},
		`SELECT 1 FROM templates WHERE tenant_id = ? AND template_id = ?`, t.tenant, findable(id))
}

func (r templates) Insert(ctx context.Context, row core.Template) error {
	if err := r.t.lock(ctx, locktable.Template, string(row.ID)); err != nil {
		return err
	}
	if err := mustNot(r.t.templateExists(ctx, row.ID)); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	if err := r.t.write(ofTemplates, 1, ports.ErrExists, insertTemplate, templateArgs(r.t.tenant, row)...); err != nil {
		return err
	}
	r.t.isThere(rowKey{kind: locktable.Template, id: string(row.ID)})
	return nil
}

func (r templates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	template, err := one(ctx, r.t, ofTemplates, scanTemplate, getTemplate, r.t.tenant, findable(id))
	if err == nil {
		r.t.isThere(rowKey{kind: locktable.Template, id: string(id)})
	}
	return template, err
}

func (r templates) GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error) {
	if err := r.t.lock(ctx, locktable.Template, string(id)); err != nil {
		return core.Template{}, err
	}
	return r.Get(ctx, id)
}

func (r templates) Save(ctx context.Context, row core.Template) error {
	const sql = `
UPDATE templates SET name = ?3, instructions = ?4, credits_per_run = ?5, mode = ?6, status = ?7,
       created_at = ?8, updated_at = ?9, deleted_at = ?10, version = ?11
 WHERE tenant_id = ?1 AND template_id = ?2`
	if err := r.t.lock(ctx, locktable.Template, string(row.ID)); err != nil {
		return err
	}
	if err := must(r.t.templateExists(ctx, row.ID)); err != nil {
		return err
	}
	return r.t.write(ofTemplates, 1, ports.ErrNotFound, sql, templateArgs(r.t.tenant, row)...)
}

func (r templates) List(ctx context.Context) ([]core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = ? ORDER BY template_id`
	return all(ctx, r.t, ofTemplates, scanTemplate, sql, r.t.tenant)
}

type templateVersions struct{ t *tx }

const (
	templateVersionColumns = `tenant_id, template_id, version, instructions, by_subject, by_tenant, by_role, at`
	insertVersion          = `INSERT INTO template_versions (` + templateVersionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
)

// Insert locks the template, whose versions are numbered one after the other.
func (r templateVersions) Insert(ctx context.Context, v core.TemplateVersion) error {
	if err := r.t.lock(ctx, locktable.Template, string(v.Template)); err != nil {
		return err
	}
	key := rowKey{kind: locktable.Template, id: string(v.Template), n: v.Number}
	if err := mustNot(r.t.exists(ctx, key, `SELECT 1 FROM template_versions WHERE tenant_id = ? AND template_id = ? AND version = ?`,
		r.t.tenant, findable(v.Template), v.Number)); err != nil {
		return err
	}
	if err := must(r.t.templateExists(ctx, v.Template)); err != nil {
		return err
	}
	if err := r.t.write(ofVersions, 1, ports.ErrExists, insertVersion,
		r.t.tenant, v.Template, v.Number, v.Instructions, text(v.By.Subject), v.By.Tenant, v.By.Role, v.At); err != nil {
		return err
	}
	r.t.isThere(key)
	return nil
}

func (r templateVersions) Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error) {
	const sql = `SELECT ` + templateVersionColumns + ` FROM template_versions WHERE tenant_id = ? AND template_id = ? AND version = ?`
	return one(ctx, r.t, ofVersions, scanTemplateVersion, sql, r.t.tenant, findable(id), number)
}

func (r templateVersions) List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	const sql = `
SELECT ` + templateVersionColumns + ` FROM template_versions
 WHERE tenant_id = ?1 AND template_id = ?2 AND (?3 <= 0 OR version < ?3)
 ORDER BY version DESC LIMIT ?4`
	return all(ctx, r.t, ofVersions, scanTemplateVersion, sql, r.t.tenant, findable(id), below, max(limit, 0))
}
