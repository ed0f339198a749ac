package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

// planned is a world whose statements' plans are seen.
type planned struct {
	*world
	mu    sync.Mutex
	plans []string
}

func newPlanned(t *testing.T, conns int32) *planned {
	t.Helper()
	p := &planned{}
	pc, err := pgxpool.ParseConfig(pgtest.New(t).URL)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_level": "notice",
	} {
		pc.ConnConfig.RuntimeParams[name] = value
	}
	pc.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.plans = append(p.plans, n.Message)
	}
	if conns > 0 {
		pc.MaxConns = conns
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	shared := &sqltest.World{Queue: &sqltest.Queue{Queue: memory.NewQueue()}, Clock: memory.NewManualClock(benchNow)}
	w := &world{World: shared, store: store, pool: pool}
	w.Service = install.Service(t, app.Deps{Store: store, Queue: w.Queue, Clock: w.Clock}, app.Options{})
	w.AddTenant(t, "acme")
	p.world = w
	return p
}

// seen gives the plans since it was called last.
func (p *planned) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	plans := p.plans
	p.plans = nil
	return plans
}

// What was planned while there were a few runs is done with hundreds: it reads those that
// are asked for all the same.
func TestPlansOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	w := newPlanned(t, 1) // a plan is a connection's
	ctx := t.Context()
	for round := range 20 {
		w.seen()
		for range 6 {
			_, err := w.Start(ctx, "acme", 2)
			require.NoError(t, err)
		}
		jobs := w.Queue.Drain(t)
		claimed, _, err := w.Claim(ctx, jobs, app.SkipLocked)
		require.NoError(t, err)
		require.Len(t, claimed, 12)
		_, err = w.Settle(ctx, settlements(jobs), app.SkipLocked)
		require.NoError(t, err)
		looked := 0
		for _, plan := range w.seen() {
			if strings.Contains(plan, "unnest") && (strings.Contains(plan, "runs r") || strings.Contains(plan, "files f")) {
				looked++
				require.NotContains(t, plan, "Seq Scan on", "round %d", round)
				require.NotContains(t, plan, "Hash Join", "round %d", round)
			}
		}
		require.Greater(t, looked, 3, "plans were seen")
	}
}

// What goes by keys is planned once a connection, however few the keys, and a page of runs
// each time for what it asks for, also in a transaction that writes.
func TestPlansAreKept(t *testing.T) {
	t.Parallel()
	w := newPlanned(t, 1)
	ctx := t.Context()
	_, err := w.Start(ctx, "acme", 1)
	require.NoError(t, err)
	jobs := w.Queue.Drain(t)
	w.seen()
	claimed, _, err := w.Claim(ctx, jobs, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.NoError(t, w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
		if _, err := tx.Ledger().BalanceForUpdate(ctx, core.PeriodOf(w.Clock.Now())); err != nil {
			return err
		}
		_, err := tx.Runs().List(ctx, ports.RunFilter{Limit: 10})
		return err
	}))
	locks, pages := 0, 0
	for _, plan := range w.seen() {
		statement, nodes, _ := strings.Cut(plan, "(cost=")
		switch {
		case strings.Contains(statement, "FROM runs WHERE tenant_id = $1 AND run_id = $2 FOR UPDATE"):
			locks++
			require.Contains(t, nodes, "$2", "the lock of a run is planned for this one")
		case strings.Contains(statement, "ORDER BY created_at DESC"):
			pages++
			require.NotContains(t, nodes, "$1", "a page is read by a plan for any page")
		}
	}
	require.Equal(t, 1, locks, "plans were seen")
	require.Equal(t, 1, pages, "plans were seen")
}

func settlements(jobs []core.Job) []core.Settlement {
	list := make([]core.Settlement, len(jobs))
	for i, job := range jobs {
		list[i] = core.Settlement{Job: job, Results: []core.FileResult{resultOf(job.Files[0], core.OutcomeTransient)}}
	}
	return list
}

