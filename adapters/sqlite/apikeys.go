package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type apiKeys struct{ t *tx }

const (
	apiKeyColumns = `tenant_id, key_id, name, role, hash, by_subject, by_tenant, by_role, created_at, expires_at, revoked_at, used_at` //nolint:gosec // names of columns
	insertAPIKey  = `INSERT INTO api_keys (` + apiKeyColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func apiKeyArgs(tenant core.TenantID, k core.APIKey) []any {
	return []any{
		tenant, k.ID, k.Name, k.Role, k.Hash, text(k.CreatedBy.Subject), k.CreatedBy.Tenant, k.CreatedBy.Role,
		k.CreatedAt, nullTime(k.ExpiresAt), nullTime(k.RevokedAt), nullTime(k.LastUsedAt),
	}
}

func scanAPIKey(r *row) core.APIKey {
	return core.APIKey{
		Tenant: core.TenantID(r.text()), ID: core.APIKeyID(r.text()), Name: r.text(), Role: core.Role(r.text()), Hash: r.text(),
		CreatedBy: scanActor(r), CreatedAt: r.time(), ExpiresAt: r.time(), RevokedAt: r.time(), LastUsedAt: r.time(),
	}
}

func (r apiKeys) exists(ctx context.Context, id core.APIKeyID) (bool, error) {
	return r.t.exists(ctx, rowKey{kind: locktable.APIKey, id: string(id)},
		`SELECT 1 FROM api_keys WHERE tenant_id = ? AND key_id = ?`, r.t.tenant, findable(id))
}

func (r apiKeys) Insert(ctx context.Context, k core.APIKey) error {
	if err := r.t.lock(ctx, locktable.APIKey, string(k.ID)); err != nil {
		return err
	}
	if err := mustNot(r.exists(ctx, k.ID)); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	if err := r.t.write(ofAPIKeys, 1, ports.ErrExists, insertAPIKey, apiKeyArgs(r.t.tenant, k)...); err != nil {
		return err
	}
	r.t.isThere(rowKey{kind: locktable.APIKey, id: string(k.ID)})
	return nil
}

func (r apiKeys) Get(ctx context.Context, id core.APIKeyID) (core.APIKey, error) {
	const sql = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant_id = ? AND key_id = ?`
	return one(ctx, r.t, ofAPIKeys, scanAPIKey, sql, r.t.tenant, findable(id))
}

func (r apiKeys) Save(ctx context.Context, k core.APIKey) error {
	const sql = `UPDATE api_keys SET name = ?3, revoked_at = ?4 WHERE tenant_id = ?1 AND key_id = ?2`
	if err := r.t.lock(ctx, locktable.APIKey, string(k.ID)); err != nil {
		return err
	}
	if err := must(r.exists(ctx, k.ID)); err != nil {
		return err
	}
	return r.t.write(ofAPIKeys, 1, ports.ErrNotFound, sql, r.t.tenant, k.ID, k.Name, nullTime(k.RevokedAt))
}

func (r apiKeys) List(ctx context.Context) ([]core.APIKey, error) {
	const sql = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant_id = ? ORDER BY key_id`
	return all(ctx, r.t, ofAPIKeys, scanAPIKey, sql, r.t.tenant)
}

// foundKey is a key, and whether its tenant lives elsewhere.
type foundKey struct {
	core.APIKey
	gone bool
}

// APIKey implements ports.APIKeyUses.
func (s *Store) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	const sql = `
SELECT ` + apiKeyColumns + `, EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = ?1 AND m.state = 'gone')
  FROM api_keys WHERE tenant_id = ?1 AND key_id = ?2`
	found, err := list(ctx, s, func(r *row) foundKey { return foundKey{APIKey: scanAPIKey(r), gone: r.int() != 0} }, sql, findable(tenant), findable(id))
	switch {
	case err != nil:
		return core.APIKey{}, err
	case len(found) == 0:
		return core.APIKey{}, ports.ErrNotFound
	case found[0].gone:
		return core.APIKey{}, ports.ErrMoved
	}
	return found[0].APIKey, nil
}

// TouchAPIKey implements ports.APIKeyUses.
func (s *Store) TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error {
	args, err := bind([]any{findable(tenant), findable(id), at})
	if err != nil {
		return err
	}
	const sql = `UPDATE api_keys SET used_at = max(coalesce(used_at, ?3), ?3) WHERE tenant_id = ?1 AND key_id = ?2`
	n := int64(0)
	err = s.writer.do(ctx, &job{tenant: tenant, statements: []statement{{sql: sql, args: args, rows: anyNumber, wrote: &n}}})
	if err == nil && n == 0 {
		return ports.ErrNotFound
	}
	return err
}

// SweepAPIKeys implements ports.APIKeyUses.
func (s *Store) SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (int, error) {
	const sql = `
DELETE FROM api_keys
 WHERE tenant_id = ?1 AND (revoked_at < ?2 OR expires_at < ?2) AND tenant_id NOT IN (` + movingTenants + `)`
	n, err := s.execute(ctx, sql, findable(tenant), before)
	return int(n), err
}
