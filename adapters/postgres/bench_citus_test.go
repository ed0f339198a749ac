package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// What a cluster costs a single request, in turns with plain tables on the coordinator's own
// server. The nodes of a cluster for tests share a machine, so it says what the way through
// the coordinator costs, and nothing of what a cluster can do in all.
func BenchmarkCitusBesidePlain(b *testing.B) {
	plainStore, plainPool := pgtest.Open(b, postgres.Config{URL: pgtest.CitusEmpty(b).URL})
	_, err := postgres.Migrate(b.Context(), plainPool)
	require.NoError(b, err)
	citusStore, citusPool := pgtest.Open(b, postgres.Config{URL: pgtest.Citus(b).URL})
	worlds := []*world{worldOf(b, plainStore, plainPool, noExecution), worldOf(b, citusStore, citusPool, noExecution)}
	var took [2]struct{ initiate, settle, retry []time.Duration }
	for _, w := range worlds {
		w.AddTenant(b, "acme")
	}
	for b.Loop() {
		for i, w := range worlds {
			began := time.Now()
			run, err := w.Start(b.Context(), "acme", 10)
			require.NoError(b, err)
			took[i].initiate = append(took[i].initiate, time.Since(began))
			w.Queue.Drain(b)
			began = time.Now()
			w.SettleAll(b, run, allFail)
			took[i].settle = append(took[i].settle, time.Since(began))
			began = time.Now()
			_, err = w.RetryFailed(b.Context(), customer, run.ID, app.RetryRequest{})
			require.NoError(b, err)
			took[i].retry = append(took[i].retry, time.Since(began))
			w.Queue.Drain(b)
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	for _, m := range []struct {
		name         string
		plain, citus []time.Duration
	}{
		{"initiate", took[0].initiate, took[1].initiate},
		{"claim+settle", took[0].settle, took[1].settle},
		{"continue", took[0].retry, took[1].retry},
	} {
		plain, citus := median(m.plain), median(m.citus)
		b.ReportMetric(plain, m.name+"-plain-ms")
		b.ReportMetric(citus, m.name+"-citus-ms")
		b.ReportMetric(citus/plain, m.name+"-ratio")
	}
}
