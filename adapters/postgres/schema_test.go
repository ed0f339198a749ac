package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// exceptions to the rule that keys begin with tenant_id.
var keysWithoutTenant = map[string]string{
	"run_owners_pkey":        "the directory is asked by run alone; its comment says why",
	"event_tickets_pkey":     "found before it is known whose it is; its migration says why",
	"sessions_pkey":          "found before it is known whose it is; its migration says why",
	"bulk_continues_pkey":    "found before it is known whose it is; its migration says why",
	"bulk_replies_pkey":      "of requests over several tenants; its migration says why",
	"schema_migrations_pkey": "not a tenant's table",
}

// exceptions to the rule that a tenant that is closed for a move has no table written.
var tablesThatStay = map[string]string{
	"moves":          "what closes it",
	"run_owners":     "written in the transactions that write runs, which are refused",
	"sessions":       "a closed tenant can still be read, and users sign in for that",
	"event_tickets":  "as sessions: they open streams that read",
	"bulk_continues": "driven by servers and moved with no tenant; what it has of a tenant is in bulk_parts and bulk_runs",
	"queue_messages": "the queue is of all tenants; a job of a closed one fails when it is claimed",
	"queue_jobs":     "as queue_messages",
	"queue_dead":     "as queue_messages",
}

func names(t *testing.T, conn interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string,
) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

func TestSchema(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{})

	t.Run("EveryKeyBeginsWithTheTenant", func(t *testing.T) {
		t.Parallel()
		for _, key := range names(t, pool, `
			SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
			  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			 WHERE c.relnamespace = 'public'::regnamespace AND (i.indisunique OR i.indisprimary) AND a.attname <> 'tenant_id'`) {
			require.Contains(t, keysWithoutTenant, key)
		}
	})
	t.Run("EveryForeignKeyIsWithinTheTenant", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, names(t, pool, `
			SELECT k.conname::text FROM pg_constraint k
			  JOIN pg_attribute mine ON mine.attrelid = k.conrelid AND mine.attnum = k.conkey[1]
			  JOIN pg_attribute theirs ON theirs.attrelid = k.confrelid AND theirs.attnum = k.confkey[1]
			 WHERE k.contype = 'f' AND (mine.attname <> 'tenant_id' OR theirs.attname <> 'tenant_id')`))
	})
	t.Run("NoIndexOnWhatChangesWithEveryFile", func(t *testing.T) {
		t.Parallel()
		// Else no update of a file, a counter or a balance could be HOT.
		require.Empty(t, names(t, pool, `
			SELECT i.indexrelid::regclass::text FROM pg_index i
			  JOIN pg_depend d ON d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
			  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
			 WHERE (i.indrelid::regclass::text, a.attname) IN (
			       ('files', 'status'), ('files', 'lease_until'), ('files', 'epoch'), ('files', 'retry_attempt'),
			       ('runs', 'completed_jobs'), ('runs', 'failed_jobs'), ('runs', 'tally_unfinished'), ('runs', 'epoch'), ('runs', 'dispatch'),
			       ('credits', 'purchased'), ('credits', 'last_seq'), ('allowances', 'monthly_left'))`))
	})
	t.Run("EveryTableOfATenantIsClosedWithIt", func(t *testing.T) {
		t.Parallel()
		store, pool := pgtest.Open(t, postgres.Config{})
		states := func() map[string]string {
			found := map[string]string{}
			for _, line := range names(t, pool, `
				SELECT c.relname || ' ' || coalesce(t.tgenabled::text, 'no trigger') FROM pg_class c
				  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
				  LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'moved' AND t.tgfoid = 'refuse_moved'::regproc
				 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`) {
				table, state, _ := strings.Cut(line, " ")
				if _, stays := tablesThatStay[table]; !stays {
					found[table] = state
				}
			}
			return found
		}
		all := func(state string) map[string]string {
			same := states()
			for table := range same {
				same[table] = state
			}
			return same
		}
		require.Equal(t, all("D"), states(), "while no tenant is closed")
		require.Greater(t, len(states()), 15)
		leaving := ports.Move{ID: "m", State: ports.MoveLeaving}
		require.NoError(t, store.SetMove(bounded(t), "acme", ports.Move{}, leaving))
		require.Equal(t, all("A"), states(), "while one is")
		require.NoError(t, store.SetMove(bounded(t), "acme", leaving, ports.Move{}))
		require.Equal(t, all("D"), states(), "when none is any more")
	})
	t.Run("IDsAndKeysCompareByteByByte", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, names(t, pool, `
			SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
			   AND (a.attname ~ '_id$|^key$|_key$|period$') AND a.atttypid = 'text'::regtype AND a.attcollation <> '"C"'::regcollation`))
	})
}

// The ledger cannot be rewritten, by whatever statement, and not even by the
// superuser that owns the table.
func TestLedgerIsAppendOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	w.Settled(t, 2, allFail)
	const all = `SELECT string_agg(l::text, E'\n' ORDER BY l.seq) FROM ledger l`
	var before, after string
	require.NoError(t, w.pool.QueryRow(t.Context(), all).Scan(&before))
	require.Equal(t, 3, len(strings.Split(before, "\n")))

	for _, sql := range []string{
		`UPDATE ledger SET purchased = purchased + 1`,
		`UPDATE ledger SET at = at WHERE seq = 1`,
		`UPDATE ledger SET purchased = 0 WHERE false`,
		`DELETE FROM ledger`,
		`DELETE FROM ledger WHERE seq = 2`,
		`TRUNCATE ledger`,
		`ALTER TABLE runs DISABLE TRIGGER runs_kept; TRUNCATE tenants CASCADE`,
		`INSERT INTO ledger SELECT * FROM ledger WHERE seq = 1 ON CONFLICT (tenant_id, seq) DO UPDATE SET purchased = 999`,
		`WITH gone AS (DELETE FROM ledger RETURNING *) SELECT count(*) FROM gone`,
		`SET session_replication_role = replica; DELETE FROM ledger`,
		`SET session_replication_role = replica; UPDATE ledger SET monthly = 0`,
		`SET session_replication_role = replica; TRUNCATE ledger`,
	} {
		err := inOwnConnection(t, w, sql)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg, sql)
		// A TRUNCATE that cascades meets the audit log first.
		require.Contains(t, []string{"ledger_append_only", "audit_log_append_only"}, pg.ConstraintName, sql)
		require.Contains(t, pg.Message, "append-only", sql)
	}
	require.NoError(t, w.pool.QueryRow(t.Context(), all).Scan(&after))
	require.Equal(t, before, after)
}

// inOwnConnection runs statements on a connection that is thrown away, with
// whatever they have set.
func inOwnConnection(t *testing.T, w *world, sql string) error {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), w.pool.Config().ConnConfig)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql)
	return err
}

// A foreign schema: tables that are not ours are none of our business, but a
// database without ours is told apart from one that is unreachable.
func TestStoreWithoutSchema(t *testing.T) {
	t.Parallel()
	store, _ := pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
	_, err := store.TenantOf(bounded(t), core.RunID("r"))
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "42P01", pg.Code, "undefined table")
	require.NoError(t, store.Ping(bounded(t)))
}
