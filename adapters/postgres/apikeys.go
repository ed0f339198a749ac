package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type apiKeys struct{ t *tx }

const apiKeyColumns = `tenant_id, key_id, name, role, hash, by_subject, by_tenant, by_role, created_at, expires_at, revoked_at, used_at` //nolint:gosec // names of columns

func (r apiKeys) Insert(ctx context.Context, k core.APIKey) error {
	const sql = `
INSERT INTO api_keys (` + apiKeyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`
	return r.t.insert(ctx, sql, r.t.tenant, k.ID, k.Name, k.Role, k.Hash, text(k.CreatedBy.Subject), k.CreatedBy.Tenant, k.CreatedBy.Role,
		k.CreatedAt, nullTime(k.ExpiresAt), nullTime(k.RevokedAt), nullTime(k.LastUsedAt))
}

func (r apiKeys) Get(ctx context.Context, id core.APIKeyID) (core.APIKey, error) {
	const sql = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant_id = $1 AND key_id = $2`
	return one(ctx, r.t, scanAPIKey, sql, r.t.tenant, findable(id))
}

func (r apiKeys) Save(ctx context.Context, k core.APIKey) error {
	const sql = `UPDATE api_keys SET name = $3, revoked_at = $4 WHERE tenant_id = $1 AND key_id = $2`
	return r.t.overwrite(ctx, sql, r.t.tenant, findable(k.ID), k.Name, nullTime(k.RevokedAt))
}

func (r apiKeys) List(ctx context.Context) ([]core.APIKey, error) {
	const sql = `SELECT ` + apiKeyColumns + ` FROM api_keys WHERE tenant_id = $1 ORDER BY key_id`
	return all(ctx, r.t, scanAPIKey, sql, r.t.tenant)
}

func scanAPIKey(row pgx.CollectableRow) (k core.APIKey, err error) {
	return scanAPIKeyAnd(row)
}

// scanAPIKeyAnd takes further columns after those of the key.
func scanAPIKeyAnd(row pgx.CollectableRow, more ...any) (k core.APIKey, err error) {
	var expires, revoked, used pgtype.Timestamptz
	err = row.Scan(append([]any{
		&k.Tenant, &k.ID, &k.Name, &k.Role, &k.Hash, &k.CreatedBy.Subject, &k.CreatedBy.Tenant, &k.CreatedBy.Role,
		&k.CreatedAt, &expires, &revoked, &used,
	}, more...)...)
	k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt = k.CreatedAt.UTC(), timeOf(expires), timeOf(revoked), timeOf(used)
	return k, err
}

// foundKey is a key, and whether its tenant lives elsewhere.
type foundKey struct {
	core.APIKey
	gone bool
}

// APIKey implements ports.APIKeyUses.
func (s *Store) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	const sql = `
SELECT ` + apiKeyColumns + `, EXISTS (SELECT FROM moves m WHERE m.tenant_id = $1 AND m.state = 'gone')
  FROM api_keys WHERE tenant_id = $1 AND key_id = $2`
	found, err := list(ctx, s, func(row pgx.CollectableRow) (f foundKey, err error) {
		f.APIKey, err = scanAPIKeyAnd(row, &f.gone)
		return f, err
	}, sql, findable(tenant), findable(id))
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

// TouchAPIKey implements ports.APIKeyUses. The trigger moved refuses it for a closed tenant.
func (s *Store) TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error {
	const sql = `UPDATE api_keys SET used_at = greatest(used_at, $3) WHERE tenant_id = $1 AND key_id = $2`
	n, err := s.execute(ctx, sql, findable(tenant), findable(id), at)
	if err == nil && n == 0 {
		return ports.ErrNotFound
	}
	return err
}

// SweepAPIKeys implements ports.APIKeyUses.
func (s *Store) SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (int, error) {
	sql := `
DELETE FROM api_keys
 WHERE tenant_id = $1 AND (revoked_at < $2 OR expires_at < $2)` + s.notMoving(ctx, "api_keys")
	return s.execute(ctx, sql, findable(tenant), before)
}
