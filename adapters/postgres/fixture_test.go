package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

// testTimeout bounds what must happen; only a hang uses it up.
const testTimeout = time.Minute

// world is the use cases on a store in Postgres.
type world struct {
	*sqltest.World

	store *postgres.Store
	pool  *pgxpool.Pool
}

// newWorld has a tenant "acme" with a published template "summarize" at 2
// credits a file, 10 credits of allowance for the month and 1,000,000 purchased.
func newWorld(t testing.TB, c postgres.Config, execute ports.ExecutorFunc) *world {
	t.Helper()
	w := emptyWorld(t, c, execute)
	w.AddTenant(t, "acme")
	return w
}

// emptyWorld has no tenant.
func emptyWorld(t testing.TB, c postgres.Config, execute ports.ExecutorFunc) *world {
	t.Helper()
	store, pool := pgtest.Open(t, c)
	return worldOf(t, store, pool, execute)
}

func worldOf(t testing.TB, store *postgres.Store, pool *pgxpool.Pool, execute ports.ExecutorFunc) *world {
	t.Helper()
	db := sqltest.Database{Index: "index", Rows: func(ctx context.Context, sql string, args ...any) ([][]any, error) {
		rows, err := pool.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	}}
	w := &world{World: sqltest.New(t, store, db, execute), store: store, pool: pool}
	w.DB.Invariants = w.requireInvariants
	return w
}

// requireInvariants asks the database, not the code. Citus cannot answer some of the
// questions, which are of all tenants at once; there the suite's own are asked.
func (w *world) requireInvariants(t testing.TB) {
	t.Helper()
	spread, err := postgres.SpreadStatus(t.Context(), w.pool)
	require.NoError(t, err)
	if spread.Citus != "" {
		all, err := w.store.AllTenants(t.Context(), "", 1000)
		require.NoError(t, err)
		ids := make([]core.TenantID, len(all))
		for i := range all {
			ids[i] = all[i].ID
		}
		violations, err := storetest.Violations(t.Context(), w.store, ids...)
		require.NoError(t, err)
		require.Empty(t, violations)
		return
	}
	sqltest.Invariants(t, w.DB)
}

// The names that tests of stores have for what they share.
var (
	admin, customer, errQueueDown = sqltest.Admin, sqltest.Customer, sqltest.ErrQueueDown

	allFail, noExecution, resultOf = sqltest.AllFail, sqltest.NoExecution, sqltest.ResultOf
	bounded, together, settle      = sqltest.Bounded, sqltest.Together, sqltest.Settle
)
