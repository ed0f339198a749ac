package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/internal/testkit/sqltest"
	"github.com/redrive/redrive/ports"
)

// A table that nobody thought about would stay on the coordinator of a cluster, and couple
// every tenant to it.
func TestEveryTableHasItsPlacement(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{})
	placed := postgres.Placements()
	byTenant := map[string]bool{}
	for _, table := range names(t, pool, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`) {
		require.Contains(t, placed, table, "say in placement.go where this table is on Citus")
		byTenant[table] = placed[table] == postgres.ByTenant
		delete(placed, table)
	}
	require.Empty(t, placed, "there are no such tables")
	for _, table := range names(t, pool, `SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'
	    UNION SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'`) {
		require.True(t, byTenant[table], "table %s has a foreign key, which cannot lead between the coordinator and the nodes", table)
	}
}

func TestConformanceOnCitus(t *testing.T) {
	t.Parallel()
	pgtest.CitusNodes(t)
	storetest.Run(t, func(t *testing.T) ports.Store {
		store, pool := pgtest.Open(t, postgres.Config{URL: pgtest.Citus(t).URL})
		allowTheImpossible(t, pool)
		return store
	})
}

func TestIncompleteOnCitus(t *testing.T) {
	t.Parallel()
	pgtest.CitusNodes(t)
	storetest.RunIncomplete(t, func(t *testing.T) (ports.Store, func(core.TenantID) func()) {
		db := pgtest.Citus(t)
		store, pool := pgtest.Open(t, postgres.Config{URL: db.URL})
		allowTheImpossible(t, pool)
		return store, func(tenant core.TenantID) func() { return pgtest.CutCitusTenant(t, db, tenant) }
	})
}

func TestWiringOnCitus(t *testing.T) {
	t.Parallel()
	sqltest.Wiring(t, onPostgres(postgres.Config{URL: pgtest.Citus(t).URL}))
}

func TestConcurrentContinuesOnCitus(t *testing.T) {
	t.Parallel()
	sqltest.ConcurrentContinues(t, 10, onPostgres(postgres.Config{URL: pgtest.Citus(t).URL}))
}

func TestMixedRaceOnCitus(t *testing.T) {
	t.Parallel()
	sqltest.MixedRace(t, onPostgres(postgres.Config{URL: pgtest.Citus(t).URL}))
}

func TestDistributeRefuses(t *testing.T) {
	t.Parallel()
	_, pool := pgtest.Open(t, postgres.Config{})
	_, err := postgres.Distribute(bounded(t), pool)
	require.ErrorIs(t, err, postgres.ErrCannotDistribute)
	require.ErrorContains(t, err, "no extension citus")
	spread, err := postgres.SpreadStatus(bounded(t), pool)
	require.NoError(t, err)
	require.Equal(t, postgres.Spread{}, spread)
	require.NoError(t, spread.Whole())

	_, pool = pgtest.Open(t, postgres.Config{URL: pgtest.NewEmpty(t).URL})
	_, err = postgres.Distribute(bounded(t), pool)
	require.ErrorIs(t, err, postgres.ErrCannotDistribute)
	require.ErrorContains(t, err, "not up to date")
}

