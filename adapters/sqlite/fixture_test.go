package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

// testTimeout bounds what must happen; only a hang uses it up.
const testTimeout = time.Minute

// newStore gives a store in a file of the test's own.
func newStore(t testing.TB, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "redrive.db"), opts...)
}

// openStore opens a file, which may be there, and migrates it.
func openStore(t testing.TB, path string, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = sqlite.Migrate(t.Context(), store)
	require.NoError(t, err)
	return store
}

// world is the use cases on a store in SQLite.
type world struct {
	*sqltest.World

	store *sqlite.Store
}

// newWorld is a sqltest.NewWorld.
func newWorld(t testing.TB, execute ports.ExecutorFunc, opts ...sqlite.Option) *world {
	t.Helper()
	w := worldOn(t, newStore(t, opts...), execute)
	w.AddTenant(t, "acme")
	return w
}

// worldOn is the use cases on a store that may have something in it.
func worldOn(t testing.TB, store *sqlite.Store, execute ports.ExecutorFunc) *world {
	t.Helper()
	db := sqltest.Database{Rows: store.Rows, Index: "file_index"}
	w := &world{World: sqltest.New(t, store, db, execute), store: store}
	w.DB.Invariants = w.requireInvariants
	return w
}

func (w *world) requireInvariants(t testing.TB) {
	t.Helper()
	requireInvariants(t, w.store)
}

// requireInvariants asks the database, and SQLite itself of the file and of its foreign keys.
func requireInvariants(t testing.TB, s *sqlite.Store) {
	t.Helper()
	sqltest.Invariants(t, sqltest.Database{Rows: s.Rows, Index: "file_index"})
	for pragma, want := range map[string]int{`PRAGMA integrity_check`: 1, `PRAGMA foreign_key_check`: 0} {
		rows, err := s.Rows(t.Context(), pragma)
		require.NoError(t, err)
		require.Len(t, rows, want, "%s: %v", pragma, rows)
		if want == 1 {
			require.Equal(t, "ok", rows[0][0])
		}
	}
}

// The names that tests of stores have for what they share.
var (
	admin, customer, errQueueDown = sqltest.Admin, sqltest.Customer, sqltest.ErrQueueDown

	allFail, noExecution      = sqltest.AllFail, sqltest.NoExecution
	bounded, together, settle = sqltest.Bounded, sqltest.Together, sqltest.Settle
)
