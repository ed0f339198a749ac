package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
)

func newStore(t testing.TB, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "redrive.db"), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = sqlite.Migrate(t.Context(), store)
	require.NoError(t, err)
	return store
}
