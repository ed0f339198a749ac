package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// What people look for is found by indexes, whatever the statistics say and however
// often the statement was prepared: no search reads a whole table.
func TestPlansOfSearches(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var plans []string
	pc, err := pgxpool.ParseConfig(pgtest.New(t).URL)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_level": "notice",
		"auto_explain.log_nested_statements": "on",
	} {
		pc.ConnConfig.RuntimeParams[name] = value
	}
	pc.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		mu.Lock()
		defer mu.Unlock()
		plans = append(plans, n.Message)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	x := &bench{pool: pool}
	x.svc = install.Service(t, app.Deps{Store: store, Clock: memory.NewManualClock(benchNow)}, app.Options{})
	x.seed(t, 0, 1, 1)
	ctx := t.Context()
	_, err = pool.Exec(ctx, `ANALYZE`)
	require.NoError(t, err)

	searches := func() (n int) {
		for i, filter := range []ports.RunFilter{
			{},
			{Statuses: []core.RunStatus{core.RunFailed}},
			{Statuses: []core.RunStatus{core.RunFailed, core.RunRunning, core.RunCompleted}},
			{Template: "bench"},
			{Template: "ghost"},
			{CreatedBy: "eve", Statuses: []core.RunStatus{core.RunFailed, core.RunInterrupted}},
			{FileName: "file-7"},
			{FileName: "no such file", Statuses: []core.RunStatus{core.RunFailed}},
		} {
			filter.Limit = 20
			if i%2 == 1 {
				filter.Before = ports.RunCursor{CreatedAt: time.Date(2026, 11, 1, 0, 10, 0, 0, time.UTC), ID: "run"}
				filter.CreatedFrom = benchNow.AddDate(0, 0, -30)
			}
			_, err := x.svc.FindRuns(ctx, operator, benchTenant(1), filter)
			require.NoError(t, err)
			n++
		}
		for _, filter := range []ports.EntryFilter{
			{},
			{Kinds: []core.EntryKind{core.EntryRefund}},
			{Period: core.PeriodOf(benchNow)},
			{Period: core.PeriodOf(benchNow).Next(), Kinds: []core.EntryKind{core.EntryCharge}},
			{Run: benchRun(1, 7)},
			{Before: 100, Kinds: []core.EntryKind{core.EntryCharge}},
		} {
			filter.Limit = 20
			_, err := x.svc.FindEntries(ctx, operator, benchTenant(1), filter)
			require.NoError(t, err)
			n++
		}
		_, err := x.svc.Trouble(ctx, operator, time.Hour, benchNow, 20)
		require.NoError(t, err)
		return n
	}
	x.seed(t, 1, 2500, 8)
	x.seed(t, 2, 1000, 2) // another tenant's
	for _, statistics := range []string{"stale", "fresh"} {
		if statistics == "fresh" {
			_, err = pool.Exec(ctx, `ANALYZE`)
			require.NoError(t, err)
		}
		mu.Lock()
		plans = nil
		mu.Unlock()
		n := 0
		for range 7 { // Postgres may change its mind about a prepared statement after the fifth time
			n += searches()
		}
		mu.Lock()
		seen := 0
		for _, plan := range plans {
			if strings.Contains(plan, "duration:") {
				seen++
			}
			for _, dear := range []string{"Seq Scan on runs", "Seq Scan on files", "Seq Scan on ledger", "Seq Scan on attempts", "Hash Join", "Merge Join", "Filter: (status = 'RUNNING'", "Filter: (status = 'COMPLETED'"} {
				if dear == "Seq Scan on runs" && strings.Contains(plan, "file_count") {
					continue // it looks at 2,048 of the 3,500 that there are here
				}
				require.NotContains(t, plan, dear, "%s statistics", statistics)
			}
		}
		mu.Unlock()
		require.Greater(t, seen, n, "plans were seen")
	}
}

// BenchmarkFind measures what people look for in a tenant's history of 10,000 runs of
// 100 files each. A search that finds nothing in one answer is the dearest.
func BenchmarkFind(b *testing.B) {
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	x := newBench(b, server)
	for from := 0; from < 4; from++ { // four tenants, one of which is asked about
		runs := 500
		if from == 0 {
			runs = 10_000
		}
		x.seed(b, from, runs, 100)
	}
	x.settleDown(b)
	search := func(filter ports.RunFilter) func(ctx context.Context) error {
		filter.Limit = 50
		return func(ctx context.Context) error {
			_, err := x.svc.FindRuns(ctx, operator, benchTenant(0), filter)
			return err
		}
	}
	for _, c := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"newest", search(ports.RunFilter{})},
		{"status", search(ports.RunFilter{Statuses: []core.RunStatus{core.RunFailed}})},
		{"statuses-rare", search(ports.RunFilter{Statuses: []core.RunStatus{core.RunRunning, core.RunInterrupted}})},
		{"template-common", search(ports.RunFilter{Template: "bench"})},
		{"template-absent", search(ports.RunFilter{Template: "ghost"})},
		{"file-common", search(ports.RunFilter{FileName: "FILE-9"})},
		{"file-absent", search(ports.RunFilter{FileName: "no such file"})},
		{"entries-of-a-run", func(ctx context.Context) error {
			_, err := x.svc.FindEntries(ctx, operator, benchTenant(0), ports.EntryFilter{Run: benchRun(0, 5000), Limit: 50})
			return err
		}},
		{"usage-of-10000-entries", func(ctx context.Context) error {
			_, err := x.svc.Usage(ctx, operator, benchTenant(0), core.PeriodOf(benchNow))
			return err
		}},
		{"entries-kind-absent", func(ctx context.Context) error {
			_, err := x.svc.FindEntries(ctx, operator, benchTenant(0), ports.EntryFilter{Kinds: []core.EntryKind{core.EntryRefund}, Limit: 50})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			require.NoError(b, c.do(b.Context())) // prepares its statements
			var took []float64
			for b.Loop() {
				began := time.Now()
				require.NoError(b, c.do(b.Context()))
				took = append(took, time.Since(began).Seconds()*1000)
			}
			b.ReportMetric(median(took), "ms-median")
		})
	}
}
