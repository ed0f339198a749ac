package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// The statements by which the version before 00013 wrote and read attempts.
const (
	oldInsertAttempt = `
WITH attempt AS (
    INSERT INTO attempts (tenant_id, run_id, attempt, epoch, jobs,
 requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
 price, charge_key, charge_period, charge_monthly, charge_purchased,
 before_status, before_reason, before_closed_at, before_last_retried_at,
 before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at, before_failure_code, before_failure_message)
    VALUES ('acme', $1, 0, 1, $2, 'ada', 'acme', 'customer_admin', now(), 0, NULL, NULL, 0, 0, NULL, '', NULL, NULL, 0, 0, 0, NULL, '', '')
    ON CONFLICT DO NOTHING RETURNING tenant_id, run_id, attempt
), rows AS (
    INSERT INTO attempt_files (tenant_id, run_id, attempt, index, charged, before_status, before_retry_attempt, before_redeliveries, before_paid_by,
 before_failure_code, before_failure_message, before_free_retries)
    SELECT attempt.*, v.*
      FROM attempt, unnest($3::int[], $4::boolean[], $5::text[], $6::int[], $6::int[], $6::int[], $7::text[], $7::text[], $6::int[]) AS v
)
SELECT FROM attempt`
	oldReadAttemptFiles = `
SELECT attempt, index, charged, before_status, before_retry_attempt, before_redeliveries, before_paid_by,
 before_failure_code, before_failure_message, before_free_retries
  FROM attempt_files WHERE tenant_id = $1 AND run_id = $2 ORDER BY attempt, index`
)

// oldTenant makes a tenant with a published template, as the version before did.
func oldTenant(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO tenants (tenant_id, name, monthly_allowance, created_at) VALUES ('acme', 'Acme', 10, now())`,
		`INSERT INTO credits (tenant_id) VALUES ('acme')`,
		`INSERT INTO templates (tenant_id, template_id, name, instructions, credits_per_run, mode, status, created_at, updated_at, version)
		 VALUES ('acme', 'summarize', 'summarize', 'do it', 2, 'per_file', 'published', now(), now(), 1)`,
		`INSERT INTO template_versions (tenant_id, template_id, version, instructions, by_subject, by_tenant, by_role, at)
		 VALUES ('acme', 'summarize', 1, 'do it', 'system', '', 'bubble_admin', now())`,
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
}

// oldRun starts a free run of three files as the version before did, of which all have failed.
func oldRun(t *testing.T, pool *pgxpool.Pool, id core.RunID) {
	t.Helper()
	ctx := t.Context()
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(ctx, sql, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO run_owners VALUES ($1, 'acme')`, id)
	exec(`INSERT INTO runs (tenant_id, run_id, template_id, mode, status, reason, created_by_subject, created_by_tenant, created_by_role, created_at, closed_at,
		max_retry_count, attempt, epoch, dispatch, total_jobs, attempt_jobs, completed_jobs, failed_jobs, file_count,
		tally_unfinished, tally_completed, tally_failed, tally_error, credits_consumed, credits_from_monthly, credits_from_purchased, dispatched_at, redispatches)
		VALUES ('acme', $1, 'summarize', 'per_file', 'FAILED', '', 'ada', 'acme', 'customer_admin', now(), now(), 3, 0, 1, 'confirmed', 3, 3, 0, 3, 3,
		0, 0, 3, 0, 0, 0, 0, now(), 0)`, id)
	exec(`INSERT INTO files (tenant_id, run_id, index, name, ref, size, status, retry_attempt, max_retry_count, epoch, redeliveries, paid_by, output, failure_code, failure_message)
		SELECT 'acme', $1, i, 'file', 'ref', 1, 'failed', 0, 3, 1, 0, 0, '', 'timeout', 'no answer' FROM generate_series(0, 2) i`, id)
	exec(oldInsertAttempt, id, 3, []int32{0, 1, 2}, []bool{false, false, false}, []*string{nil, nil, nil}, []int32{0, 0, 0}, []string{"", "", ""})
}

// migrateTo brings an empty database up to a version of the past.
func migrateTo(t *testing.T, pool *pgxpool.Pool, version int64) {
	t.Helper()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { require.NoError(t, db.Close()) }()
	steps, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"), goose.WithTableName("schema_migrations"))
	require.NoError(t, err)
	_, err = steps.UpTo(t.Context(), version)
	require.NoError(t, err)
}

