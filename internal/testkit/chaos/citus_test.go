package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

var nodeDown = flag.Duration("node-down", 5*time.Second, "how long TestChaosOnCitus keeps a node of the cluster down")

// TestChaosOnCitus kills servers, and the postmaster of one node of the cluster, while users
// work. The tenants of the other nodes must not notice the latter. Everything that was
// acknowledged must be there afterwards, and close.
func TestChaosOnCitus(t *testing.T) {
	database := pgtest.Citus(t).URL
	g := begin(t)
	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: database})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	setUp(t, store, *runs, *files)
	dying, its := nodeOf(t, pool, tenants[0]), map[core.TenantID]bool{}
	for _, id := range tenants {
		its[id] = nodeOf(t, pool, id) == dying
	}
	others := len(tenants)
	for _, on := range its {
		if on {
			others--
		}
	}
	require.Positive(t, others, "all tenants are on one node, so the test would show nothing")
	g.start(t, *servers, database)
	for _, c := range g.people.clients {
		c.counts = &counts{} // each tenant's own
	}

	ctx, cancel := context.WithTimeout(t.Context(), *faults+*nodeDown+*settle)
	defer cancel()
	busy, calm := context.WithTimeout(ctx, *faults+*nodeDown)
	defer calm()
	kills, killed := 0, make(chan error, 1)
	go func() {
		var err error
		kills, err = g.cluster.torment(busy, *killEvery, rand.New(rand.NewPCG(*seed, 1)))
		killed <- err
	}()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		g.people.work(busy, ctx, func() {}, *runs)
	}()
	require.NoError(t, sleep(ctx, *faults/2))
	pgtest.KillCitusNode(t, dying, *nodeDown)
	was := map[core.TenantID][2]int64{}
	for id, c := range g.people.clients {
		was[id] = [2]int64{c.counts.requests.Load(), c.counts.unavailable.Load()}
	}
	require.NoError(t, sleep(ctx, *nodeDown-time.Second))
	for id, c := range g.people.clients {
		asked, unavailable := c.counts.requests.Load()-was[id][0], c.counts.unavailable.Load()-was[id][1]
		t.Logf("tenant %s, whose node is down: %v; meanwhile %d requests, %d of them answered unavailable", id, its[id], asked, unavailable)
		if !its[id] {
			require.Zero(t, unavailable, "tenant %s is on another node", id)
		}
	}
	partial, err := store.AllTenants(ctx, "", 100)
	require.ErrorIs(t, err, ports.ErrIncomplete)
	require.ErrorContains(t, err, dying)
	require.Len(t, partial, others)
	pgtest.AwaitCitusNode(t, dying)
	<-worked
	calm()
	require.NoError(t, <-killed)
	stopped := time.Now()
	require.NoError(t, g.cluster.ready(ctx))
	left := awaitClosed(ctx, t, func(ctx context.Context) (left int, err error) {
		err = pool.QueryRow(ctx, `SELECT count(*) FROM runs WHERE status = 'RUNNING'`).Scan(&left)
		return left, err
	})
	require.Zero(t, left, "runs that did not close within %v", *settle)
	t.Logf("seed %d: %d kills of servers, one of node %s; everything closed %v after the faults", *seed, kills, dying, time.Since(stopped).Round(time.Millisecond))

	check := exec.Command(g.program.path, "ledger", "check")
	check.Env = g.program.env
	books, err := check.CombinedOutput()
	require.NoError(t, err, "%s", books)
	wrong, err := g.people.compare(t.Context(), pool)
	require.NoError(t, err)
	violations, err := storetest.Violations(t.Context(), store, tenants...)
	require.NoError(t, err)
	require.Empty(t, append(wrong, violations...))
	require.Len(t, g.people.runs, *runs, "not all users got a run")
	for _, id := range tenants {
		c := g.people.clients[id].counts
		t.Logf("tenant %s: %d requests, %d unavailable, %d unknown outcomes", id, c.requests.Load(), c.unavailable.Load(), c.outcomeUnknown.Load())
	}
}

// nodeOf gives the address of the node that has a tenant.
func nodeOf(t *testing.T, pool *pgxpool.Pool, tenant core.TenantID) (node string) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `
SELECT n.nodename || ':' || n.nodeport FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
 WHERE p.shardid = get_shard_id_for_distribution_column('tenants', $1::text)`, tenant).Scan(&node)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("tenant %s is nowhere", tenant)
	}
	require.NoError(t, err)
	return node
}
