package postgres_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

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
		w.queue.failWith(func() error { return errQueueDown })
		_, err = w.RetryFailed(ctx, customer, id, app.RetryRequest{})
		require.ErrorIs(t, err, errQueueDown)
		require.Equal(t, core.RunFailed, w.read(t, id).Status, "undone by what its attempt says")
		w.queue.failWith(nil)
		_, err = w.RetryFailed(ctx, customer, id, app.RetryRequest{})
		require.NoError(t, err)
		list := w.attempts(t, id)
		require.Len(t, list, 3)
		require.Equal(t, core.FileFailed, list[2].Files[1].Before.Status)
	}

	run, err := w.initiate(ctx, "acme", 4)
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
	require.EqualValues(t, 4, w.number(t, `SELECT count(*) FROM attempt_files WHERE run_id = $1 AND charged AND before_status IS NULL`, run.ID))
	require.Zero(t, w.number(t, `SELECT count(*) FROM attempt_file_rows WHERE run_id = $1`, run.ID))
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
