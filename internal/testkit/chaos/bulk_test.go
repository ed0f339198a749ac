package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

var (
	bulkRuns      = flag.Int("bulk-runs", 48, "runs that TestChaosBulk continues")
	bulkPerMinute = flag.Int("bulk-per-minute", 600, "its speed limit, so that it takes a while")
)

// TestChaosBulk continues many runs of several tenants by one bulk continue, while servers
// are killed and the queue refuses enqueues.
func TestChaosBulk(t *testing.T) {
	g := begin(t)
	database := pgtest.New(t).URL
	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: database})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	setUp(t, store, *bulkRuns, 3)
	installAudit(t, pool)
	makeFailedRuns(t, store, g.folder)
	refuseEnqueues(t, pool, *refuseEvery)
	g.start(t, *servers, database)

	ctx, cancel := context.WithTimeout(t.Context(), *within-auditTime)
	defer cancel()
	tormenting, calm := context.WithCancel(ctx)
	defer calm()
	kills, killed := 0, make(chan error, 1)
	go func() {
		var err error
		kills, err = g.cluster.torment(tormenting, *killEvery, rand.New(rand.NewPCG(*seed, 1)))
		killed <- err
	}()
	admin := g.people.clients[tenants[0]]
	auth, err := httpapi.NewAuth([]byte(secret))
	require.NoError(t, err)
	token, err := auth.Token(core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}, time.Hour)
	require.NoError(t, err)
	operator := &client{cluster: g.cluster, http: admin.http, token: token, counts: admin.counts}
	made, err := operator.doTwice(ctx, rand.New(rand.NewPCG(*seed, 2)), http.MethodPost, "/bulk-continues?allTenants=true", "the-one",
		map[string]any{"runsPerMinute": *bulkPerMinute, "canary": map[string]any{"runs": 1, "maxFailedPercent": 100}})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, made.status, made.problem)
	began := time.Now()
	decided := waitForBulk(ctx, t, pool, `SELECT NOT EXISTS (SELECT FROM bulk_runs WHERE state = 'waiting')`)
	took := time.Since(began)
	calm()
	require.NoError(t, <-killed)
	refused := acceptEnqueues(t, pool)
	require.True(t, decided, "runs still wait")
	require.True(t, waitForBulk(ctx, t, pool, `SELECT status = 'finished' FROM bulk_continues`), "it does not finish")
	require.Zero(t, awaitClosed(ctx, t, func(ctx context.Context) (left int, err error) {
		err = pool.QueryRow(ctx, `SELECT count(*) FROM runs WHERE status = 'RUNNING'`).Scan(&left)
		return left, err
	}))
	require.NoError(t, g.cluster.failures())

	var wrong []string
	check := exec.Command(g.program.path, "ledger", "check")
	check.Env = g.program.env
	books, err := check.CombinedOutput()
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("redrive ledger check: %v\n%s", err, books))
	}
	for _, sql := range bulkRules {
		found, err := texts(t.Context(), pool, sql)
		require.NoError(t, err)
		wrong = append(wrong, found...)
	}
	found, err := audit(t.Context(), pool)
	require.NoError(t, err)
	wrong = append(wrong, found...)
	found, err = storetest.Violations(t.Context(), store, tenants...)
	require.NoError(t, err)
	wrong = append(wrong, found...)

	v, err := install.Service(t, app.Deps{Store: store}, app.Options{}).Bulk(t.Context(), core.System, core.BulkID(made.ID))
	require.NoError(t, err)
	t.Logf("seed %d: %d runs of %d tenants, %d servers, a kill every %v\n%d kills and %d refused enqueues in %v; the bulk continue was driven by %d servers, one after the other; %d continued, %d refused; %d credits\nledger check:\n%s",
		*seed, *bulkRuns, len(tenants), *servers, *killEvery, kills, refused, took.Round(time.Millisecond), v.Bulk.Fence, v.Totals.Continued, v.Totals.Refused, v.Totals.Price, books)
	for _, w := range wrong {
		t.Error(w)
	}
	require.Equal(t, *bulkRuns, v.Totals.Continued, "each run is continued")
	require.Positive(t, kills)
	require.Greater(t, v.Bulk.Fence, int64(1), "no server that drove it was killed, so the test showed nothing")
}

// bulkRules give a sentence for each violation.
var bulkRules = []string{
	`SELECT format('run %s was continued %s times', r.run_id, count(a.attempt))
	   FROM runs r LEFT JOIN attempts a ON a.tenant_id = r.tenant_id AND a.run_id = r.run_id AND a.attempt > 0 AND a.compensated_at IS NULL
	  GROUP BY r.run_id HAVING count(a.attempt) <> 1`,
	`SELECT format('run %s has the record %s %s', b.run_id, b.state, b.details) FROM bulk_runs b
	  WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.tenant_id = b.tenant_id AND a.run_id = b.run_id AND a.compensated_at IS NULL
	        AND a.attempt = (b.details::jsonb ->> 'attempt')::int) OR b.state <> 'continued' OR b.open`,
	`SELECT format('%s credits were charged for Continues, and the record says %s', charged, said)
	   FROM (SELECT coalesce(sum(monthly + purchased) FILTER (WHERE kind = 'charge'), 0) - coalesce(sum(monthly + purchased) FILTER (WHERE kind = 'refund'), 0) AS charged
	           FROM ledger WHERE attempt > 0) l,
	        (SELECT coalesce(sum((totals::jsonb ->> 'price')::bigint), 0) AS said FROM bulk_parts) p WHERE charged <> said`,
}

func waitForBulk(ctx context.Context, t *testing.T, pool *pgxpool.Pool, sql string) bool {
	t.Helper()
	for {
		var is bool
		require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&is))
		if is || sleep(ctx, 50*time.Millisecond) != nil {
			return is
		}
	}
}

// makeFailedRuns makes runs of three files, one or two of which failed.
func makeFailedRuns(t *testing.T, store ports.Store, folder string) {
	t.Helper()
	files, err := blobfiles.OpenDir(filepath.Join(folder, "files"))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	queue := memory.NewQueue()
	executor := ports.ExecutorFunc(func(_ context.Context, task ports.Task) (results []core.FileResult, _ error) {
		for _, f := range task.Files {
			r := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
			if f.Index == 0 || f.Index == 1 && len(task.Job.Run)%2 == 0 {
				r = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: core.FailureRateLimited, Message: "slow down"}}
			}
			results = append(results, r)
		}
		return results, nil
	})
	svc := install.Service(t, app.Deps{Store: store, Queue: queue, Files: files, Executor: executor}, app.Options{})
	ctx := t.Context()
	for n := range *bulkRuns {
		tenant := tenantOf(n)
		own := core.RunID(fmt.Sprintf("own-%d", n))
		upload, err := files.Begin(ctx, tenant, own, time.Now())
		require.NoError(t, err)
		req := app.InitiateRequest{Tenant: tenant, Template: perFile}
		for i := range 3 {
			f, err := upload.Add(ctx, strings.NewReader(fmt.Sprintf("content of %d/%d", n, i)))
			require.NoError(t, err)
			req.Files = append(req.Files, core.NewFile{Name: fileName(n, i), Ref: f.Ref, Size: f.Size, Digest: f.Digest})
		}
		require.NoError(t, files.Keep(ctx, tenant, own))
		_, err = svc.Initiate(ctx, core.System, req)
		require.NoError(t, err)
		for queue.Len() > 0 {
			deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, svc.Work(ctx, deliveries[0]))
		}
	}
}
