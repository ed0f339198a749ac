package sqlite_test

import (
	"testing"

	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

func onSQLite(t testing.TB, _ int, execute ports.ExecutorFunc) *sqltest.World {
	t.Helper()
	return newWorld(t, execute).World
}

func TestWiring(t *testing.T) {
	t.Parallel()
	sqltest.Wiring(t, onSQLite)
}

func TestCompensation(t *testing.T) {
	t.Parallel()
	sqltest.Compensation(t, onSQLite)
}

func TestConcurrentContinues(t *testing.T) {
	t.Parallel()
	rounds := 200
	if underRace {
		rounds = 10
	}
	sqltest.ConcurrentContinues(t, rounds, onSQLite)
}

func TestMixedRace(t *testing.T) {
	t.Parallel()
	sqltest.MixedRace(t, onSQLite)
}
