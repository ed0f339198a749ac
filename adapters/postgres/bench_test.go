package postgres_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// benchNow stands still, so that everything is of one period.
var benchNow = time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)

var operator = core.Actor{Subject: "bench", Role: core.RolePlatformAdmin}

// bench is the use cases over a database with fsync on, as in production.
type bench struct {
	store *postgres.Store
	url   string
	pool  *pgxpool.Pool
	queue *memory.Queue
	svc   *app.Service
}

func newBench(b *testing.B, server *pgtest.Server) *bench {
	b.Helper()
	x := &bench{url: server.New(b).URL, queue: memory.NewQueue()}
	store, pool := pgtest.Open(b, postgres.Config{URL: x.url})
	x.store, x.pool = store, pool
	x.svc = install.Service(b, app.Deps{Store: store, Queue: queuetest.Singly{Queue: x.queue}, Clock: memory.NewManualClock(benchNow)}, app.Options{})
	return x
}

func benchTenant(client int) core.TenantID { return core.TenantID(fmt.Sprintf("bench-%d", client)) }

func benchRun(client, n int) core.RunID { return core.RunID(fmt.Sprintf("run-%d-%d", client, n)) }

// seed gives a tenant this many runs, numbered from 1, closed FAILED with every
// file failed, with the attempt, the charge and the credits that belong to them.
func (x *bench) seed(b testing.TB, client, runs, files int) {
	b.Helper()
	ctx := b.Context()
	tenant := benchTenant(client)
	_, err := x.svc.CreateTenant(ctx, operator, tenant, "Bench", 0)
	require.NoError(b, err)
	_, err = x.svc.PurchaseCredits(ctx, operator, tenant, "all", core.Credits(runs*files*4))
	require.NoError(b, err)
	_, err = x.svc.CreateTemplate(ctx, operator, core.Template{ID: "bench", Tenant: tenant, Name: "Bench", CreditsPerRun: 1, Mode: core.ModePerFile})
	require.NoError(b, err)
	for _, sql := range []string{
		`INSERT INTO run_owners SELECT 'run-' || $2::int || '-' || n, $1 FROM generate_series(1, $3::int) n WHERE $4::int > 0`,
		`INSERT INTO runs SELECT $1, 'run-' || $2::int || '-' || n, 'bench', 'per_file', 'FAILED', '', 'bench', '', 'bubble_admin',
			timestamptz '2026-11-01' + n * interval '1 second', timestamptz '2026-11-02', 3, 0, 1, 'confirmed', NULL, $4::int, $4, 0, $4, $4, 0, 0, $4, 0, $4, 0, $4,
			NULL, timestamptz '2026-11-01', 0 FROM generate_series(1, $3::int) n`,
		`INSERT INTO files SELECT $1, 'run-' || $2::int || '-' || n, i, 'file-' || i, 'sha256:' || i, 1000, 'failed', 0, 3, 1, NULL, 0, 0, '', 'rate_limited', 'slow down'
			FROM generate_series(1, $3::int) n, generate_series(0, $4::int - 1) i`,
		`INSERT INTO attempts SELECT $1, 'run-' || $2::int || '-' || n, 0, 1, $4::int, 'bench', '', 'bubble_admin', timestamptz '2026-11-01', 1,
			'charge/run-' || $2::int || '-' || n || '/0', '2026-11', 0, $4, NULL, '', NULL, NULL, 0, 0, 0, NULL FROM generate_series(1, $3::int) n`,
		`INSERT INTO attempt_file_rows SELECT $1, 'run-' || $2::int || '-' || n, 0, i, true, NULL, 0, 0, 0, '', ''
			FROM generate_series(1, $3::int) n, generate_series(0, $4::int - 1) i`,
		`INSERT INTO ledger SELECT $1, 1 + n, 'charge/run-' || $2::int || '-' || n || '/0', 'charge', '2026-11', 0, $4::int,
			'run-' || $2::int || '-' || n, 0, NULL, 'bench', '', 'bubble_admin', timestamptz '2026-11-01' FROM generate_series(1, $3::int) n`,
		`UPDATE credits SET purchased = purchased - $3::int * $4::int, last_seq = 1 + $3 WHERE tenant_id = $1 AND $2::int >= 0`,
	} {
		_, err := x.pool.Exec(ctx, sql, tenant, client, runs, files)
		require.NoError(b, err, sql)
	}
}