// A database with runs is distributed, in two goes, and has everything that it had. Then a
// later migration comes.
func TestDistribute(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	store, pool := pgtest.Open(t, postgres.Config{URL: pgtest.CitusEmpty(t).URL})
	_, err := postgres.Migrate(ctx, pool)
	require.NoError(t, err)
	before := worldOf(t, store, pool, noExecution)
	before.AddTenant(t, "acme")
	before.AddTenant(t, "umbrella")
	run := before.Settled(t, 3, allFail)
	answered, err := before.RetryFailed(ctx, customer, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
	old := before.Read(t, run.ID)
	const interrupted = `SET citus.enable_unsafe_triggers = on; SELECT create_distributed_table('tenants', 'tenant_id', colocate_with => 'none')`
	require.NoError(t, inOwnConnection(t, before, interrupted))
	half, err := postgres.SpreadStatus(ctx, pool)
	require.NoError(t, err)
	require.ErrorContains(t, half.Whole(), "redrive migrate --citus")

	moved, err := postgres.Distribute(ctx, pool)
	require.NoError(t, err)
	require.Len(t, moved, len(half.Missing))
	moved, err = postgres.Distribute(ctx, pool)
	require.NoError(t, err)
	require.Empty(t, moved)
	whole, err := postgres.SpreadStatus(ctx, pool)
	require.NoError(t, err)
	require.NoError(t, whole.Whole())
	require.NotEmpty(t, whole.Citus)
	require.GreaterOrEqual(t, whole.Nodes, 2)

	store, pool = pgtest.Open(t, postgres.Config{URL: pool.Config().ConnString()}) // the servers are started again
	w := worldOf(t, store, pool, noExecution)
	require.Equal(t, old, w.Read(t, run.ID))
	again, err := w.RetryFailed(ctx, customer, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
	require.Equal(t, answered, again, "an answer that was remembered")
	require.NoError(t, w.Refill(ctx))
	w.requireInvariants(t)

	// What later migrations do, on plain Postgres as well.
	_, plain := pgtest.Open(t, postgres.Config{})
	for _, pool := range []*pgxpool.Pool{pool, plain} {
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(pg pgx.Tx) error {
			for _, sql := range []string{ // one after the other: Citus passes on what it is sent as a whole
				`CREATE TABLE notes (tenant_id text COLLATE "C" NOT NULL, note_id text NOT NULL, PRIMARY KEY (tenant_id, note_id))`,
				`CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION refuse_moved()`,
				`ALTER TABLE notes DISABLE TRIGGER moved`,
				`SELECT place_by_tenant('notes')`,
				`ALTER TABLE notes ADD CONSTRAINT notes_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)`,
				`ALTER TABLE runs ADD COLUMN note text NOT NULL DEFAULT ''`, // Citus adds a constraint by itself only
				`ALTER TABLE runs ADD CONSTRAINT runs_note CHECK (length(note) < 100) NOT VALID`,
			} {
				if _, err := pg.Exec(ctx, sql); err != nil {
					return fmt.Errorf("%s: %w", sql, err)
				}
			}
			return nil
		}))
		for _, sql := range []string{
			`ALTER TABLE runs VALIDATE CONSTRAINT runs_note`,
			`CREATE INDEX CONCURRENTLY runs_by_note ON runs (tenant_id, note)`,
			`CREATE TRIGGER notes_kept BEFORE DELETE ON notes FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('notes are kept')`,
		} {
			_, err := pool.Exec(ctx, sql)
			require.NoError(t, err, sql)
		}
	}
	require.EqualValues(t, 1, w.Number(t, `SELECT count(DISTINCT colocationid) FROM pg_dist_partition WHERE logicalrelid IN ('notes'::regclass, 'tenants'::regclass)`))
	_, err = pool.Exec(ctx, `INSERT INTO notes (tenant_id, note_id) VALUES ('nobody', '1')`)
	require.ErrorContains(t, err, "notes_tenant", "the foreign key is on the nodes")
	require.NoError(t, w.store.SetMove(ctx, "umbrella", ports.Move{}, ports.Move{ID: "m", State: ports.MoveLeaving, At: time.Now()}), "triggers are turned on")
}

