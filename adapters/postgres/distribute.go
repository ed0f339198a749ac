package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrCannotDistribute says why Distribute did nothing, or went no further.
var ErrCannotDistribute = errors.New("cannot distribute the tables by Citus")

// oldestCitus is the oldest major version that Distribute takes: before it, triggers and
// local tables beside distributed ones are not supported as the schema needs them. It is
// tested with 13.2.
const oldestCitus = 12

// Distribute spreads the tables of an up-to-date schema over the nodes of Citus, by tenant,
// and gives the names of those that this call moved. Each table is moved by a transaction of
// its own, with its rows, so a call that was interrupted is taken up by the next one, and one
// that finds nothing to do changes nothing. No server may run meanwhile. There is no way back
// but to move the tenants (see ports.Mover): Citus undistributes no table that has an identity
// column.
//
// ErrCannotDistribute, with the reason, if the database is not the coordinator of a cluster
// with nodes for tables. The nodes' addresses and passwords are Citus's matter.
func Distribute(ctx context.Context, pool *pgxpool.Pool) (moved []string, err error) {
	steps, err := MigrationStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	if pending(steps) {
		return nil, fmt.Errorf("%w: the schema is not up to date", ErrCannotDistribute)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, translate(err)
	}
	// It is not given back: the session is set as no other is to be, and closing it frees the
	// advisory lock.
	own := conn.Hijack()
	defer func() { _ = own.Close(context.WithoutCancel(ctx)) }()
	if err := distributable(ctx, own); err != nil {
		return nil, translate(err)
	}
	if _, err := own.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return nil, translate(err)
	}
	for _, p := range placements {
		if p.is != ByTenant {
			continue
		}
		did, err := distribute(ctx, own, p.table)
		if err != nil {
			return moved, fmt.Errorf("%w: table %s: %w", ErrCannotDistribute, p.table, translate(err))
		}
		if did {
			moved = append(moved, p.table)
		}
	}
	for _, sql := range onlyOnCitus {
		if _, err := own.Exec(ctx, sql); err != nil {
			return moved, fmt.Errorf("%w: %w", ErrCannotDistribute, translate(err))
		}
	}
	return moved, nil
}

// onlyOnCitus is what plain Postgres has no use for. It may be run again.
var onlyOnCitus = []string{
	// What a node is asked for a run of which it is not known whose it is (directory.go).
	`CREATE INDEX IF NOT EXISTS runs_by_id ON runs (run_id)`,
	// The tenants, on the coordinator, for when not every node can be asked (nodes.go).
	`CREATE TABLE IF NOT EXISTS tenant_list (tenant_id text COLLATE "C" PRIMARY KEY)`,
	`INSERT INTO tenant_list (tenant_id) SELECT tenant_id FROM tenants ON CONFLICT DO NOTHING`,
	// Later migrations, and moves of tenants, change triggers; and a migration that changes two
	// tables in one transaction has to take one shard after the other.
	`DO $$ BEGIN
	    EXECUTE format('ALTER DATABASE %I SET citus.enable_unsafe_triggers = on', current_database());
	    EXECUTE format('ALTER DATABASE %I SET citus.multi_shard_modify_mode = sequential', current_database());
	END $$`,
}

// distributable refuses a database that cannot be distributed.
func distributable(ctx context.Context, conn *pgx.Conn) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrCannotDistribute, fmt.Sprintf(format, args...))
	}
	var schema, version string
	err := conn.QueryRow(ctx, `SELECT coalesce(current_schema(), ''), coalesce((SELECT extversion FROM pg_extension WHERE extname = 'citus'), '')`).Scan(&schema, &version)
	switch {
	case err != nil:
		return err
	case version == "":
		return refuse("the database has no extension citus; load it on every node (shared_preload_libraries), then CREATE EXTENSION citus in a database of this name on each, and citus_add_node() here")
	case schema != "public":
		return refuse("the tables are in the schema %s, and the nodes look for what triggers read in public", schema)
	}
	var major int
	if _, err := fmt.Sscanf(version, "%d", &major); err != nil || major < oldestCitus {
		return refuse("the extension citus has version %s; it has to be %d or later", version, oldestCitus)
	}
	var group, nodes, unsynced int
	var closed bool
	err = conn.QueryRow(ctx, `
SELECT (SELECT groupid FROM pg_dist_local_group),
       (SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards),
       (SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND NOT (isactive AND metadatasynced)),
       (SELECT count(*) > 0 FROM moves WHERE closed)`).Scan(&group, &nodes, &unsynced, &closed)
	switch {
	case err != nil:
		return err
	case group != 0:
		return refuse("this is a node of the cluster; connect to its coordinator")
	case nodes == 0:
		return refuse("the cluster has no node for tables; add one with citus_add_node()")
	case unsynced > 0:
		return refuse("%d nodes of the cluster are not active (pg_dist_node)", unsynced)
	case closed:
		return refuse("tenants are being moved or were moved away; end that first, and remove those that are gone")
	}
	return nil
}

// distribute reports whether it moved the table.
func distribute(ctx context.Context, conn *pgx.Conn, table string) (did bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(pg pgx.Tx) error {
		if err := pg.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = $1::text::regclass)`, table).Scan(&did); err != nil || !did {
			return err
		}
		// Citus leaves triggers to those who say that theirs look at the tenant's own rows only.
		if _, err := pg.Exec(ctx, `SELECT set_config('citus.enable_unsafe_triggers', 'on', true)`); err != nil {
			return err
		}
		with := "tenants"
		if table == with {
			with = "none"
		}
		_, err := pg.Exec(ctx, `SELECT create_distributed_table($1::text::regclass, 'tenant_id', colocate_with => $2)`, table, with)
		return err
	})
	return did, err
}

// Spread is how the tables are spread, from the catalog.
type Spread struct {
	Citus   string   // the version of the extension; empty: plain Postgres, or nothing is distributed
	Nodes   int      // that have tables
	Shards  int      // of each table
	Missing []string // tables that are to be distributed and are not; Distribute goes on with them
	Apart   []string // tables that are not with the others of their tenant
}

// SpreadStatus says whether the tables are on plain Postgres or on Citus. It writes nothing.
func SpreadStatus(ctx context.Context, pool *pgxpool.Pool) (Spread, error) {
	var s Spread
	_, distributed, err := isDistributed(ctx, pool)
	if err != nil || !distributed {
		return s, translate(err)
	}
	err = pool.QueryRow(ctx, `
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'citus'),
       (SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards),
       (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'tenants'::regclass)`).Scan(&s.Citus, &s.Nodes, &s.Shards)
	if err != nil {
		return s, translate(err)
	}
	const sql = `
SELECT p.logicalrelid IS NULL, p.colocationid IS DISTINCT FROM (SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = 'tenants'::regclass)
  FROM (SELECT) x LEFT JOIN pg_dist_partition p ON p.logicalrelid = to_regclass($1)`
	for _, p := range placements {
		var local, apart bool
		if err := pool.QueryRow(ctx, sql, p.table).Scan(&local, &apart); err != nil {
			return s, translate(err)
		}
		switch {
		case p.is != ByTenant:
		case local:
			s.Missing = append(s.Missing, p.table)
		case apart:
			s.Apart = append(s.Apart, p.table)
		}
	}
	return s, nil
}

// Whole is nil unless the tables are half on Citus, which no server can work with.
func (s Spread) Whole() error {
	if len(s.Missing)+len(s.Apart) == 0 {
		return nil
	}
	return fmt.Errorf("the tables are not wholly distributed: %v are not, %v are apart from their tenants; run 'redrive migrate --citus'", s.Missing, s.Apart)
}
