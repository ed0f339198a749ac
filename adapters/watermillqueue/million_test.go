package watermillqueue_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// fill lets n jobs of a tenant's run wait, by SQL, which takes less time.
func fill(t testing.TB, pool *pgxpool.Pool, tenant string, n int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
		SELECT $1, 'summarise', ('5d1c3b0e-5f6e-8c53-9a51-' || lpad(to_hex(i), 12, '0'))::uuid, 1, '{}',
		       jsonb_build_object('v', 1, 'at', 1, 'tenant', $1::text, 'run', 'run', 'epoch', 1, 'job', 'run:file:' || i,
		                          'template', 'summarise', 'files', jsonb_build_array(i))::text
		  FROM generate_series(0, $2 - 1) i`, tenant, n)
	require.NoError(t, err)
}

// The three jobs of one tenant are not behind the hundred thousand of another.
func TestPostgresALargeRunIsInNoOthersWay(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	fill(t, pool, "large", 100_000)
	q := newPostgres(t, pool, watermillqueue.Options{})
	for _, d := range receive(t, q, 32, ports.Skip{}) { // it is being worked on
		require.NoError(t, d.Ack(t.Context()))
	}
	enqueue(t, q, jobsOf("small", "run", 0, 3))
	large, small := 0, 0
	for small < 3 {
		for _, d := range receive(t, q, 16, ports.Skip{}) {
			if d.Jobs()[0].Tenant == "small" {
				small++
			} else {
				large++
			}
			require.NoError(t, d.Ack(t.Context()))
		}
	}
	require.LessOrEqual(t, large, 64)
}

// BenchmarkMillion works 1,000,000 queued jobs on Postgres, and says what memory
// that takes and how the last tenth compares with the first, whose rows' remains
// are then in the way if they are.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	for range b.N {
		pool := newPool(b, pgtest.NewServer(b, pgtest.Options{Durable: true}).New(b).URL)
		fill(b, pool, "acme", n)
		q := newPostgres(b, pool, watermillqueue.Options{})
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before, most := m.HeapAlloc, uint64(0)
		var tenths [10]time.Duration
		for i := range tenths {
			began := time.Now()
			drain(b, q, 3, 200, n/len(tenths))
			tenths[i] = time.Since(began)
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc-min(before, m.HeapAlloc))
		}
		b.ReportMetric(n/10/tenths[0].Seconds(), "first-tenth/s")
		b.ReportMetric(n/10/tenths[9].Seconds(), "last-tenth/s")
		b.ReportMetric(float64(most)/(1<<20), "live-MiB")
	}
}