// Whatever a Continue and an initiation send to nodes goes to one, and is committed there in
// one phase.
func TestOneNodeAndOnePhase(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	pc, err := pgxpool.ParseConfig(pgtest.Citus(t).URL)
	require.NoError(t, err)
	var mu sync.Mutex
	var log []*pgconn.Notice
	pc.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, n)
	}
	pc.ConnConfig.RuntimeParams["citus.log_remote_commands"] = "on"
	pc.ConnConfig.RuntimeParams["client_min_messages"] = "log"
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	w := worldOf(t, store, pool, noExecution)
	w.AddTenant(t, "acme")
	failed := w.Settled(t, 10, allFail)

	for name, do := range map[string]func() error{
		"initiate": func() error { _, err := w.Start(ctx, "acme", 10); return err },
		"continue": func() error { _, err := w.RetryFailed(ctx, customer, failed.ID, app.RetryRequest{}); return err },
		"read":     func() error { _, err := w.Run(ctx, customer, failed.ID); return err },
	} {
		mu.Lock()
		log = nil
		mu.Unlock()
		require.NoError(t, do())
		mu.Lock()
		nodes, commands, commits := map[string]int{}, 0, 0
		for _, n := range log {
			command, sent := strings.CutPrefix(n.Message, "issuing ")
			if !sent {
				continue
			}
			require.NotContains(t, command, "PREPARE TRANSACTION", name)
			commands++
			if command == "COMMIT" {
				commits++
			}
			node, _, _ := strings.Cut(n.Detail, " connectionId")
			nodes[node]++
		}
		mu.Unlock()
		t.Logf("%s: %d commands, %d of them COMMIT, by node: %v", name, commands, commits, nodes)
		require.Len(t, nodes, 1, name)
		require.Positive(t, commands, name)
	}
}

// A tenant is moved to another node by Citus, with all of its tables, while it works.
func TestShardMovesWhileItsTenantWorks(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	w := newWorld(t, postgres.Config{URL: pgtest.Citus(t).URL}, noExecution)
	failed := w.Settled(t, 5, allFail)
	where := func() (shard int64, node string, port int) {
		require.NoError(t, w.pool.QueryRow(ctx, `
SELECT p.shardid, n.nodename, n.nodeport FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
 WHERE p.shardid = get_shard_id_for_distribution_column('tenants', 'acme'::text)`).Scan(&shard, &node, &port))
		return shard, node, port
	}
	shard, from, fromPort := where()
	var to string
	var toPort int
	require.NoError(t, w.pool.QueryRow(ctx, `
SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards AND noderole = 'primary' AND (nodename, nodeport) <> ($1, $2) LIMIT 1`, from, fromPort).Scan(&to, &toPort))

	moving, moved := context.WithCancel(ctx)
	var did, slowest atomic.Int64
	worked := make(chan error, 1)
	go func() {
		for moving.Err() == nil {
			began := time.Now()
			if _, err := w.Start(ctx, "acme", 3); err != nil {
				worked <- err
				return
			}
			did.Add(1)
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
		}
		worked <- nil
	}()
	began := time.Now()
	_, err := w.pool.Exec(ctx, `SELECT citus_move_shard_placement($1, $2, $3, $4, $5, 'force_logical')`, shard, from, fromPort, to, toPort)
	took := time.Since(began)
	moved()
	require.NoError(t, err)
	require.NoError(t, <-worked, "the tenant noticed")
	_, now, nowPort := where()
	require.Equal(t, []any{to, toPort}, []any{now, nowPort})
	t.Logf("moved in %v; meanwhile %d initiations, the slowest in %v", took.Round(time.Millisecond), did.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
	require.Positive(t, did.Load())
	_, err = w.RetryFailed(ctx, customer, failed.ID, app.RetryRequest{})
	require.NoError(t, err)
	w.requireInvariants(t)
}

// What a transaction writes on the coordinator is committed after what it writes on a node, so
// that a crash between the two loses it: that is why nothing may depend on both. Here the
// coordinator's own share fails when it is its turn.
func TestCoordinatorsRowsAreCommittedAfterTheNodesOnCitus(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	w := newWorld(t, postgres.Config{URL: pgtest.Citus(t).URL}, noExecution)
	var begun []pgx.Tx
	for range 2 {
		conn, err := pgx.Connect(ctx, w.pool.Config().ConnString())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
		require.NoError(t, err)
		begun = append(begun, tx)
	}
	run := func(tx pgx.Tx, sql string) {
		_, err := tx.Exec(ctx, sql)
		require.NoError(t, err, sql)
	}
	const reply = `INSERT INTO replies (tenant_id, operation, key, fingerprint, result, at) VALUES ('acme', 'bulk_continue', 'key', 'f', '{}', now())`
	const message = `INSERT INTO bulk_replies (key, fingerprint, result, at) VALUES ('%d', 'f', '{}', now())`
	for i, tx := range begun { // each reads what the other writes, on the coordinator
		run(tx, `SELECT count(*) FROM bulk_replies`)
		run(tx, fmt.Sprintf(message, i))
	}
	run(begun[0], reply)
	require.NoError(t, begun[1].Commit(ctx))
	require.Error(t, begun[0].Commit(ctx))
	require.EqualValues(t, 1, w.Number(t, `SELECT count(*) FROM replies WHERE tenant_id = 'acme' AND key = 'key'`), "the node's share")
	require.EqualValues(t, 1, w.Number(t, `SELECT count(*) FROM bulk_replies`), "that of the other one: the coordinator's share is lost")
}

// A bulk continue that was lost so is made again by a repeat under its key.
func TestLostBulkContinueIsMadeAgainOnCitus(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	w := newWorld(t, postgres.Config{URL: pgtest.Citus(t).URL}, noExecution)
	w.Settled(t, 3, allFail)
	req := app.BulkRequest{Tenant: "acme", IdempotencyKey: "key"}
	made, _, err := w.CreateBulk(ctx, customer, req)
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, `DELETE FROM bulk_continues`)
	require.NoError(t, err)
	again, replayed, err := w.CreateBulk(ctx, customer, req)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, made.Bulk.ID, again.Bulk.ID)
	require.EqualValues(t, 1, w.Number(t, `SELECT count(*) FROM bulk_continues`))
}

