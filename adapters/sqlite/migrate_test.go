package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
)

func tablesOf(t *testing.T, s *sqlite.Store) []string {
	t.Helper()
	rows, err := s.Rows(t.Context(), `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	require.NoError(t, err)
	var names []string
	for _, r := range rows {
		names = append(names, r[0].(string))
	}
	return names
}

func opened(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("Once", func(t *testing.T) {
		t.Parallel()
		s, ctx := opened(t, filepath.Join(t.TempDir(), "new", "folder", "redrive.db")), bounded(t)
		steps, err := sqlite.MigrationStatus(ctx, s)
		require.NoError(t, err)
		require.NotEmpty(t, steps)
		for i, step := range steps {
			require.True(t, i == 0 || step.Version > steps[i-1].Version, "in order")
			require.NotEmpty(t, step.Name)
			require.True(t, step.AppliedAt.IsZero(), "nothing is applied yet")
		}
		require.Empty(t, tablesOf(t, s), "asking writes nothing")

		applied, err := sqlite.Migrate(ctx, s)
		require.NoError(t, err)
		require.Len(t, applied, len(steps))
		status, err := sqlite.MigrationStatus(ctx, s)
		require.NoError(t, err)
		for i, step := range status {
			require.Equal(t, steps[i].Name, step.Name)
			require.False(t, step.AppliedAt.IsZero())
		}
		applied, err = sqlite.Migrate(ctx, s)
		require.NoError(t, err)
		require.Empty(t, applied, "the second time there is nothing to do")
	})
	t.Run("AFailedStepIsUndone", func(t *testing.T) {
		t.Parallel()
		s, ctx := opened(t, filepath.Join(t.TempDir(), "redrive.db")), bounded(t)
		_, err := s.Exec(ctx, `CREATE TABLE sessions (something_else INTEGER)`) // in the way of the last table
		require.NoError(t, err)
		_, err = sqlite.Migrate(ctx, s)
		require.ErrorContains(t, err, "sessions")
		require.Equal(t, []string{"schema_migrations", "sessions"}, tablesOf(t, s))
		_, err = s.Exec(ctx, `DROP TABLE sessions`)
		require.NoError(t, err)
		_, err = sqlite.Migrate(ctx, s)
		require.NoError(t, err)
	})
	t.Run("ALaterVersionsFileIsRefused", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "redrive.db")
		s := openStore(t, path)
		_, err := s.Exec(bounded(t), `INSERT INTO schema_migrations (version_id, is_applied) VALUES (99999, 1)`)
		require.NoError(t, err)
		_, err = sqlite.Migrate(bounded(t), s)
		require.ErrorIs(t, err, sqlite.ErrNewerSchema)
		require.NoError(t, s.Close())
		_, err = sqlite.Open(bounded(t), path)
		require.ErrorIs(t, err, sqlite.ErrNewerSchema)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "99999")
		_, err = sqlite.Open(bounded(t), path)
		require.ErrorIs(t, err, sqlite.ErrNewerSchema, "what was refused has let go of the file")
	})
	t.Run("AnotherProgramsFileIsRefused", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "other.db")
		s := opened(t, path)
		_, err := s.Exec(bounded(t), `CREATE TABLE customers (id INTEGER)`)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		_, err = sqlite.Open(bounded(t), path)
		require.ErrorContains(t, err, "another program")
		text := filepath.Join(t.TempDir(), "text.db")
		require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("no database at all ", 100)), 0o600))
		_, err = sqlite.Open(bounded(t), text)
		require.ErrorContains(t, err, "not a database")
		_, err = sqlite.Open(bounded(t), "")
		require.Error(t, err)
	})
	t.Run("TheFileIsItsOwnersAlone", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "redrive.db")
		openStore(t, path)
		for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
			info, err := os.Stat(path + suffix)
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o077, path+suffix)
		}
	})
	t.Run("ForwardOnly", func(t *testing.T) {
		t.Parallel()
		require.NotContains(t, strings.ToLower(sqlite.SchemaText()), "+goose down")
	})
}

// Rules that hold of every table: what a later migration may forget.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	one := func(sql string) []string {
		rows, err := s.Rows(t.Context(), sql)
		require.NoError(t, err)
		var list []string
		for _, r := range rows {
			list = append(list, r[0].(string))
		}
		return list
	}
	require.ElementsMatch(t, []string{"schema_migrations", "sqlite_sequence", "sqlite_schema"},
		one(`SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND NOT strict`), "tables that are not STRICT")
	// Every key begins with the tenant, so that one tenant's rows lie together and cannot refer
	// to another's. The exceptions say in the schema why.
	require.ElementsMatch(t, []string{"sqlite_autoindex_event_tickets_1", "sqlite_autoindex_bulk_continues_1", "sqlite_autoindex_bulk_replies_1", "sqlite_autoindex_run_owners_1", "sqlite_autoindex_sessions_1"}, one(`
		SELECT i.name FROM pragma_table_list t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
		 WHERE t.schema = 'main' AND t.type = 'table' AND i."unique" AND c.seqno = 0 AND c.name <> 'tenant_id'`))
	require.Empty(t, one(`
		SELECT t.name FROM pragma_table_list t, pragma_foreign_key_list(t.name) k
		 WHERE t.schema = 'main' AND k.seq = 0 AND (k."from" <> 'tenant_id' OR k."to" <> 'tenant_id')`))
}
