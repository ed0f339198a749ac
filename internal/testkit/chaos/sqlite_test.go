package chaos

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // a connection for the test's own tables

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// sqliteAudit is auditSchema for SQLite.
const sqliteAudit = `
CREATE TABLE chaos_files (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL, run_id TEXT NOT NULL, file_index INTEGER NOT NULL,
    was TEXT NOT NULL, became TEXT NOT NULL, epoch INTEGER NOT NULL, new_epoch INTEGER NOT NULL, retry_attempt INTEGER NOT NULL);
CREATE TRIGGER chaos_files AFTER UPDATE ON files WHEN OLD.status IS NOT NEW.status OR OLD.epoch IS NOT NEW.epoch BEGIN
    INSERT INTO chaos_files (tenant_id, run_id, file_index, was, became, epoch, new_epoch, retry_attempt)
    VALUES (NEW.tenant_id, NEW.run_id, NEW.file_index, OLD.status, NEW.status, OLD.epoch, NEW.epoch, NEW.retry_attempt);
END;
CREATE TABLE chaos_runs (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL, run_id TEXT NOT NULL, attempt INTEGER NOT NULL, was TEXT NOT NULL, became TEXT NOT NULL);
CREATE TRIGGER chaos_runs AFTER UPDATE ON runs WHEN OLD.status IS NOT NEW.status BEGIN
    INSERT INTO chaos_runs (tenant_id, run_id, attempt, was, became)
    VALUES (NEW.tenant_id, NEW.run_id, NEW.attempt, OLD.status, NEW.status);
END;`

// TestChaosSQLite is TestChaos on SQLite: one server, which is killed and started again on
// the same file. Meanwhile the invariants are checked on backups. In the end the tenants are
// moved to Postgres, with the log of the test, and judged there by the same rules: so the
// move is of all that happened.
func TestChaosSQLite(t *testing.T) {
	g := begin(t)
	file := filepath.Join(g.folder, "redrive.db")
	withSQLite(t, file, func(store *sqlite.Store) {
		_, err := sqlite.Migrate(t.Context(), store)
		require.NoError(t, err)
		setUp(t, store, *runs, *files)
	})
	require.NoError(t, runOn(t.Context(), file, sqliteAudit))
	g.start(t, 1, "sqlite:"+file)

	ctx, cancel, happened := g.play(t, books{
		look: func(ctx context.Context) (found []string, err error) {
			to := filepath.Join(g.folder, "backup.db")
			err = sqlite.Backup(ctx, file, to, func(ctx context.Context, copied *sqlite.Store) (err error) {
				found, err = storetest.Violations(ctx, copied, tenants...)
				return err
			})
			return found, errors.Join(err, os.Remove(to))
		},
		running: func(ctx context.Context) (left int, err error) {
			db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(10000)")
			if err != nil {
				return 0, err
			}
			err = db.QueryRowContext(ctx, `SELECT count(*) FROM runs WHERE status = 'RUNNING'`).Scan(&left)
			return left, errors.Join(err, db.Close())
		},
		calm: func() int { return 0 },
	})
	defer cancel()
	stillRunning := awaitClosed(ctx, t, g.running)
	happened.settled = time.Since(happened.stopped)
	for _, s := range g.cluster { // once more: its last commits are in the log alone
		require.NoError(t, s.kill())
	}
	withSQLite(t, file, func(store *sqlite.Store) {
		found, err := storetest.Violations(t.Context(), store, tenants...)
		require.NoError(t, err)
		g.wrong = append(g.wrong, found...)
	})

	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: pgtest.New(t).URL})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	target, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	withSQLite(t, file, func(source *sqlite.Store) {
		for _, id := range tenants {
			_, err := (&app.Mover{From: source, To: target, Alone: true}).Tenant(t.Context(), id)
			require.NoError(t, err)
		}
	})
	installAudit(t, pool)
	copyLog(t, file, pool, "chaos_files", "tenant_id, run_id, file_index, was, became, epoch, new_epoch, retry_attempt",
		"tenant_id", "run_id", "index", "was", "became", "epoch", "new_epoch", "retry_attempt")
	copyLog(t, file, pool, "chaos_runs", "tenant_id, run_id, attempt, was, became", "tenant_id", "run_id", "attempt", "was", "became")
	g.judge(t, pool, target, happened, stillRunning)
}

func withSQLite(t *testing.T, file string, fn func(*sqlite.Store)) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), file)
	require.NoError(t, err)
	fn(store)
	require.NoError(t, store.Close())
}

// runOn runs statements on a file that no store has open.
func runOn(ctx context.Context, file, statements string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statements)
	return errors.Join(err, db.Close())
}

// copyLog copies a table of the log, in its order.
func copyLog(t *testing.T, file string, pool *pgxpool.Pool, table, columns string, as ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	require.NoError(t, err)
	rows, err := db.QueryContext(t.Context(), `SELECT `+columns+` FROM `+table+` ORDER BY n`)
	require.NoError(t, err)
	var list [][]any
	for rows.Next() {
		row, into := make([]any, len(as)), make([]any, len(as))
		for i := range row {
			into[i] = &row[i]
		}
		require.NoError(t, rows.Scan(into...))
		list = append(list, row)
	}
	require.NoError(t, errors.Join(rows.Err(), rows.Close(), db.Close()))
	require.NotEmpty(t, list)
	_, err = pool.CopyFrom(t.Context(), pgx.Identifier{table}, as, pgx.CopyFromRows(list))
	require.NoError(t, err)
}