// A bulk continue over tenants of several nodes goes on with those that can be asked while a
// node is down, and ends when it is back: each run is continued once.
func TestBulkContinueWithoutANodeOnCitus(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	db := pgtest.Citus(t)
	store, pool := pgtest.Open(t, postgres.Config{URL: db.URL})
	w := worldOf(t, store, pool, noExecution)
	var tenants []core.TenantID
	for i := range 6 {
		id := core.TenantID(fmt.Sprintf("tenant-%d", i))
		w.AddTenant(t, id)
		w.SettledOf(t, id, 1, allFail)
		w.SettledOf(t, id, 1, allFail)
		tenants = append(tenants, id)
	}
	operator := core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}
	made, _, err := w.CreateBulk(ctx, operator, app.BulkRequest{})
	require.NoError(t, err)
	require.Equal(t, 12, made.Totals.Waiting)
	heal := pgtest.CutCitusTenant(t, db, tenants[0])
	_, err = store.AllTenants(ctx, "", 10)
	var missing *ports.Incomplete
	require.ErrorAs(t, err, &missing)
	reachable := len(tenants) - len(missing.Tenants)
	require.Positive(t, reachable)
	d := w.NewBulkDriver("test")
	until := func(what string, is func(app.BulkView) bool) app.BulkView {
		for {
			if _, err := d.Pass(ctx); err != nil {
				t.Logf("pass: %v", err)
			}
			v, err := w.Bulk(ctx, operator, made.Bulk.ID)
			require.NoError(t, err)
			if is(v) {
				return v
			}
			select {
			case <-time.After(20 * time.Millisecond):
				w.Clock.Advance(time.Second)
			case <-ctx.Done():
				require.FailNow(t, what, "%+v", v)
			}
		}
	}
	v := until("the others go on", func(v app.BulkView) bool { return v.Totals.Continued == 2*reachable })
	require.Equal(t, core.BulkRunning, v.Bulk.Status)
	require.ErrorIs(t, v.Missing, ports.ErrIncomplete)
	require.Equal(t, 2*len(missing.Tenants), v.Totals.Unknown)
	heal()
	v = until("all are continued", func(v app.BulkView) bool { return v.Totals.Continued == 12 })
	require.Equal(t, core.BulkRunning, v.Bulk.Status, "they have not closed")
	require.Zero(t, v.Bulk.Faults)
	require.EqualValues(t, 12, w.Number(t, `SELECT count(*) FROM runs WHERE attempt = 1`))
	require.EqualValues(t, 12, w.Number(t, `SELECT count(*) FROM attempts WHERE attempt = 1`))
	w.requireInvariants(t)
}
