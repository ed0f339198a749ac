package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// execute runs statements past the store.
func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(bounded(t), sql)
	require.NoError(t, err)
}

// insertTenant is the least that a transaction can write.
func insertTenant(t *testing.T, s *postgres.Store, name string) error {
	t.Helper()
	ctx := bounded(t)
	return s.InTx(ctx, "acme", func(tx ports.Tx) error {
		return tx.Tenants().Insert(ctx, core.Tenant{ID: "acme", Name: name})
	})
}

// What Postgres reports, and what the store makes of it. A trigger raises the
// errors, so that each comes over the wire as the real one does.
func TestErrorsByState(t *testing.T) {
	t.Parallel()
	store, pool := pgtest.Open(t, postgres.Config{})
	execute(t, pool, `
CREATE FUNCTION raise_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'as the test told it' USING ERRCODE = NEW.name;
END $$;
CREATE TRIGGER raise_it BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION raise_it()`)
	kinds := []error{
		ports.ErrUnavailable, ports.ErrRefused, ports.ErrNotFound, ports.ErrExists,
		ports.ErrLockTimeout, ports.ErrReadOnly, ports.ErrCommitUnknown,
	}
	for state, want := range map[string]error{
		"25006": ports.ErrUnavailable, // read_only_sql_transaction: a failover
		"53000": ports.ErrUnavailable, // insufficient_resources
		"53100": ports.ErrUnavailable, // disk_full
		"53200": ports.ErrUnavailable, // out_of_memory
		"53300": ports.ErrUnavailable, // too_many_connections
		"57014": ports.ErrUnavailable, // query_canceled
		"57P01": ports.ErrUnavailable, // admin_shutdown
		"57P02": ports.ErrUnavailable, // crash_shutdown
		"57P03": ports.ErrUnavailable, // cannot_connect_now
		"58030": ports.ErrUnavailable, // io_error
		"08006": ports.ErrUnavailable, // connection_failure

		"53400": ports.ErrRefused, // configuration_limit_exceeded
		"54000": ports.ErrRefused, // program_limit_exceeded
		"54001": ports.ErrRefused, // statement_too_complex
		"54023": ports.ErrRefused, // too_many_arguments
		"22001": ports.ErrRefused, // string_data_right_truncation
		"22003": ports.ErrRefused, // numeric_value_out_of_range
		"22021": ports.ErrRefused, // character_not_in_repertoire
		"22P05": ports.ErrRefused, // untranslatable_character
		"23502": ports.ErrRefused, // not_null_violation
		"23514": ports.ErrRefused, // check_violation

		"23503": ports.ErrNotFound,
		"23505": ports.ErrExists,
		"55P03": ports.ErrLockTimeout,
		"42501": nil, // insufficient_privilege: a fault, and no kind of answer
		"P0001": nil,
	} {
		err := insertTenant(t, store, state)
		require.Error(t, err, state)
		for _, kind := range kinds {
			if errors.Is(want, kind) {
				require.ErrorIs(t, err, kind, state)
			} else {
				require.NotErrorIs(t, err, kind, state)
			}
		}
	}
	require.Empty(t, names(t, pool, `SELECT name FROM tenants`))
}

// Text that Postgres cannot store is refused for good, by Postgres itself.
func TestWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	store, _ := pgtest.Open(t, postgres.Config{})
	for name, text := range map[string]string{"NUL": "a\x00b", "NotUTF8": "a\xffb"} {
		err := insertTenant(t, store, text)
		require.ErrorIs(t, err, ports.ErrRefused, name)
		require.NotErrorIs(t, err, ports.ErrUnavailable, name)
	}
	// A key of an index that no page can hold.
	ctx := bounded(t)
	require.NoError(t, insertTenant(t, store, "Acme"))
	long := core.TemplateID(incompressible(20_000))
	require.ErrorIs(t, store.InTx(ctx, "acme", func(tx ports.Tx) error {
		return tx.Templates().Insert(ctx, core.Template{
			ID: long, Tenant: "acme", Name: "n", Mode: core.ModeBatch, Status: core.TemplateDraft, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		})
	}), ports.ErrRefused)
}

// incompressible is a text that no compression makes fit a page.
func incompressible(n int) string {
	var b strings.Builder
	for x := uint32(1); b.Len() < n; x = x*1664525 + 1013904223 {
		b.WriteByte('0' + byte(x>>24)%75)
	}
	return b.String()
}

// A failover leaves a server that reads and does not write: nothing is taken for a
// fault of ours, the server is not ready, and it is both again once writes are taken,
// although the pool was full of connections from before.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	_, operator := pgtest.Open(t, postgres.Config{URL: db.URL})
	alter := func(to string) {
		execute(t, operator, `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+to+`', current_database());
		END $$`)
	}
	alter("on")
	t.Cleanup(func() { operator.Close() })

	store, _ := pgtest.Open(t, postgres.Config{URL: db.URL, MaxConns: 4})
	ctx := bounded(t)
	require.ErrorIs(t, store.Ping(ctx), ports.ErrUnavailable)
	require.ErrorContains(t, store.Ping(ctx), "read-only")
	err := insertTenant(t, store, "Acme")
	require.ErrorIs(t, err, ports.ErrUnavailable)
	require.NotErrorIs(t, err, ports.ErrReadOnly)
	require.ErrorIs(t, store.InTx(ctx, "acme", func(tx ports.Tx) error {
		_, err := tx.Ledger().BalanceForUpdate(ctx, core.Period{})
		return err
	}), ports.ErrUnavailable, "a lock is a write")
	require.ErrorIs(t, store.View(ctx, "acme", func(tx ports.Tx) error {
		_, err := tx.Tenants().Get(ctx)
		return err
	}), ports.ErrNotFound, "reading goes on")

	alter("off")
	require.Eventually(t, func() bool { return store.Ping(ctx) == nil }, testTimeout, time.Millisecond)
	require.NoError(t, insertTenant(t, store, "Acme"))
}
