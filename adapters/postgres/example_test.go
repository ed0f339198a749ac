package postgres_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// A service that has a pool already gives Redrive a schema of its own in the same
// database, so that no table of the two has the same name, and a second pool with the
// same settings: what Redrive holds open never takes a connection from the service.
func Example() {
	ctx := context.Background()
	database, drop := pgtest.ForExample()
	defer drop()
	pool, err := pgxpool.New(ctx, database.URL) // yours
	must(err)
	defer pool.Close()

	_, err = pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS redrive`)
	must(err)
	config := pool.Config() // a copy
	config.ConnConfig.RuntimeParams["search_path"] = "redrive"
	own, err := pgxpool.NewWithConfig(ctx, config)
	must(err)
	defer own.Close()

	applied, err := postgres.Migrate(ctx, own) // at each start, by every server: they take turns
	must(err)
	store, err := postgres.New(own, postgres.Config{})
	must(err)
	redrive, err := app.New(app.Deps{
		Store: store, Queue: memory.NewQueue(), Files: memory.NewFiles(),
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }),
	}, app.Options{})
	must(err)

	operator := core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}
	_, err = redrive.CreateTenant(ctx, operator, "acme", "Acme", 100)
	must(err)
	var tenants int
	must(pool.QueryRow(ctx, `SELECT count(*) FROM redrive.tenants`).Scan(&tenants)) // yours can read it
	again, err := postgres.Migrate(ctx, own)
	must(err)
	fmt.Println(len(applied) > 0, len(again), tenants)
	// Output: true 0 1
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
