package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
)

// citusVariable names the coordinator of a cluster for tests.
const citusVariable = "REDRIVE_TEST_CITUS"

// citusShards is how many shards each table has in tests: at least one on each node, and few,
// since each test makes them anew.
const citusShards = 4

// Citus gives a fresh database whose tables are spread over the nodes of the cluster that
// REDRIVE_TEST_CITUS names: the URL of a database on the coordinator, of a user who may make
// databases on every node under the same name and without a password. Tests of a cluster are
// left out without it, and say so, because Citus is no part of Redrive or of what builds it.
func Citus(t testing.TB) Database {
	t.Helper()
	c := clusterOf(t)
	template, err := c.template()
	if err != nil {
		t.Fatalf("pgtest: template database on Citus: %v", err)
	}
	return c.create(t, template)
}

// CitusEmpty is Citus without a schema; every node has the extension, and knows the others.
func CitusEmpty(t testing.TB) Database {
	t.Helper()
	c := clusterOf(t)
	if _, err := c.template(); err != nil {
		t.Fatalf("pgtest: template database on Citus: %v", err)
	}
	return c.create(t, citusBare)
}

// CitusNodes gives the address of each node that has tables, host:port.
func CitusNodes(t testing.TB) []string {
	t.Helper()
	return clusterOf(t).nodes[1:]
}

func clusterOf(t testing.TB) *citusCluster {
	t.Helper()
	if os.Getenv(citusVariable) == "" {
		t.Skip("left out: it needs a cluster of Citus, and " + citusVariable + " names none (see CONTRIBUTING.md)")
	}
	c, err := sharedCitus()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var sharedCitus = sync.OnceValues(func() (*citusCluster, error) {
	c := &citusCluster{admin: os.Getenv(citusVariable)}
	return c, c.find()
})

// citusCluster is the coordinator, and the nodes that its own database knows.
type citusCluster struct {
	admin string
	nodes []string // host:port, the coordinator's first

	once   sync.Once
	failed error
}

func (c *citusCluster) find() error {
	s := &Server{admin: c.admin}
	return s.admins(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid`)
		if err != nil {
			return err
		}
		c.nodes, err = pgx.CollectRows(rows, pgx.RowTo[string])
		if err == nil && len(c.nodes) < 3 {
			err = fmt.Errorf("pgtest: %s names a cluster of %v; it has to be a coordinator that citus_set_coordinator_host() was told of, and two nodes", citusVariable, c.nodes)
		}
		return err
	})
}

// citusBare is the template of a database without a schema.
const citusBare = templatePrefix + "citus_bare"

// at is the connection string of a database on a node.
func (c *citusCluster) at(node, database string) string {
	u, err := url.Parse(withDatabase(c.admin, database))
	if err != nil {
		panic(err) // find has connected by it
	}
	u.Host = node
	return u.String()
}

// each runs statements on every node, the coordinator first.
func (c *citusCluster) each(database string, sql ...string) error {
	for _, node := range c.nodes {
		s := &Server{admin: c.at(node, database)}
		if err := s.admins(func(ctx context.Context, conn *pgx.Conn) error {
			for _, q := range sql {
				if _, err := conn.Exec(ctx, q); err != nil {
					return fmt.Errorf("%s: %s: %w", node, q, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// copy makes a database on every node.
func (c *citusCluster) copy(name, template string) error {
	return errors.Join(c.drop(name), c.unused(template, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(template)+" STRATEGY FILE_COPY"))
}

func (c *citusCluster) drop(name string) error {
	return c.unused(name, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
}

// unused runs a statement on every node that needs a database which nobody is in. Citus's
// daemon looks into each now and then, and takes no notice of FORCE, so this waits until it
// is out. One that is ended before a DROP DATABASE is started again for a database that is
// gone, for ever, so the statement comes first.
func (c *citusCluster) unused(database, sql string) error {
	failed := make([]error, len(c.nodes))
	var wait sync.WaitGroup
	for i, node := range c.nodes {
		wait.Go(func() { failed[i] = c.unusedOn(node, database, sql) })
	}
	wait.Wait()
	return errors.Join(failed...)
}

func (c *citusCluster) unusedOn(node, database, sql string) error {
	s := &Server{admin: c.at(node, "postgres")}
	err := s.admins(func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET citus.enable_create_database_propagation = off"); err != nil {
			return err
		}
		for {
			_, err := conn.Exec(ctx, sql)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "55006" { // object_in_use
				return err
			}
			if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database); err != nil {
				return err
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return errors.Join(ctx.Err(), err)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", node, sql, err)
	}
	return nil
}

// template makes the two templates once per binary.
func (c *citusCluster) template() (string, error) {
	name := templatePrefix + "citus_" + schemaHash()
	c.once.Do(func() {
		s := &Server{admin: c.admin}
		c.failed = s.admins(func(ctx context.Context, conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", adminLock); err != nil {
				return err
			}
			var bare, whole bool
			if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1), EXISTS (SELECT FROM pg_database WHERE datname = $2)`,
				citusBare, name).Scan(&bare, &whole); err != nil {
				return err
			}
			if !bare {
				if err := c.bare(); err != nil {
					return errors.Join(err, c.drop(citusBare))
				}
			}
			if whole {
				return nil
			}
			building := name + "_new"
			if err := errors.Join(c.copy(building, citusBare), c.spread(ctx, building)); err != nil {
				return err
			}
			return c.copy(name, building)
		})
	})
	return name, c.failed
}

