package postgres

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type tenants struct{ t *tx }

const tenantColumns = `tenant_id, name, monthly_allowance, created_at, suspended_at, suspended_reason`

// Insert writes the tenant with its credits, which are none.
func (r tenants) Insert(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	const sql = `
WITH tenant AS (
    INSERT INTO tenants (` + tenantColumns + `) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING tenant_id
)
INSERT INTO credits (tenant_id) SELECT tenant_id FROM tenant`
	args := tenantArgs(r.t.tenant, row)
	if !r.t.citus {
		return r.t.insert(ctx, sql, args...)
	}
	if err := r.t.listTenant(ctx); err != nil {
		return err
	}
	for _, st := range []statement{
		{`INSERT INTO tenants (` + tenantColumns + `) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, args},
		{`INSERT INTO credits (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING`, args[:1]},
	} {
		if err := r.t.insert(ctx, st.sql, st.args...); err != nil {
			return err
		}
	}
	return nil
}

func (r tenants) Get(ctx context.Context) (core.Tenant, error) {
	const sql = `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id = $1`
	return one(ctx, r.t, scanTenant, sql, r.t.tenant)
}

func (r tenants) Save(ctx context.Context, row core.Tenant) error {
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	const sql = `
UPDATE tenants SET name = $2, monthly_allowance = $3, created_at = $4, suspended_at = $5, suspended_reason = $6 WHERE tenant_id = $1`
	err := r.t.overwrite(ctx, sql, tenantArgs(r.t.tenant, row)...)
	if err == nil && r.t.account != nil {
		r.t.account.suspended = row.Suspended()
	}
	return err
}

type answers struct{ t *tx }

const answerColumns = `tenant_id, key, operation, fingerprint, run, refusal, at`

const insertAnswer = `INSERT INTO answers (` + answerColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	const sql = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = $1 AND key = $2`
	return one(ctx, r.t, scanAnswer, sql, r.t.tenant, findable(key))
}

func (r answers) Insert(ctx context.Context, row core.Answer) error {
	args, err := answerArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.insert(ctx, insertAnswer, args...)
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
