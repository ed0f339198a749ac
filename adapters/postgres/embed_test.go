package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// In a schema of its own, beside tables of the service's that have the same names, triggers
// and functions find Redrive's.
func TestASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	pc, err := pgxpool.ParseConfig(pgtest.NewEmpty(t).URL)
	require.NoError(t, err)
	theirs, err := pgxpool.NewWithConfig(ctx, pc)
	require.NoError(t, err)
	t.Cleanup(theirs.Close)
	for _, table := range []string{"runs", "files", "attempts", "ledger", "credits", "tenants", "templates", "schema_migrations"} {
		_, err := theirs.Exec(ctx, `CREATE TABLE `+table+` (theirs text)`)
		require.NoError(t, err)
	}
	_, err = theirs.Exec(ctx, `CREATE SCHEMA redrive`)
	require.NoError(t, err)
	config := theirs.Config()
	config.ConnConfig.RuntimeParams["search_path"] = "redrive"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = postgres.Migrate(ctx, pool)
	require.NoError(t, err)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)

	queue, fails := memory.NewQueue(), true // fails is read by one job after the other
	svc := install.Service(t, app.Deps{
		Store: store, Queue: queue,
		Executor: ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			r := core.FileResult{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: "done"}
			if r.Index == 1 && fails {
				r = core.FileResult{Index: 1, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "busy"}}
			}
			return []core.FileResult{r}, nil
		}),
	}, app.Options{})
	install.Make(t, svc, install.Tenant{ID: "acme", Purchased: 100, Templates: []core.Template{{ID: "t", CreditsPerRun: 10}}})
	work := func() {
		for queue.Len() > 0 {
			got, err := queue.Receive(ctx, 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, svc.Work(ctx, got[0]))
		}
	}
	run, err := svc.Initiate(ctx, admin, app.InitiateRequest{Tenant: "acme", Template: "t", Files: []core.NewFile{{Name: "a", Ref: "a"}, {Name: "b", Ref: "b"}}})
	require.NoError(t, err)
	work()
	fails = false
	_, err = svc.RetryFailed(ctx, admin, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	work()

	view, err := svc.Run(ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, core.RunCompleted, view.Run.Status)
	storetest.CheckInvariants(t, store, "acme")
	differences, err := svc.CheckLedger(ctx, admin, "acme")
	require.NoError(t, err)
	require.Empty(t, differences)
	_, err = pool.Exec(ctx, `UPDATE ledger SET monthly = 1`)
	require.ErrorContains(t, err, "append", "its triggers are there")
	for _, table := range []string{"runs", "ledger", "schema_migrations"} {
		var n int
		require.NoError(t, theirs.QueryRow(ctx, `SELECT count(*) FROM public.`+table).Scan(&n))
		require.Zero(t, n, "%s of the service", table)
	}
}