// bare makes a database that knows the nodes.
func (c *citusCluster) bare() error {
	building := citusBare + "_new"
	if err := errors.Join(c.copy(building, "template0"), c.each(building, "CREATE EXTENSION citus")); err != nil {
		return err
	}
	s := &Server{admin: c.at(c.nodes[0], building)}
	err := s.admins(func(ctx context.Context, conn *pgx.Conn) error {
		for i, node := range c.nodes {
			host, port, err := net.SplitHostPort(node)
			if err != nil {
				return err
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				return err
			}
			sql := "SELECT citus_add_node($1, $2)"
			if i == 0 {
				sql = "SELECT citus_set_coordinator_host($1, $2)"
			}
			if _, err := conn.Exec(ctx, sql, host, number); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.copy(citusBare, building)
}

// spread makes the schema and spreads it, as an operator does.
func (c *citusCluster) spread(ctx context.Context, database string) error {
	pc := postgres.Config{URL: c.at(c.nodes[0], database)}
	pool, err := postgres.Connect(ctx, pc)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	err = citusSettings(ctx, conn.Conn(), database)
	conn.Release()
	if err != nil {
		return err
	}
	pool.Reset()
	_, err = postgres.Distribute(ctx, pool)
	return err
}

func (c *citusCluster) create(t testing.TB, template string) Database {
	t.Helper()
	name := fmt.Sprintf("%s%d_%s", testPrefix, time.Now().Unix(), strings.ToLower(rand.Text()[:12]))
	if err := c.copy(name, template); err != nil {
		t.Fatalf("pgtest: create database on Citus: %v", err)
	}
	t.Cleanup(func() {
		if err := c.drop(name); err != nil {
			t.Errorf("pgtest: drop database on Citus: %v", err)
		}
	})
	url := c.at(c.nodes[0], name)
	s := &Server{admin: url}
	if err := s.admins(func(ctx context.Context, conn *pgx.Conn) error { return citusSettings(ctx, conn, name) }); err != nil {
		t.Fatalf("pgtest: settings of a database on Citus: %v", err)
	}
	return Database{Name: name, URL: url}
}

// citusSettings are those of a database, which a copy of it does not get.
func citusSettings(ctx context.Context, conn *pgx.Conn, name string) error {
	for _, setting := range []string{"shard_count = " + strconv.Itoa(citusShards), "enable_unsafe_triggers = on", "multi_shard_modify_mode = sequential"} {
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+quote(name)+" SET citus."+setting); err != nil {
			return err
		}
	}
	return nil
}

// KillCitusNode kills the postmaster of a node by SIGKILL, and with it all of the node's
// sessions, and has it started again after a time. The node's own shell does both, since a
// test need not run on the node. It returns when the node is gone.
func KillCitusNode(t testing.TB, node string, down time.Duration) {
	t.Helper()
	c := clusterOf(t)
	s := &Server{admin: c.at(node, "postgres")}
	err := s.admins(func(ctx context.Context, conn *pgx.Conn) error {
		var data, bin, pid string
		if err := conn.QueryRow(ctx, `
SELECT current_setting('data_directory'), (SELECT setting FROM pg_config WHERE name = 'BINDIR'), split_part(pg_read_file('postmaster.pid'), E'\n', 1)`).
			Scan(&data, &bin, &pid); err != nil {
			return err
		}
		again := fmt.Sprintf("%s/pg_ctl -D %s -l %s.log -w start", bin, data, data)
		script := fmt.Sprintf("kill -9 %s; sleep %.1f; for i in 1 2 3 4 5 6 7 8 9 10; do %s && break; sleep 1; done", pid, down.Seconds(), again)
		_, err := conn.Exec(ctx, `COPY (SELECT) TO PROGRAM 'setsid sh -c "`+script+`" </dev/null >/dev/null 2>&1 &'`)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Severity != "FATAL" {
			return err
		}
		for conn.Ping(ctx) == nil { // its session notices that the postmaster is gone
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("pgtest: kill node %s: %v", node, err)
	}
}

// AwaitCitusNode waits until a node takes connections.
func AwaitCitusNode(t testing.TB, node string) {
	t.Helper()
	s := &Server{admin: clusterOf(t).at(node, "postgres")}
	deadline := time.Now().Add(timeout)
	for {
		err := s.admins(func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgtest: node %s: %v", node, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// CutCitusTenant lets a database lose the node that has a tenant, until heal: its coordinator
// looks for the node where nobody answers. Other databases on the cluster do not notice.
func CutCitusTenant(t testing.TB, d Database, tenant core.TenantID) (heal func()) {
	t.Helper()
	const nobody = 1 // a port
	run := func(sql string, args ...any) (id, port int) {
		s := &Server{admin: d.URL}
		if err := s.admins(func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, sql, args...).Scan(&id, &port)
		}); err != nil {
			t.Fatalf("pgtest: cut off the node of tenant %s: %v", tenant, err)
		}
		return id, port
	}
	id, port := run(`
SELECT n.nodeid, n.nodeport FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
 WHERE p.shardid = get_shard_id_for_distribution_column('tenants', $1::text)`, tenant)
	// What is connected stays so, unless the other end is gone.
	cut := &Server{admin: sharedCitusAt(t, d, port)}
	run(`UPDATE pg_dist_node SET nodeport = $2 WHERE nodeid = $1 RETURNING nodeid, nodeport`, id, nobody)
	if err := cut.admins(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND application_name LIKE 'citus%'`, d.Name)
		return err
	}); err != nil {
		t.Fatalf("pgtest: cut off the node of tenant %s: %v", tenant, err)
	}
	return func() {
		run(`UPDATE pg_dist_node SET nodeport = $2 WHERE nodeid = $1 RETURNING nodeid, nodeport`, id, port)
	}
}

// sharedCitusAt is the connection string of the database on the node with a port.
func sharedCitusAt(t testing.TB, d Database, port int) string {
	t.Helper()
	c := clusterOf(t)
	for _, node := range c.nodes {
		if _, p, err := net.SplitHostPort(node); err == nil && p == strconv.Itoa(port) {
			return c.at(node, d.Name)
		}
	}
	t.Fatalf("pgtest: the cluster has no node with port %d", port)
	return ""
}