// What is said about a list of files costs no more than the list, also right
// after the first large run, when Postgres's statistics still say that there are
// hardly any files. With a join filter it compared every file of the run with
// every one of the list: 4 ms a file at 10,000 files, and growing.
func TestPlansWithStaleStatistics(t *testing.T) {
	t.Parallel()
	w := newPlanned(t, 0)
	ctx := t.Context()
	_, err := w.Start(ctx, "acme", 1)
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, `ANALYZE`)
	require.NoError(t, err)
	w.Queue.Drain(t)
	run, err := w.Start(ctx, "acme", 3000)
	require.NoError(t, err)
	jobs := w.Queue.Drain(t)
	require.Len(t, jobs, 3000)
	for range 6 { // Postgres may change its mind about a prepared statement after the fifth time
		group := jobs[:100]
		jobs = jobs[100:]
		claimed, _, err := w.Claim(ctx, group, app.SkipLocked)
		require.NoError(t, err)
		require.Len(t, claimed, 100)
		_, _, err = w.Renew(ctx, group, app.SkipLocked)
		require.NoError(t, err)
		_, err = w.Settle(ctx, settlements(group), app.SkipLocked)
		require.NoError(t, err)
	}
	_, _, err = w.Claim(ctx, jobs, app.WaitForLock)
	require.NoError(t, err)
	require.NoError(t, settle(ctx, w.Service, settlements(jobs)))
	_, err = w.RetryFailed(ctx, customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)

	ofFiles, locks := 0, 0
	for _, plan := range w.seen() {
		if strings.Contains(plan, "LockRows") && strings.Contains(plan, "runs") {
			locks++
			require.NotContains(t, plan, "Filter: (run_id", "all runs of the tenant are read for one")
		}
		if strings.Contains(plan, "files f") {
			ofFiles++
			require.NotContains(t, plan, "Join Filter")
		}
	}
	require.Greater(t, ofFiles, 30, "plans were seen")
	require.Greater(t, locks, 20, "plans were seen")
}

// The check that an attempt is there, which a trigger makes, reads that attempt
// and not all that there are.
func TestPlanOfTheAttemptCheck(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{MaxConns: 1})
	ctx := t.Context()
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(ctx, sql, args...)
		require.NoError(t, err, sql)
	}
	exec(`ALTER TABLE attempts SET (autovacuum_enabled = false)`)
	exec(`SET session_replication_role = replica`) // runs and tenants do not matter here; the check is made always
	for _, n := range []int{1, 3000} {             // what was planned for one is done with all
		exec(`INSERT INTO attempts SELECT 'acme', 'run-' || i, 0, 1, 1, 'x', '', 'customer_admin', now(), 1, NULL, NULL, 0, 0, NULL, '', NULL, NULL, 0, 0, 0, NULL
			FROM generate_series(1, $1::int) i ON CONFLICT DO NOTHING`, n)
		for i := range 8 { // Postgres may change its mind about a plan after the fifth time
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, `INSERT INTO attempt_file_rows SELECT 'acme', 'run-1', 0, $1 + k, true, NULL, 0, 0, 0, '', '' FROM generate_series(1, 10) k`, n+10*i)
			require.NoError(t, err)
			var read int64
			require.NoError(t, tx.QueryRow(ctx, `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'attempts'`).Scan(&read))
			require.NoError(t, tx.Commit(ctx))
			require.Less(t, read, int64(100), "time %d with %d attempts", i, n)
		}
	}
	_, err := pool.Exec(ctx, `INSERT INTO attempt_file_rows VALUES ('acme', 'run-1', 7, 0, true, NULL, 0, 0, 0, '', '')`)
	require.ErrorContains(t, err, "files of an attempt that is not there")
}

// What was given up or is pending is found without the endpoint's whole log, however long
// that is and with whatever plan was made before.
func TestDeliveriesOfAStatusGoByAnIndex(t *testing.T) {
	t.Parallel()
	w := newPlanned(t, 1) // a plan is a connection's
	ctx := t.Context()
	_, err := w.pool.Exec(ctx, `
INSERT INTO webhook_deliveries (tenant_id, endpoint_id, event_id, type, at, body, status, claim, tries, due_at, log)
SELECT 'acme', 'e', 'evt_' || n, 'run.closed', now() - n * interval '1 second', '{}', s, 0, 0, CASE s WHEN 'pending' THEN now() END, '[]'
  FROM generate_series(1, 5000) n, LATERAL (SELECT CASE n % 1000 WHEN 1 THEN 'pending' WHEN 2 THEN 'given_up' ELSE 'delivered' END) AS v (s)`)
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, `ANALYZE webhook_deliveries`)
	require.NoError(t, err)
	for status, want := range map[core.DeliveryStatus]int{core.DeliveryPending: 5, core.DeliveryGivenUp: 5, core.DeliveryDelivered: 20, "": 20} {
		index := "webhook_deliveries_undelivered"
		if want == 20 {
			index = "webhook_deliveries_log"
		}
		for _, before := range []ports.DeliveryCursor{{}, {At: benchNow.AddDate(100, 0, 0), ID: "evt"}} {
			for range 7 { // Postgres may change its mind about a prepared statement after the fifth time
				w.seen()
				require.NoError(t, w.store.View(ctx, "acme", func(tx ports.Tx) error {
					list, err := tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: "e", Status: status, Before: before, Limit: 20})
					require.Len(t, list, want, "status %q", status)
					return err
				}))
				plans := strings.Join(w.seen(), "\n")
				require.Contains(t, plans, "using "+index+" ", "status %q", status)
				require.NotContains(t, plans, "Sort ", "status %q", status)
			}
		}
	}
}
