package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/postgres"
)

// Names of databases. Those of tests contain the time at which they were made, so that
// databases of killed tests on a shared server can be removed later.
const (
	testPrefix     = "redrive_test_"
	templatePrefix = "redrive_template_"
	testLifetime   = 2 * time.Hour
)

// timeout bounds the statements on one admin connection.
const timeout = time.Minute

// adminLock is an advisory lock: one test binary at a time makes the template.
const adminLock = 7_373_011_509

// Database is the database of one test.
type Database struct {
	Name string
	URL  string
}

// New gives a fresh database with the current schema, on the server that all tests of this
// binary share. It is dropped when the test ends, also if clients are still connected. Safe
// in parallel tests.
func New(t testing.TB) Database {
	t.Helper()
	return sharedServer(t).New(t)
}

// NewEmpty is New without a schema.
func NewEmpty(t testing.TB) Database {
	t.Helper()
	return sharedServer(t).NewEmpty(t)
}

func sharedServer(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// New gives a fresh database with the current schema on this server.
func (s *Server) New(t testing.TB) Database {
	t.Helper()
	template, err := s.template()
	if err != nil {
		t.Fatalf("pgtest: template database: %v", err)
	}
	return s.create(t, template)
}

// NewEmpty gives a fresh database without a schema on this server.
func (s *Server) NewEmpty(t testing.TB) Database {
	t.Helper()
	return s.create(t, "template0")
}

func (s *Server) create(t testing.TB, template string) Database {
	t.Helper()
	name := fmt.Sprintf("%s%d_%s", testPrefix, time.Now().Unix(), strings.ToLower(rand.Text()[:12]))
	if err := s.admins(func(ctx context.Context, conn *pgx.Conn) error { return s.copy(ctx, conn, name, template) }); err != nil {
		t.Fatalf("pgtest: create database: %v", err)
	}
	t.Cleanup(func() {
		err := s.admins(func(ctx context.Context, conn *pgx.Conn) error { return drop(ctx, conn, name) })
		if err != nil {
			t.Errorf("pgtest: drop database: %v", err)
		}
	})
	return Database{Name: name, URL: withDatabase(s.admin, name)}
}

func (s *Server) copy(ctx context.Context, conn *pgx.Conn, name, template string) error {
	sql := "CREATE DATABASE " + quote(name) + " TEMPLATE " + quote(template)
	if s.fileCopy {
		// The default writes every page of the copy to the log as well.
		sql += " STRATEGY FILE_COPY"
	}
	_, err := conn.Exec(ctx, sql)
	return err
}

func drop(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
	return err
}

// template makes the template database if it does not exist, once per binary, and gives
// its name. The name is a hash of the migrations' text, so a changed schema has another
// template.
func (s *Server) template() (string, error) {
	name := templatePrefix + schemaHash()
	s.prepare.Do(func() {
		s.failed = s.admins(func(ctx context.Context, conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", adminLock); err != nil {
				return err
			}
			if err := s.removeOld(ctx, conn); err != nil {
				return err
			}
			var exists bool
			if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
				return err
			}
			// It has another name until it is complete.
			building := name + "_new"
			if err := errors.Join(drop(ctx, conn, building), s.copy(ctx, conn, building, "template0")); err != nil {
				return err
			}
			if err := migrate(ctx, withDatabase(s.admin, building)); err != nil {
				return err
			}
			_, err := conn.Exec(ctx, "ALTER DATABASE "+quote(building)+" RENAME TO "+quote(name))
			return err
		})
	})
	return name, s.failed
}

// removeOld drops the databases of tests that were killed long ago.
func (s *Server) removeOld(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database WHERE datname ^@ $1", testPrefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		var made int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(name, testPrefix), "%d_", &made); err != nil {
			continue // not one of ours
		}
		if time.Since(time.Unix(made, 0)) > testLifetime {
			if err := drop(ctx, conn, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func migrate(ctx context.Context, databaseURL string) error {
	pool, err := postgres.Connect(ctx, postgres.Config{URL: databaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = postgres.Migrate(ctx, pool)
	return err
}

func schemaHash() string {
	sum := sha256.Sum256([]byte(postgres.SchemaText()))
	return hex.EncodeToString(sum[:6])
}

// admins runs fn on a connection to a database that always exists.
func (s *Server) admins(fn func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is lost with it
	return fn(ctx, conn)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// withDatabase is a connection string to another database of the same server.
func withDatabase(admin, name string) string {
	if u, err := url.Parse(admin); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + name
		return u.String()
	}
	return admin + " dbname=" + name // key=value: the last one counts
}

// Open gives a store and its pool, for statements that no port has. An empty URL means a
// fresh database. The pool has 16 connections, unless c says otherwise, and is closed when
// the test ends.
func Open(t testing.TB, c postgres.Config) (*postgres.Store, *pgxpool.Pool) {
	t.Helper()
	if c.URL == "" {
		c.URL = New(t).URL
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	pool, err := postgres.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, c)
	if err != nil {
		t.Fatal(err)
	}
	return store, pool
}
