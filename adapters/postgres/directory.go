package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Whose a run is, on Citus. On plain Postgres run_owners says so of every run, with one
// look-up. A row of it for each run would have to be found before it is known on which node
// the tenant is, so it would be on another one, and every initiation would write to two.

// unmistakable reports whether an ID is one that no two runs ever get: a UUID that was drawn
// or counts time, as app.UUIDs makes them, in the one form in which they are written. Other IDs
// are held to be unique over all tenants by a row in run_owners, on the coordinator.
func unmistakable(run core.RunID) bool {
	id, err := uuid.Parse(string(run))
	return err == nil && id.Variant() == uuid.RFC4122 && (id.Version() == 4 || id.Version() == 7) && id.String() == string(run)
}

// TenantOf implements ports.Store.
func (s *Store) TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error) {
	if s.citus(ctx) {
		return s.tenantOnCitus(ctx, findable(run), findable(ports.LikelyOwnerOf(ctx)))
	}
	return s.tenantOf(ctx, `SELECT tenant_id FROM run_owners WHERE run_id = $1`, findable(run))
}

func (s *Store) tenantOf(ctx context.Context, sql string, args ...any) (core.TenantID, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	return query(ctx, s, func(ctx context.Context) (tenant core.TenantID, err error) {
		err = s.pool.QueryRow(ctx, sql, args...).Scan(&tenant)
		return tenant, err
	})
}

// tenantOnCitus asks the node of the likely owner, which is all that a tenant's own requests
// ask. Then it looks into run_owners, which has the runs from before the tables were spread,
// and at last asks every node, by an index that only Citus has. That a run is not there is
// only said if every node said so.
func (s *Store) tenantOnCitus(ctx context.Context, run core.RunID, likely core.TenantID) (core.TenantID, error) {
	if likely != "" {
		owner, err := s.tenantOf(ctx, `SELECT tenant_id FROM runs WHERE tenant_id = $1 AND run_id = $2`, likely, run)
		if !errors.Is(err, ports.ErrNotFound) {
			return owner, err
		}
	}
	owner, err := s.tenantOf(ctx, `SELECT tenant_id FROM run_owners WHERE run_id = $1`, run)
	if !errors.Is(err, ports.ErrNotFound) {
		return owner, err
	}
	found, err := across(ctx, s, pgx.RowTo[core.TenantID], func(and string) string {
		return `SELECT r.tenant_id FROM runs r WHERE r.run_id = $1` + of(and, "r")
	}, run)
	switch {
	case len(found) == 1:
		return found[0], nil
	case err != nil:
		return "", err
	case len(found) > 1:
		return "", fmt.Errorf("postgres: run %s is there of %d tenants", run, len(found))
	}
	return "", ports.ErrNotFound
}