// settleDown brings the statistics up to date, as a database that has run for a
// while has them, and writes out what seeding left.
func (x *bench) settleDown(b *testing.B) {
	b.Helper()
	for _, sql := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		_, err := x.pool.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
}

// BenchmarkContinue compares app.RetryFailed, without HTTP, with pgbench sending what a
// Continue needs in its plain form, an array for each column (testdata/continue.sql), to
// the same database, in turns.
// With queue=here the transaction that charges sends the jobs, as that of a server with its
// queue on Postgres does; with queue=apart another one confirms that they were sent.
// The figure to look at is go/pgbench, the ratio of the median rates.
func BenchmarkContinue(b *testing.B) {
	const rounds = 3
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	for _, c := range []struct {
		queue                string
		files, clients, each int
	}{
		{"apart", 10, 1, 300},
		{"apart", 10, 8, 150},
		{"apart", 1000, 1, 40},
		{"apart", 1000, 8, 10},
		{"here", 10, 1, 300},
		{"here", 10, 8, 150},
		{"here", 1000, 1, 40},
		{"here", 1000, 8, 10},
	} {
		b.Run(fmt.Sprintf("queue=%s/files=%d/clients=%d", c.queue, c.files, c.clients), func(b *testing.B) {
			x := newBench(b, server)
			script := "testdata/continue.sql"
			if c.queue == "here" {
				x.sendWithTheCharge(b)
				script = scriptOf(b, sendingContinue(b))
			}
			for client := range c.clients {
				x.seed(b, client, 2*rounds*c.each*b.N, c.files)
			}
			x.settleDown(b)
			var byGo, byPgbench []float64
			first := 0
			b.ResetTimer()
			for range b.N {
				for range rounds {
					byGo = append(byGo, x.continueRuns(b, c.clients, first, c.each))
					first += c.each
					byPgbench = append(byPgbench, x.runScript(b, server, script, c.clients, c.each, "first="+strconv.Itoa(first)))
					first += c.each
				}
			}
			b.StopTimer()
			b.ReportMetric(median(byGo), "go-continues/s")
			b.ReportMetric(median(byPgbench), "pgbench-continues/s")
			b.ReportMetric(median(byGo)/median(byPgbench), "go/pgbench")
			for client := range c.clients {
				differences, err := x.svc.CheckLedger(b.Context(), operator, benchTenant(client))
				require.NoError(b, err)
				require.Empty(b, differences)
			}
		})
	}
}

