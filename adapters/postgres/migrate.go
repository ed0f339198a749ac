package postgres

import (
	"context"
	"database/sql"
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

	"github.com/redrive/redrive/ports"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	migrationTable = "schema_migrations"
	migrationLock  = 7_373_011_508 // an advisory lock that nothing else on the database uses
	// A server that finds another one migrating asks again every second, for as
	// long as the longest migration may take.
	migrationLockTries = 1800
	// A step that waits for a table's lock keeps everybody waiting who comes after it, so it
	// waits for less than a server would mind, and less than it takes Postgres to look for
	// deadlocks, and tries again. After all tries the error names the step.
	migrationLockTimeout = "500ms"
	migrationStepTries   = 200
	migrationStepPause   = time.Second
)

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // the file's
	AppliedAt time.Time // zero: pending
}

// Migrate brings the schema up to date and gives the steps that this call
// applied. Any number of servers may call it at once: they take turns under an
// advisory lock of the session, which Postgres frees when its holder dies, and a
// server that finds nothing to do needs no turn.
//
// Servers of the release before go on meanwhile. Each step is a short transaction, or
// builds indexes beside them (CREATE INDEX CONCURRENTLY), which may take long: it reads
// the whole table, and waits for every transaction on the database that is older than
// itself. A step that was cut off is done again by the next call. A step that does not
// get a table's lock for five minutes fails with ports.ErrLockTimeout.
func Migrate(ctx context.Context, pool *pgxpool.Pool) ([]Migration, error) {
	steps, err := MigrationStatus(ctx, pool)
	if err != nil {
		return nil, err
	}
	if !pending(steps) {
		return nil, nil
	}
	var applied []Migration
	for try := 1; ; {
		m, err := migrateStep(ctx, pool)
		switch {
		case errors.Is(err, goose.ErrNoNextVersion):
			return applied, nil
		case err == nil:
			applied = append(applied, m)
			try = 1
			continue
		}
		err = fmt.Errorf("migrate: %w", translate(err))
		if !errors.Is(err, ports.ErrLockTimeout) && !errors.Is(err, ports.ErrDeadlock) || try == migrationStepTries {
			return applied, err
		}
		try++
		select {
		case <-time.After(migrationStepPause):
		case <-ctx.Done():
			return applied, errors.Join(ctx.Err(), err)
		}
	}
}

// migrateStep applies the next step.
func migrateStep(ctx context.Context, pool *pgxpool.Pool) (m Migration, err error) {
	turn, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, migrationLockTries))
	if err != nil {
		return Migration{}, err
	}
	err = withProvider(pool, func(p *goose.Provider) error {
		began := time.Now().UTC()
		r, err := p.UpByOne(ctx)
		if err == nil {
			m = Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path), AppliedAt: began}
		}
		return err
	}, goose.WithSessionLocker(&migrationTurn{SessionLocker: turn}))
	return m, err
}

// migrationTurn is the turn of one server to migrate, with the settings that a step goes by,
// whatever those of the database are.
type migrationTurn struct {
	lock.SessionLocker

	lockTimeout, statementTimeout string // of the connection before
}

const setTimeouts = `SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false)`

// SessionLock implements lock.SessionLocker.
func (m *migrationTurn) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := conn.QueryRowContext(ctx, `SELECT current_setting('lock_timeout'), current_setting('statement_timeout')`).
		Scan(&m.lockTimeout, &m.statementTimeout); err != nil {
		return err
	}
	if err := m.SessionLocker.SessionLock(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, setTimeouts, migrationLockTimeout, "0"); err != nil {
		return errors.Join(err, m.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	return nil
}

// SessionUnlock implements lock.SessionLocker. The connection goes back to the pool as it was.
func (m *migrationTurn) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, setTimeouts, m.lockTimeout, m.statementTimeout)
	return errors.Join(err, m.SessionLocker.SessionUnlock(ctx, conn))
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
