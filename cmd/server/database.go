package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/ports"
)

// databaseFlags select the database of a command.
type databaseFlags struct {
	DatabaseURL        string        `group:"store" env:"DATABASE_URL" default:"sqlite:data/redrive.db" help:"Where everything is kept: sqlite:FILE, for one server; postgres://user@host/db, which any number of servers may share; memory:, which is gone when the server stops."`
	DBMaxConns         int32         `group:"store" env:"REDRIVE_DB_MAX_CONNS" default:"10" help:"Most connections to Postgres."`
	DBConnectTimeout   time.Duration `group:"store" env:"REDRIVE_DB_CONNECT_TIMEOUT" default:"5s" help:"Timeout of making one connection to Postgres."`
	DBLockTimeout      time.Duration `group:"store" env:"REDRIVE_DB_LOCK_TIMEOUT" default:"5s" help:"Timeout of waiting for one lock."`
	DBStatementTimeout time.Duration `group:"store" env:"REDRIVE_DB_STATEMENT_TIMEOUT" default:"30s" help:"Timeout of one statement in Postgres."`
}

// kind is what a database is.
type kind int

const (
	inMemory kind = iota
	inSQLite
	inPostgres
)

// place says what the database is, and for SQLite its file.
func (f databaseFlags) place() (kind, string, error) {
	scheme, rest, found := strings.Cut(f.DatabaseURL, ":")
	switch {
	case found && scheme == "memory" && rest == "":
		return inMemory, "", nil
	case found && scheme == "sqlite":
		file := strings.TrimPrefix(rest, "//") // as other programs write it: sqlite:///var/lib/redrive.db
		if file == "" || file == ":memory:" {
			return 0, "", fmt.Errorf("--database-url (DATABASE_URL): %q names no file, such as sqlite:data/redrive.db; memory: keeps nothing", f.DatabaseURL)
		}
		return inSQLite, file, nil
	case found && (scheme == "postgres" || scheme == "postgresql"), strings.Contains(f.DatabaseURL, "="): // libpq's own form: host=… dbname=…
		return inPostgres, "", nil
	default:
		return 0, "", fmt.Errorf("--database-url (DATABASE_URL): %q is neither sqlite:FILE nor memory: nor postgres://user@host/db", redact(f.DatabaseURL))
	}
}

// folder is where the server keeps its own files: beside the database if that is one.
func (f databaseFlags) folder() string {
	if kind, file, err := f.place(); err == nil && kind == inSQLite {
		return filepath.Dir(file)
	}
	return "data"
}

// migration is one step of a schema, of whatever database.
type migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: pending
}

// database is the database that was configured.
type database struct {
	store    ports.Store
	sessions ports.Sessions
	tickets  ports.Tickets
	pool     *pgxpool.Pool               // nil: not Postgres
	sole     bool                        // no other process has it, nor the queue in memory of one before
	ready    func(context.Context) error // nil if the store answers
	migrate  func(context.Context) (applied []migration, err error)
	status   func(context.Context) ([]migration, error)
	whole    func(context.Context) error // nil, or refuses tables that are spread in part
	close    func() error
}

// open opens the database. The caller closes it.
func (f databaseFlags) open(ctx context.Context, log *slog.Logger) (*database, error) {
	kind, file, err := f.place()
	if err != nil {
		return nil, err
	}
	switch kind {
	case inMemory:
		store := memory.NewStore()
		none := func(context.Context) ([]migration, error) { return nil, nil }
		return &database{
			store: store, sessions: store.Sessions(), tickets: store.Tickets(), migrate: none, status: none,
			ready: func(context.Context) error { return nil },
			close: func() error { return nil },
		}, nil
	case inSQLite:
		store, err := sqlite.Open(ctx, file, sqlite.WithLockTimeout(f.DBLockTimeout), sqlite.WithLogger(log))
		if err != nil {
			return nil, err
		}
		return &database{
			store: store, sessions: store.Sessions(), tickets: store.Tickets(), sole: true, ready: store.Ping, close: store.Close,
			migrate: func(ctx context.Context) ([]migration, error) {
				applied, err := sqlite.Migrate(ctx, store)
				return steps(applied), err
			},
			status: func(ctx context.Context) ([]migration, error) {
				all, err := sqlite.MigrationStatus(ctx, store)
				return steps(all), err
			},
		}, nil
	default:
		return f.openPostgres(ctx)
	}
}

