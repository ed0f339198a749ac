package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) ports.Store {
		store, pool := pgtest.Open(t, postgres.Config{})
		allowTheImpossible(t, pool)
		return store
	})
}

// allowTheImpossible takes away the guards that a group of writesTheImpossible would trip.
func allowTheImpossible(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if group := strings.Split(t.Name(), "/")[1]; !writesTheImpossible[group] {
		return
	}
	var checkRun string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT pg_get_functiondef('check_run'::regproc)`).Scan(&checkRun))
	for _, guard := range []string{"runs_forward", "runs_status_tally"} {
		require.Contains(t, checkRun, "THEN '"+guard+"'")
		checkRun = strings.ReplaceAll(checkRun, "THEN '"+guard+"'", "THEN NULL")
	}
	for _, sql := range []string{`DROP TRIGGER files_final ON files`, checkRun} {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
}

// writesTheImpossible are the groups of the suite that overwrite rows with what
// no rule of core ever makes of them (a completed file that changes, an epoch
// that goes back, a status that the tally denies), to see that each field is
// kept. The schema refuses that (see TestIllegalWrites), so these groups run
// without the three guards that they would trip; all others run with everything.
var writesTheImpossible = map[string]bool{"RoundTrip": true, "Runs": true, "Files": true, "Lists": true}
