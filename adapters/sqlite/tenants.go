package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type tenants struct{ t *tx }

const (
	tenantColumns = `tenant_id, name, monthly_allowance, created_at, suspended_at, suspended_reason`
	insertTenant  = `INSERT INTO tenants (` + tenantColumns + `) VALUES (?, ?, ?, ?, ?, ?)`
	insertCredits = `INSERT INTO credits (tenant_id) VALUES (?)`
)

func (t *tx) tenantExists(ctx context.Context) (bool, error) {
	return t.exists(ctx, rowKey{kind: locktable.Tenant}, `SELECT 1 FROM tenants WHERE tenant_id = ?`, t.tenant)
}

// Insert writes the tenant with its credits, which are none.
func (r tenants) Insert(ctx context.Context, row core.Tenant) error {
	if err := r.t.writable(ctx); err != nil {
		return err
	}
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	if err := r.t.lock(ctx, locktable.Tenant, ""); err != nil {
		return err
	}
	if err := mustNot(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	if err := r.t.write(ofTenants, 1, ports.ErrExists, insertTenant, tenantArgs(r.t.tenant, row)...); err != nil {
		return err
	}
	r.t.isThere(rowKey{kind: locktable.Tenant})
	return r.t.write(ofCredits, 1, ports.ErrExists, insertCredits, r.t.tenant)
}

func (r tenants) Get(ctx context.Context) (core.Tenant, error) {
	const sql = `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id = ?`
	return one(ctx, r.t, ofTenants, scanTenant, sql, r.t.tenant)
}

func (r tenants) Save(ctx context.Context, row core.Tenant) error {
	if err := r.t.writable(ctx); err != nil {
		return err
	}
	if row.ID != r.t.tenant {
		return ports.ErrNotFound
	}
	if err := r.t.lock(ctx, locktable.Tenant, ""); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	const sql = `
UPDATE tenants SET name = ?2, monthly_allowance = ?3, created_at = ?4, suspended_at = ?5, suspended_reason = ?6 WHERE tenant_id = ?1`
	if r.t.account != nil {
		r.t.account.suspended = row.Suspended()
	}
	return r.t.write(ofTenants, 1, ports.ErrNotFound, sql, tenantArgs(r.t.tenant, row)...)
}

type answers struct{ t *tx }

const (
	answerColumns = `tenant_id, key, operation, fingerprint, run, refusal, at`
	insertAnswer  = `INSERT INTO answers (` + answerColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

func (r answers) exists(ctx context.Context, key core.Key) (bool, error) {
	return r.t.exists(ctx, rowKey{kind: locktable.Answer, id: string(key)},
		`SELECT 1 FROM answers WHERE tenant_id = ? AND key = ?`, r.t.tenant, findable(key))
}

const getAnswer = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = ? AND key = ?`

func (r answers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	return one(ctx, r.t, ofAnswers, scanAnswer, getAnswer, r.t.tenant, findable(key))
}

func (r answers) Insert(ctx context.Context, row core.Answer) error {
	if err := r.t.lock(ctx, locktable.Answer, string(row.Key)); err != nil {
		return err
	}
	if err := mustNot(r.exists(ctx, row.Key)); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	args, err := answerArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	if err := r.t.write(ofAnswers, 1, ports.ErrExists, insertAnswer, args...); err != nil {
		return err
	}
	r.t.isThere(rowKey{kind: locktable.Answer, id: string(row.Key)})
	return nil
}

func (r answers) Save(ctx context.Context, row core.Answer) error {
	const sql = `
UPDATE answers SET operation = ?3, fingerprint = ?4, run = ?5, refusal = ?6, at = ?7
 WHERE tenant_id = ?1 AND key = ?2`
	if err := r.t.lock(ctx, locktable.Answer, string(row.Key)); err != nil {
		return err
	}
	if err := must(r.exists(ctx, row.Key)); err != nil {
		return err
	}
	args, err := answerArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.write(ofAnswers, 1, ports.ErrNotFound, sql, args...)
}
