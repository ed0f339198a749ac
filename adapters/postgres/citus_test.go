package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// A table that nobody thought about would stay on the coordinator of a cluster, and couple
// every tenant to it.
func TestEveryTableHasItsPlacement(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{})
	placed := postgres.Placements()
	byTenant := map[string]bool{}
	for _, table := range names(t, pool, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`) {
		require.Contains(t, placed, table, "say in placement.go where this table is on Citus")
		byTenant[table] = placed[table] == postgres.ByTenant
		delete(placed, table)
	}
	require.Empty(t, placed, "there are no such tables")
	for _, table := range names(t, pool, `SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'
	    UNION SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'`) {
		require.True(t, byTenant[table], "table %s has a foreign key, which cannot lead between the coordinator and the nodes", table)
	}
}

func TestConformanceOnCitus(t *testing.T) {
	t.Parallel()
	pgtest.CitusNodes(t)
	storetest.Run(t, func(t *testing.T) ports.Store {
		store, pool := pgtest.Open(t, postgres.Config{URL: pgtest.Citus(t).URL})
		allowTheImpossible(t, pool)
		return store
	})
}
