package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("Once", func(t *testing.T) {
		t.Parallel()
		_, pool := pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
		ctx := bounded(t)

		steps, err := postgres.MigrationStatus(ctx, pool)
		require.NoError(t, err)
		require.NotEmpty(t, steps)
		for i, s := range steps {
			require.True(t, i == 0 || s.Version > steps[i-1].Version, "in order; a number may be left out")
			require.NotEmpty(t, s.Name)
			require.True(t, s.AppliedAt.IsZero(), "nothing is applied yet")
		}
		require.Empty(t, names(t, pool, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`), "asking writes nothing")

		applied, err := postgres.Migrate(ctx, pool)
		require.NoError(t, err)
		require.Len(t, applied, len(steps))
		status, err := postgres.MigrationStatus(ctx, pool)
		require.NoError(t, err)
		for i, s := range status {
			require.Equal(t, steps[i].Name, s.Name)
			require.False(t, s.AppliedAt.IsZero())
		}

		applied, err = postgres.Migrate(ctx, pool)
		require.NoError(t, err)
		require.Empty(t, applied, "the second time there is nothing to do")
	})
	t.Run("ManyServersAtOnce", func(t *testing.T) {
		t.Parallel()
		url := pgtest.NewEmpty(t).URL
		ctx := bounded(t)
		applied := make([]int, 8)
		errs := together(len(applied), func(i int) error {
			pool, err := postgres.Connect(ctx, postgres.Config{URL: url, MaxConns: 2})
			if err != nil {
				return err
			}
			defer pool.Close()
			done, err := postgres.Migrate(ctx, pool)
			applied[i] = len(done)
			return err
		})
		_, pool := pgtest.Open(t, postgres.Config{URL: url})
		steps, err := postgres.MigrationStatus(ctx, pool)
		require.NoError(t, err)
		total := 0
		for i, err := range errs {
			require.NoError(t, err)
			total += applied[i]
		}
		require.Equal(t, len(steps), total, "each step was applied by one of them")
	})
	t.Run("AFailedStepIsUndone", func(t *testing.T) {
		t.Parallel()
		_, pool := pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
		ctx := bounded(t)
		_, err := pool.Exec(ctx, `CREATE TABLE answers (something_else int)`) // in the way of the last table
		require.NoError(t, err)
		_, err = postgres.Migrate(ctx, pool)
		require.ErrorContains(t, err, "answers")
		require.ElementsMatch(t, []string{"answers", "schema_migrations"}, names(t, pool, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`))

		_, err = pool.Exec(ctx, `DROP TABLE answers`)
		require.NoError(t, err)
		_, err = postgres.Migrate(ctx, pool)
		require.NoError(t, err)
	})
	t.Run("ForwardOnly", func(t *testing.T) {
		t.Parallel()
		require.NotContains(t, strings.ToLower(postgres.SchemaText()), "+goose down")
	})
	t.Run("Unreachable", func(t *testing.T) {
		t.Parallel()
		_, pool := pgtest.Open(t, postgres.Config{URL: "postgres:///none?host=" + t.TempDir()})
		_, err := postgres.Migrate(bounded(t), pool)
		require.ErrorIs(t, err, ports.ErrUnavailable)
	})
}