// continueRuns continues runs first+1 … first+each of each client's tenant, all
// clients at once, and gives the rate.
func (x *bench) continueRuns(b *testing.B, clients, first, each int) (perSecond float64) {
	b.Helper()
	var together sync.WaitGroup
	began := time.Now()
	for client := range clients {
		together.Go(func() {
			for n := first + 1; n <= first+each; n++ {
				if _, err := x.svc.RetryFailed(b.Context(), operator, benchRun(client, n), app.RetryRequest{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	together.Wait()
	return float64(clients*each) / time.Since(began).Seconds()
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

// runScript runs a script of pgbench's for each client that many times, and gives the
// rate. i counts a client's runs of it.
func (x *bench) runScript(b *testing.B, server *pgtest.Server, script string, clients, each int, variables ...string) (perSecond float64) {
	b.Helper()
	args := []string{"-n", "-M", "prepared", "-f", script, "-D", "i=0", "-c", strconv.Itoa(clients), "-j", "2", "-t", strconv.Itoa(each)}
	for _, v := range variables {
		args = append(args, "-D", v)
	}
	out, err := exec.Command(server.Binaries()+"/pgbench", append(args, x.url)...).CombinedOutput()
	require.NoError(b, err, "%s", out)
	found := tps.FindSubmatch(out)
	require.NotNil(b, found, "%s", out)
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(b, err)
	return rate
}

// BenchmarkScale takes what users do with one run in a database of 10,000 files
// and in one of 1,000,000 (20 and 2,000 runs of 500), of one tenant: how much has
// happened before must not matter. The figures to look at are the ratios.
func BenchmarkScale(b *testing.B) {
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	small, large := newBench(b, server), newBench(b, server)
	small.seed(b, 0, 20, 500)
	large.seed(b, 0, 2000, 500)
	small.settleDown(b)
	large.settleDown(b)
	large.explain(b)
	const samples = 19
	for _, op := range []struct {
		name string
		do   func(ctx context.Context, x *bench, n int) error
	}{
		{"list", func(ctx context.Context, x *bench, _ int) error {
			_, err := x.svc.Runs(ctx, operator, benchTenant(0), ports.RunFilter{Limit: 20})
			return err
		}},
		{"read", func(ctx context.Context, x *bench, n int) error {
			_, _, err := x.svc.RunWithFiles(ctx, operator, benchRun(0, n), ports.FileFilter{Limit: 1000, OutputBytes: 16 << 10})
			return err
		}},
		{"preview", func(ctx context.Context, x *bench, n int) error {
			_, err := x.svc.PreviewRetry(ctx, operator, benchRun(0, n))
			return err
		}},
		{"continue", func(ctx context.Context, x *bench, n int) error {
			_, err := x.svc.RetryFailed(ctx, operator, benchRun(0, n), app.RetryRequest{})
			return err
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			var of [2][]float64
			for range b.N {
				for _, x := range []*bench{small, large} {
					require.NoError(b, op.do(b.Context(), x, samples+1)) // prepares its statements
				}
				for n := 1; n <= samples; n++ {
					for i, x := range []*bench{small, large} {
						began := time.Now()
						require.NoError(b, op.do(b.Context(), x, n))
						of[i] = append(of[i], time.Since(began).Seconds()*1000)
					}
				}
			}
			b.ReportMetric(median(of[0]), "ms-at-10,000")
			b.ReportMetric(median(of[1]), "ms-at-1,000,000")
			b.ReportMetric(median(of[1])/median(of[0]), "ratio")
		})
	}
}

// explain logs how Postgres does the hot queries (go test -v shows it).
func (x *bench) explain(b *testing.B) {
	b.Helper()
	for _, sql := range []string{
		`SELECT * FROM runs WHERE tenant_id = 'bench-0' AND run_id = 'run-0-1000' FOR UPDATE`,
		`SELECT * FROM files WHERE tenant_id = 'bench-0' AND run_id = 'run-0-1000' AND status = ANY('{failed,pending}') ORDER BY index`,
		`SELECT f.* FROM unnest('{3,7,400}'::int[]) WITH ORDINALITY AS wanted (index, place) JOIN files f ON f.tenant_id = 'bench-0' AND f.run_id = 'run-0-1000' AND f.index = wanted.index ORDER BY wanted.place`,
		`SELECT EXISTS (SELECT FROM files WHERE tenant_id = 'bench-0' AND run_id = 'run-0-1000' AND retry_attempt >= 3 AND status IN ('failed', 'pending'))`,
		`SELECT * FROM runs WHERE tenant_id = 'bench-0' ORDER BY created_at DESC, run_id DESC LIMIT 20`,
		`SELECT * FROM runs WHERE tenant_id = 'bench-0' AND status = 'RUNNING' ORDER BY created_at DESC, run_id DESC LIMIT 20`,
		`SELECT tenant_id, run_id FROM runs WHERE status = 'RUNNING' AND (recover_at <= now() OR recover_at > now() + interval '24 hours') ORDER BY recover_at, run_id LIMIT 100`,
		`SELECT * FROM ledger WHERE tenant_id = 'bench-0' AND key = 'charge/run-0-1000/0'`,
		`SELECT * FROM ledger WHERE tenant_id = 'bench-0' AND seq > 1000 ORDER BY seq LIMIT 100`,
		`SELECT * FROM attempt_file_rows WHERE tenant_id = 'bench-0' AND run_id = 'run-0-1000' AND attempt = 0 ORDER BY attempt, index`,
	} {
		rows, err := x.pool.Query(b.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY OFF) `+sql)
		require.NoError(b, err)
		var line, plan string
		for rows.Next() {
			require.NoError(b, rows.Scan(&line))
			plan += "\n    " + line
		}
		require.NoError(b, rows.Err())
		b.Logf("%s%s", sql, plan)
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
