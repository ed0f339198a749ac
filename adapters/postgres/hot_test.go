package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// Claims and settlements of a whole run write no index: every new version of a
// row finds room on its own page.
func TestUpdatesOfFilesAreHOT(t *testing.T) {
	t.Parallel()
	const n = 2000
	w := newWorld(t, postgres.Config{MaxConns: 1}, noExecution)
	ctx := t.Context()
	_, err := w.Start(ctx, "acme", n)
	require.NoError(t, err)
	jobs := w.Queue.Drain(t)
	claimed, _, err := w.Claim(ctx, jobs, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, n)
	settlements := make([]core.Settlement, n)
	for i, job := range jobs {
		settlements[i] = core.Settlement{Job: job, Results: []core.FileResult{resultOf(job.Files[0], core.OutcomeTransient)}}
	}
	require.NoError(t, settle(ctx, w.Service, settlements))
	var updated, hot int
	_, err = w.pool.Exec(ctx, `SELECT pg_stat_force_next_flush()`)
	require.NoError(t, err)
	require.NoError(t, w.pool.QueryRow(ctx, `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'files'`).Scan(&updated, &hot))
	require.Equal(t, 2*n, updated)
	require.Equal(t, updated, hot)
}