// Rows of the release before are read and continued, and its servers work on beside
// this one while they are replaced.
func TestUpgradeOfAttempts(t *testing.T) {
	t.Parallel()
	url := pgtest.NewEmpty(t).URL
	_, pool := pgtest.Open(t, postgres.Config{URL: url})
	ctx := bounded(t)
	migrateTo(t, pool, 11)
	w := emptyWorld(t, postgres.Config{URL: url}, noExecution)
	oldTenant(t, pool)
	oldRun(t, pool, "before")

	_, err := postgres.Migrate(ctx, pool)
	require.NoError(t, err)
	_, err = w.PurchaseCredits(ctx, admin, "acme", "opening", 1_000_000)
	require.NoError(t, err)
	pool.Reset() // of statements that were prepared for the schema before
	oldRun(t, pool, "beside")
	for _, id := range []core.RunID{"before", "beside"} {
		require.Equal(t, initiated(3, false), w.attempts(t, id)[0].Files, id)
		w.Queue.FailWith(func() error { return errQueueDown })
		_, err = w.RetryFailed(ctx, customer, id, app.RetryRequest{})
		require.ErrorIs(t, err, errQueueDown)
		require.Equal(t, core.RunFailed, w.Read(t, id).Status, "undone by what its attempt says")
		w.Queue.FailWith(nil)
		_, err = w.RetryFailed(ctx, customer, id, app.RetryRequest{})
		require.NoError(t, err)
		list := w.attempts(t, id)
		require.Len(t, list, 3)
		require.Equal(t, core.FileFailed, list[2].Files[1].Before.Status)
	}

	run, err := w.Start(ctx, "acme", 4)
	require.NoError(t, err)
	require.Equal(t, initiated(4, true), w.attempts(t, run.ID)[0].Files)
	for id, files := range map[core.RunID]int64{"before": 9, "beside": 9, run.ID: 4} {
		rows, err := pool.Query(ctx, oldReadAttemptFiles, "acme", id)
		require.NoError(t, err)
		n := int64(0)
		for rows.Next() {
			n++
		}
		require.NoError(t, rows.Err())
		require.Equal(t, files, n, "what a server of the version before reads of %s", id)
	}
	require.EqualValues(t, 4, w.Number(t, `SELECT count(*) FROM attempt_files WHERE run_id = $1 AND charged AND before_status IS NULL`, run.ID))
	require.Zero(t, w.Number(t, `SELECT count(*) FROM attempt_file_rows WHERE run_id = $1`, run.ID))
}

func (w *world) attempts(t *testing.T, id core.RunID) (list []core.Attempt) {
	t.Helper()
	require.NoError(t, w.store.View(t.Context(), "acme", func(tx ports.Tx) (err error) {
		list, err = tx.Attempts().List(context.WithoutCancel(t.Context()), id)
		return err
	}))
	return list
}

// initiated are the files of an initiation's attempt.
func initiated(n int, charged bool) []core.AttemptFile {
	files := make([]core.AttemptFile, n)
	for i := range files {
		files[i] = core.AttemptFile{Index: i, Charged: charged}
	}
	return files
}

// Servers of the release before charge while this one migrates: no step waits for a table's
// lock for long, with everybody behind it, and indexes are built beside them.
func TestUpgradeBesideServersThatCharge(t *testing.T) {
	t.Parallel()
	url := pgtest.NewEmpty(t).URL
	_, pool := pgtest.Open(t, postgres.Config{URL: url, MaxConns: 8})
	ctx := bounded(t)
	migrateTo(t, pool, 16)
	oldTenant(t, pool)
	exec := func(q interface {
		Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	}, sql string, args ...any,
	) {
		_, err := q.Exec(ctx, sql, args...)
		require.NoError(t, err, sql)
	}
	seq := 0
	charge := func() {
		t.Helper()
		seq++
		id := core.RunID(fmt.Sprint("run-", seq))
		oldRun(t, pool, id)
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		exec(tx, `SET LOCAL lock_timeout = '5s'`) // Config.LockTimeout's default
		exec(tx, `SELECT FROM credits WHERE tenant_id = 'acme' FOR UPDATE`)
		exec(tx, `INSERT INTO ledger (tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key, actor_subject, actor_tenant, actor_role, at)
			VALUES ('acme', $1, $2, 'charge', '2026-03', 0, 1, $3, 0, NULL, 'ada', 'acme', 'customer_admin', now())`, seq, "charge/"+string(id)+"/0", id)
		exec(tx, `UPDATE credits SET last_seq = $1 WHERE tenant_id = 'acme'`, seq)
		exec(tx, `INSERT INTO answers (tenant_id, key, operation, fingerprint, run, refusal, at) VALUES ('acme', $1, 'initiate', '', NULL, '{}', now())`, id)
		require.NoError(t, tx.Commit(ctx))
	}
	charge()

	_, writes := holding(t, pool, `LOCK TABLE ledger IN ROW EXCLUSIVE MODE`) // a transaction that takes its time
	migrated := make(chan error, 1)
	go func() {
		_, err := postgres.Migrate(ctx, pool)
		migrated <- err
	}()
	wait := func(sql string) {
		t.Helper()
		require.Eventually(t, func() bool { return len(names(t, pool, sql)) > 0 }, testTimeout, time.Millisecond, sql)
	}
	wait(`SELECT mode FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted`)
	charge()
	snapshot := func() pgx.Tx {
		tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		require.NoError(t, err)
		exec(tx, `SELECT FROM sessions`)
		return tx
	}
	holds := snapshot() // which the end of a build waits for
	writes()
	for _, index := range []string{"ledger_refunded_once_next", "ledger_refunds", "answers_refused"} {
		building := `SELECT phase FROM pg_stat_progress_create_index WHERE index_relid = to_regclass('` + index + `') AND phase = 'waiting for old snapshots'`
		wait(building)
		charge()
		require.NotEmpty(t, names(t, pool, building), "while the index is built")
		next := snapshot()
		require.NoError(t, holds.Rollback(ctx))
		holds = next
	}
	require.NoError(t, holds.Rollback(ctx))
	require.NoError(t, <-migrated)
	require.Empty(t, names(t, pool, `SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid`))
	require.Equal(t, []string{"CREATE UNIQUE INDEX ledger_refunded_once ON public.ledger USING btree (tenant_id, charge_key) WHERE ((charge_key IS NOT NULL) AND (reason IS NULL))"},
		names(t, pool, `SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'ledger_refunded_once%'`))
}

