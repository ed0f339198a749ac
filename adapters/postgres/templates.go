package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
)

type templates struct{ t *tx }

const templateColumns = `tenant_id, template_id, name, instructions, credits_per_run, mode, status, created_at, updated_at, deleted_at, version`

func (r templates) Insert(ctx context.Context, row core.Template) error {
	const sql = `
INSERT INTO templates (` + templateColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`
	return r.t.insert(ctx, sql, templateArgs(r.t.tenant, row)...)
}

func (r templates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 AND template_id = $2`
	return one(ctx, r.t, scanTemplate, sql, r.t.tenant, findable(id))
}

// GetForUpdate takes the lock that an UPDATE of the row takes, and not FOR
// UPDATE: that would make the insert of every run of this template wait for
// one that edits it, since the run refers to the row.
func (r templates) GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 AND template_id = $2 FOR NO KEY UPDATE`
	return oneLocked(ctx, r.t, scanTemplate, sql, r.t.tenant, findable(id))
}

func (r templates) Save(ctx context.Context, row core.Template) error {
	const sql = `
UPDATE templates SET name = $3, instructions = $4, credits_per_run = $5, mode = $6, status = $7,
       created_at = $8, updated_at = $9, deleted_at = $10, version = $11
 WHERE tenant_id = $1 AND template_id = $2`
	return r.t.overwrite(ctx, sql, templateArgs(r.t.tenant, row)...)
}

func (r templates) List(ctx context.Context) ([]core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 ORDER BY template_id`
	return all(ctx, r.t, scanTemplate, sql, r.t.tenant)
}

type templateVersions struct{ t *tx }

const templateVersionColumns = `tenant_id, template_id, version, instructions, by_subject, by_tenant, by_role, at`

func (r templateVersions) Insert(ctx context.Context, v core.TemplateVersion) error {
	const sql = `INSERT INTO template_versions (` + templateVersionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	return r.t.insert(ctx, sql, r.t.tenant, v.Template, v.Number, v.Instructions, text(v.By.Subject), v.By.Tenant, v.By.Role, v.At)
}

func (r templateVersions) Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error) {
	const sql = `SELECT ` + templateVersionColumns + ` FROM template_versions WHERE tenant_id = $1 AND template_id = $2 AND version = $3`
	return one(ctx, r.t, scanTemplateVersion, sql, r.t.tenant, findable(id), int32s([]int{number})[0])
}

func (r templateVersions) List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	const sql = `
SELECT ` + templateVersionColumns + ` FROM template_versions
 WHERE tenant_id = $1 AND template_id = $2 AND ($3 <= 0 OR version < $3)
 ORDER BY version DESC LIMIT $4`
	return all(ctx, r.t, scanTemplateVersion, sql, r.t.tenant, findable(id), below, max(limit, 0))
}

func scanTemplateVersion(row pgx.CollectableRow) (v core.TemplateVersion, err error) {
	err = row.Scan(&v.Tenant, &v.Template, &v.Number, &v.Instructions, &v.By.Subject, &v.By.Tenant, &v.By.Role, &v.At)
	v.At = v.At.UTC()
	return v, err
}
