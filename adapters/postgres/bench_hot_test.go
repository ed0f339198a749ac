package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// hotClients ask at once, all for the same tenant's credits.
const hotClients = 64

// BenchmarkHot has many clients of one tenant initiate, or continue, runs of ten files,
// in turns with pgbench, which sends the same statements, a transaction for each. What
// each of them waits for is the tenant's credits. As in a server, the transaction that
// charges also sends the jobs. The figure to look at is go/pgbench, the ratio of the
// median rates.
func BenchmarkHot(b *testing.B) {
	const rounds, each, files = 3, 20, 10
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	for _, op := range []struct {
		name   string
		script func(b *testing.B) string
		do     func(ctx context.Context, x *bench, client, n int) error
	}{
		{"initiate", func(*testing.B) string { return "testdata/initiate.sql" }, func(ctx context.Context, x *bench, _, _ int) error {
			_, err := x.svc.Initiate(ctx, operator, app.InitiateRequest{Tenant: benchTenant(0), Template: "bench", Files: hotFiles(files)})
			return err
		}},
		{"continue", hotContinue, func(ctx context.Context, x *bench, client, n int) error {
			_, err := x.svc.RetryFailed(ctx, operator, benchRun(0, n+client*each), app.RetryRequest{})
			return err
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			x := newBench(b, server)
			x.sendWithTheCharge(b)
			turns := 2 * rounds * b.N
			x.seed(b, 0, turns*hotClients*each, files)
			_, err := x.svc.PublishTemplate(b.Context(), operator, benchTenant(0), "bench")
			require.NoError(b, err)
			_, err = x.svc.PurchaseCredits(b.Context(), operator, benchTenant(0), "more", core.Credits(turns*hotClients*each*files))
			require.NoError(b, err)
			x.settleDown(b)
			script := op.script(b)
			var byGo, byPgbench []float64
			first := 0
			b.ResetTimer()
			for range b.N {
				for range rounds {
					byGo = append(byGo, hotRate(b, func(client, n int) error { return op.do(b.Context(), x, client, first+n) }, each))
					first += hotClients * each
					byPgbench = append(byPgbench, x.runScript(b, server, script, hotClients, each, "first="+strconv.Itoa(first), "each="+strconv.Itoa(each)))
					first += hotClients * each
				}
			}
			b.StopTimer()
			b.ReportMetric(median(byGo), "go/s")
			b.ReportMetric(median(byPgbench), "pgbench/s")
			b.ReportMetric(median(byGo)/median(byPgbench), "go/pgbench")
			differences, err := x.svc.CheckLedger(b.Context(), operator, benchTenant(0))
			require.NoError(b, err)
			require.Empty(b, differences)
		})
	}
}

// sendWithTheCharge lets the transactions of the bench's service send its jobs, as a
// server's do by default.
func (x *bench) sendWithTheCharge(b *testing.B) {
	b.Helper()
	x.svc = install.Service(b, app.Deps{Store: x.store.WithOutbox(messageRows{}), Queue: x.queue, Clock: memory.NewManualClock(benchNow)}, app.Options{})
}

// messageRows writes a row of the queue's table for each run, as adapters/watermillqueue
// does, which what is tested here must not depend on. Nobody takes them.
type messageRows struct{}

func (messageRows) Sending(_ context.Context, jobs []core.Job) (sql string, args []any, err error) {
	var tenants, templates, metadata, payloads []string
	var counts []int
	for at := range jobs {
		if j := &jobs[at]; at == 0 || j.Run != jobs[at-1].Run {
			tenants, templates = append(tenants, string(j.Tenant)), append(templates, string(j.Template))
			metadata = append(metadata, `{"v":"2"}`)
			payloads = append(payloads, fmt.Sprintf(`{"run":%q,"epoch":%d,"files":"0-9"}`, j.Run, j.Epoch))
			counts = append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	return `
INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
SELECT m.tenant_id, m.template_id, gen_random_uuid(), m.jobs, m.metadata, m.payload
  FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) WITH ORDINALITY AS m (tenant_id, template_id, jobs, metadata, payload, n)
 ORDER BY m.n
ON CONFLICT (tenant_id, message_id) DO NOTHING`, []any{tenants, templates, counts, metadata, payloads}, nil
}

func (messageRows) Sent([]core.Job) {}

// hotRate lets all clients do their turns at once, and gives the rate.
func hotRate(b *testing.B, do func(client, n int) error, each int) (perSecond float64) {
	b.Helper()
	var clients sync.WaitGroup
	began := time.Now()
	for client := range hotClients {
		clients.Go(func() {
			for n := 1; n <= each; n++ {
				if err := do(client, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	return float64(hotClients*each) / time.Since(began).Seconds()
}

// hotContinue is sendingContinue with all runs of one tenant.
func hotContinue(b *testing.B) string {
	b.Helper()
	return scriptOf(b, strings.NewReplacer(
		`'bench-' || :client_id`, `'bench-0'`, `'run-' || :client_id || '-' || :n`, `'run-0-' || :n`, `"run-' || :client_id || '-' || :n`, `"run-0-' || :n`,
		`\set n :first + :i`, `\set n :first + :client_id * :each + :i`, `lock_timeout = 5000`, `lock_timeout = 60000`, `statement_timeout = 30000`, `statement_timeout = 60000`,
	).Replace(sendingContinue(b)))
}

// sendingContinue is continue.sql whose transaction sends the jobs, so that there is none
// that confirms them.
func sendingContinue(b *testing.B) string {
	b.Helper()
	script, err := os.ReadFile("testdata/continue.sql")
	require.NoError(b, err)
	charge, _, found := strings.Cut(strings.ReplaceAll(string(script), `'unconfirmed'`, `'confirmed'`), "COMMIT;")
	require.True(b, found)
	initiate, err := os.ReadFile("testdata/initiate.sql")
	require.NoError(b, err)
	send := strings.Index(string(initiate), "INSERT INTO queue_messages")
	require.Positive(b, send)
	return charge + strings.NewReplacer(`"hot-'`, `"run-'`, `'{bench-0}'`, `ARRAY['bench-' || :client_id]`).Replace(string(initiate[send:]))
}

// scriptOf gives the path of a script for pgbench.
func scriptOf(b *testing.B, sql string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "script.sql")
	require.NoError(b, os.WriteFile(path, []byte(sql), 0o600))
	return path
}

func hotFiles(n int) []core.NewFile {
	files := make([]core.NewFile, n)
	for i := range files {
		files[i] = core.NewFile{Name: fmt.Sprintf("file-%d", i), Ref: core.FileRef(fmt.Sprintf("ref-%d", i)), Size: 1000}
	}
	return files
}