// A step after 00016 that indexes a table that is there does so beside the servers that
// write to it.
func TestMigrationsDoNotBlockTables(t *testing.T) {
	t.Parallel()
	index := regexp.MustCompile(`(?m)^ *CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?.*?\bON (\w+)`)
	steps, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	concurrent := 0
	for _, step := range steps {
		if filepath.Base(step) < "00017" {
			continue
		}
		text, err := os.ReadFile(step)
		require.NoError(t, err)
		for _, found := range index.FindAllStringSubmatch(string(text), -1) {
			if found[1] != "" {
				concurrent++
				require.Contains(t, string(text), "DROP INDEX CONCURRENTLY IF EXISTS", step)
				continue
			}
			require.Contains(t, string(text), "CREATE TABLE "+found[2]+" (", "%s: CREATE INDEX on %s waits for its writers, and they for it", step, found[2])
		}
	}
	require.Equal(t, 3, concurrent)
}

// An index whose build was cut off is there and of no use: it is built again.
func TestMigrateGoesOnWithIndexes(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
	ctx := bounded(t)
	migrateTo(t, pool, 22)
	for _, sql := range []string{
		`CREATE UNIQUE INDEX ledger_refunded_once_next ON ledger (at)`,
		`CREATE INDEX ledger_refunds ON ledger (at)`,
		`CREATE INDEX answers_refused ON answers (key)`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('ledger_refunded_once_next'::regclass, 'ledger_refunds'::regclass, 'answers_refused'::regclass)`,
	} {
		_, err := pool.Exec(ctx, sql)
		require.NoError(t, err)
	}
	_, err := postgres.Migrate(ctx, pool)
	require.NoError(t, err)
	require.Empty(t, names(t, pool, `SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid`))
	require.Len(t, names(t, pool, `SELECT indexname::text FROM pg_indexes
		WHERE indexname IN ('ledger_refunded_once', 'ledger_refunds', 'answers_refused') AND indexdef ~ 'WHERE'`), 3)
}

// A tenant that is closed during an upgrade is closed for the tables that come with it, too.
func TestUpgradeWhileATenantIsClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sql, state string }{
		"Closed": {`INSERT INTO moves VALUES ('acme', 'move', 'leaving', true, now())`, "A"},
		"Open":   {`INSERT INTO moves VALUES ('acme', 'move', 'arrived', false, now())`, "D"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pool := pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
			ctx := bounded(t)
			migrateTo(t, pool, 16)
			old := names(t, pool, `SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'moved'`)
			_, err := pool.Exec(ctx, c.sql)
			require.NoError(t, err)
			_, err = postgres.Migrate(ctx, pool)
			require.NoError(t, err)
			added := 0
			for _, table := range names(t, pool, `SELECT tgrelid::regclass::text || ' ' || tgenabled::text FROM pg_trigger WHERE tgname = 'moved'`) {
				table, state, _ := strings.Cut(table, " ")
				if !slices.Contains(old, table) {
					added++
					require.Equal(t, c.state, state, table)
				}
			}
			require.Positive(t, added)
		})
	}
}
