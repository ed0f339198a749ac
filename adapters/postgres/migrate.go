package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	migrationTable = "schema_migrations"
	migrationLock  = 7_373_011_508 // an advisory lock that nothing else on the database uses
	// A server that finds another one migrating asks again every second, for as
	// long as the longest migration may take.
	migrationLockTries = 1800
)

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // the file's
	AppliedAt time.Time // zero: pending
}

// Migrate brings the schema up to date and gives the steps that this call
// applied. Each step is a transaction. Any number of servers may call it at
// once: they take turns under an advisory lock of the session, which Postgres
// frees when its holder dies, and a server that finds nothing to do needs no turn.
func Migrate(ctx context.Context, pool *pgxpool.Pool) (applied []Migration, err error) {
	steps, err := MigrationStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	if !pending(steps) {
		return nil, nil
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, migrationLockTries))
	if err != nil {
		return nil, err
	}
	err = withProvider(pool, func(p *goose.Provider) error {
		began := time.Now().UTC()
		done, err := p.Up(ctx)
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			done = partial.Applied
		}
		for _, r := range done {
			applied = append(applied, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path), AppliedAt: began})
		}
		return err
	}, goose.WithSessionLocker(locker))
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", translate(err))
	}
	return applied, nil
}

// MigrationStatus gives every step that this program knows, in order. It writes
// nothing and takes no lock.
func MigrationStatus(ctx context.Context, pool *pgxpool.Pool) ([]Migration, error) {
	var steps []Migration
	err := withProvider(pool, func(p *goose.Provider) error {
		for _, s := range p.ListSources() {
			steps = append(steps, Migration{Version: s.Version, Name: path.Base(s.Path)})
		}
		var exists bool
		if err := pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, migrationTable).Scan(&exists); err != nil || !exists {
			return err
		}
		status, err := p.Status(ctx)
		if err != nil {
			return err
		}
		for i, s := range status {
			steps[i].AppliedAt = s.AppliedAt.UTC()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", translate(err))
	}
	return steps, nil
}

func pending(steps []Migration) bool {
	for _, s := range steps {
		if s.AppliedAt.IsZero() {
			return true
		}
	}
	return false
}

// withProvider lends the pool to goose, which speaks database/sql.
func withProvider(pool *pgxpool.Pool, fn func(*goose.Provider) error, opts ...goose.ProviderOption) (err error) {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }() // the pool itself stays open
	p, err := goose.NewProvider(goose.DialectPostgres, db, steps, append(opts, goose.WithTableName(migrationTable), goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return err
	}
	return fn(p)
}

// SchemaText is the text of all migrations in order: what tells one version of
// the schema from another.
func SchemaText() string {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		panic(err) // a malformed pattern
	}
	var all strings.Builder
	for _, name := range names {
		sql, err := fs.ReadFile(migrations, name)
		if err != nil {
			panic(err) // it is embedded
		}
		all.WriteString(name)
		all.Write(sql)
	}
	return all.String()
}
