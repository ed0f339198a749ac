package postgres

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type tenants struct{ t *tx }

const tenantColumns = `tenant_id, name, monthly_allowance, created_at`

// Insert writes the tenant with its credits, which are none.
func (r tenants) Insert(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	const sql = `
WITH tenant AS (
    INSERT INTO tenants (` + tenantColumns + `) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING tenant_id
)
INSERT INTO credits (tenant_id) SELECT tenant_id FROM tenant`
	return r.t.insert(ctx, sql, r.t.tenant, row.Name, row.MonthlyAllowance, row.CreatedAt)
}

func (r tenants) Get(ctx context.Context) (core.Tenant, error) {
	const sql = `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id = $1`
	return one(ctx, r.t, scanTenant, sql, r.t.tenant)
}

func (r tenants) Save(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	const sql = `UPDATE tenants SET name = $2, monthly_allowance = $3, created_at = $4 WHERE tenant_id = $1`
	return r.t.overwrite(ctx, sql, r.t.tenant, row.Name, row.MonthlyAllowance, row.CreatedAt)
}

type templates struct{ t *tx }

const templateColumns = `tenant_id, template_id, name, instructions, credits_per_run, mode, status, created_at, updated_at, deleted_at`

func (r templates) Insert(ctx context.Context, row core.Template) error {
	const sql = `
INSERT INTO templates (` + templateColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`
	return r.t.insert(ctx, sql, templateArgs(r.t.tenant, row)...)
}

func (r templates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 AND template_id = $2`
	return one(ctx, r.t, scanTemplate, sql, r.t.tenant, findable(id))
}

// GetForUpdate takes the lock that an UPDATE of the row takes, and not FOR
// UPDATE: that would make the insert of every run of this template wait for
// whoever edits it, since the run refers to the row.
func (r templates) GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 AND template_id = $2 FOR NO KEY UPDATE`
	return locked(ctx, r.t, scanTemplate, sql, r.t.tenant, findable(id))
}

func (r templates) Save(ctx context.Context, row core.Template) error {
	const sql = `
UPDATE templates SET name = $3, instructions = $4, credits_per_run = $5, mode = $6, status = $7,
       created_at = $8, updated_at = $9, deleted_at = $10
 WHERE tenant_id = $1 AND template_id = $2`
	return r.t.overwrite(ctx, sql, templateArgs(r.t.tenant, row)...)
}

func (r templates) List(ctx context.Context) ([]core.Template, error) {
	const sql = `SELECT ` + templateColumns + ` FROM templates WHERE tenant_id = $1 ORDER BY template_id`
	return all(ctx, r.t, scanTemplate, sql, r.t.tenant)
}

type answers struct{ t *tx }

const answerColumns = `tenant_id, key, operation, fingerprint, run, refusal, at`

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	const sql = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = $1 AND key = $2`
	return one(ctx, r.t, scanAnswer, sql, r.t.tenant, findable(key))
}

func (r answers) Insert(ctx context.Context, row core.Answer) error {
	const sql = `INSERT INTO answers (` + answerColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`
	args, err := answerArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.insert(ctx, sql, args...)
}

func (r answers) Save(ctx context.Context, row core.Answer) error {
	const sql = `
UPDATE answers SET operation = $3, fingerprint = $4, run = $5, refusal = $6, at = $7
 WHERE tenant_id = $1 AND key = $2`
	args, err := answerArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.overwrite(ctx, sql, args...)
}