func (f databaseFlags) openPostgres(ctx context.Context) (*database, error) {
	config := postgres.Config{
		URL: f.DatabaseURL, MaxConns: f.DBMaxConns, ConnectTimeout: f.DBConnectTimeout,
		LockTimeout: f.DBLockTimeout, StatementTimeout: f.DBStatementTimeout,
	}
	pool, err := postgres.Connect(ctx, config)
	if err != nil {
		return nil, err
	}
	store, err := postgres.New(pool, config)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &database{
		store: store, sessions: store.Sessions(), tickets: store.Tickets(), pool: pool, ready: store.Ping,
		close: func() error { pool.Close(); return nil },
		migrate: func(ctx context.Context) ([]migration, error) {
			applied, err := postgres.Migrate(ctx, pool)
			return steps(applied), err
		},
		whole: func(ctx context.Context) error {
			spread, err := postgres.SpreadStatus(ctx, pool)
			return cmp.Or(err, spread.Whole())
		},
		status: func(ctx context.Context) ([]migration, error) {
			all, err := postgres.MigrationStatus(ctx, pool)
			return steps(all), err
		},
	}, nil
}

func steps[M postgres.Migration | sqlite.Migration](list []M) []migration {
	same := make([]migration, len(list))
	for i, m := range list {
		same[i] = migration(m)
	}
	return same
}

// openKept is open for a command, for which there is nothing to do in memory.
func (f databaseFlags) openKept(ctx context.Context) (*database, error) {
	if kind, _, err := f.place(); err == nil && kind == inMemory {
		return nil, errors.New("there is nothing in memory: of a server its memory is gone with it; set DATABASE_URL to sqlite:FILE or postgres://user@host/db")
	}
	return f.open(ctx, slog.New(slog.DiscardHandler))
}

// openThere is openKept for a command that only reads. It makes no new file: a name that was
// mistyped would look like a server without data.
func (f databaseFlags) openThere(ctx context.Context) (*database, error) {
	if kind, file, err := f.place(); err == nil && kind == inSQLite {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("the database of --database-url (DATABASE_URL): %w", err)
		}
	}
	return f.openKept(ctx)
}

// openMigrated is openThere for a command that reads the data, so that the schema has to be
// up to date.
func (f databaseFlags) openMigrated(ctx context.Context) (*database, error) {
	db, err := f.openThere(ctx)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, false, nil); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// prepare migrates, or refuses a schema that is behind: otherwise a query would fail later,
// in the middle of a request.
func (d *database) prepare(ctx context.Context, migrate bool, log *slog.Logger) error {
	if migrate {
		applied, err := d.migrate(ctx)
		for _, m := range applied {
			log.Info("migrated", "version", m.Version, "name", m.Name)
		}
		return cmp.Or(err, d.isWhole(ctx))
	}
	all, err := d.status(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			return fmt.Errorf("the database lacks migration %s; run 'redrive migrate'", m.Name)
		}
	}
	return d.isWhole(ctx)
}

func (d *database) isWhole(ctx context.Context) error {
	if d.whole == nil {
		return nil
	}
	return d.whole(ctx)
}

// backend is the storage of a server.
type backend struct {
	*database

	files ports.Files
}

// backend opens the configured database and the storage of its files, and migrates or
// checks the schema.
func (c *serveCmd) backend(ctx context.Context, log *slog.Logger) (_ backend, err error) {
	kind, _, err := c.place()
	if err != nil {
		return backend{}, err
	}
	if kind == inMemory {
		if c.Files != "" {
			return backend{}, errors.New("--files with DATABASE_URL=memory: would outlive the runs that they belong to; set another DATABASE_URL, or no --files")
		}
		log.Warn("data is kept in memory only and is gone when the server stops; set DATABASE_URL to keep it")
		db, err := c.open(ctx, log)
		return backend{db, memory.NewFiles()}, err
	}
	files, err := openFiles(ctx, c.Files)
	if err != nil {
		return backend{}, fmt.Errorf("cannot keep uploaded files: %w; choose another place with --files", err)
	}
	db, err := c.open(ctx, log)
	if err != nil {
		return backend{}, errors.Join(err, files.Close())
	}
	closeDatabase := db.close
	db.close = func() error { return errors.Join(closeDatabase(), files.Close()) }
	if err := db.prepare(ctx, c.Migrate, log); err != nil {
		return backend{}, errors.Join(err, db.close())
	}
	return backend{db, files}, nil
}

// openFiles opens a folder, which is made if it is not there, or a bucket.
func openFiles(ctx context.Context, where string) (*blobfiles.Files, error) {
	if strings.Contains(where, "://") {
		return blobfiles.Open(ctx, where)
	}
	return blobfiles.OpenDir(where)
}
