package postgres_test

import (
	"testing"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

// onPostgres makes worlds with what a test says of the store.
func onPostgres(c postgres.Config) sqltest.NewWorld {
	return func(t testing.TB, connections int, execute ports.ExecutorFunc) *sqltest.World {
		t.Helper()
		c.MaxConns = max(c.MaxConns, int32(connections))
		return newWorld(t, c, execute).World
	}
}

func TestWiring(t *testing.T) {
	t.Parallel()
	sqltest.Wiring(t, onPostgres(postgres.Config{}))
}

func TestCompensation(t *testing.T) {
	t.Parallel()
	sqltest.Compensation(t, onPostgres(postgres.Config{}))
}

func TestConcurrentContinues(t *testing.T) {
	t.Parallel()
	sqltest.ConcurrentContinues(t, 200, onPostgres(postgres.Config{}))
}

func TestMixedRace(t *testing.T) {
	t.Parallel()
	sqltest.MixedRace(t, onPostgres(postgres.Config{}))
}
