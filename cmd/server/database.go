package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/ports"
)

// databaseFlags select the database of a command.
type databaseFlags struct {
	DatabaseURL        string        `group:"store" env:"DATABASE_URL" placeholder:"URL" help:"Postgres to keep everything in, such as postgres://user@host/db. Without it, data is kept in memory and is gone when the server stops."`
	DBMaxConns         int32         `group:"store" env:"REDRIVE_DB_MAX_CONNS" default:"10" help:"Most connections to the database."`
	DBConnectTimeout   time.Duration `group:"store" env:"REDRIVE_DB_CONNECT_TIMEOUT" default:"5s" help:"Timeout of making one connection."`
	DBLockTimeout      time.Duration `group:"store" env:"REDRIVE_DB_LOCK_TIMEOUT" default:"5s" help:"Timeout of waiting for one lock."`
	DBStatementTimeout time.Duration `group:"store" env:"REDRIVE_DB_STATEMENT_TIMEOUT" default:"30s" help:"Timeout of one statement."`
}

func (f databaseFlags) config() postgres.Config {
	return postgres.Config{
		URL: f.DatabaseURL, MaxConns: f.DBMaxConns, ConnectTimeout: f.DBConnectTimeout,
		LockTimeout: f.DBLockTimeout, StatementTimeout: f.DBStatementTimeout,
	}
}

// connect opens the database for a command that needs one. The caller closes the pool.
func (f databaseFlags) connect(ctx context.Context) (*pgxpool.Pool, *postgres.Store, error) {
	if f.DatabaseURL == "" {
		return nil, nil, errors.New("set DATABASE_URL to the database, such as postgres://user@host/db")
	}
	pool, err := postgres.Connect(ctx, f.config())
	if err != nil {
		return nil, nil, err
	}
	store, err := postgres.New(pool, f.config())
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return pool, store, nil
}

// defaultFiles is the folder for uploaded files of a server with a database.
const defaultFiles = "data/files"

// connectMigrated is connect for a command that reads the data, so that the schema has to
// be up to date.
func (f databaseFlags) connectMigrated(ctx context.Context) (*pgxpool.Pool, *postgres.Store, error) {
	pool, store, err := f.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := prepareSchema(ctx, pool, false, nil); err != nil {
		pool.Close()
		return nil, nil, err
	}
	return pool, store, nil
}

// backend is the storage of a server.
type backend struct {
	store    ports.Store
	sessions ports.Sessions
	files    ports.Files
	database *pgxpool.Pool               // nil: in memory
	ready    func(context.Context) error // nil if the store answers
	close    func() error
}

// backend opens the configured database and the storage of its files, and migrates or
// checks the schema. Without a database everything is in memory.
func (c *serveCmd) backend(ctx context.Context, log *slog.Logger) (_ backend, err error) {
	if c.DatabaseURL == "" {
		if c.Files != "" {
			return backend{}, errors.New("--files without DATABASE_URL: the files would outlive the runs that they belong to; set both or none")
		}
		log.Warn("data is kept in memory only and is gone when the server stops; set DATABASE_URL to keep it")
		store := memory.NewStore()
		return backend{
			store: store, sessions: store.Sessions(), files: memory.NewFiles(),
			ready: func(context.Context) error { return nil },
			close: func() error { return nil },
		}, nil
	}
	files, err := openFiles(ctx, cmp.Or(c.Files, defaultFiles))
	if err != nil {
		return backend{}, fmt.Errorf("cannot keep uploaded files: %w; choose another place with --files", err)
	}
	pool, store, err := c.connect(ctx)
	if err != nil {
		return backend{}, errors.Join(err, files.Close())
	}
	closeAll := func() error {
		pool.Close()
		return files.Close()
	}
	if err := prepareSchema(ctx, pool, c.Migrate, log); err != nil {
		return backend{}, errors.Join(err, closeAll())
	}
	return backend{store: store, sessions: store.Sessions(), files: files, database: pool, ready: store.Ping, close: closeAll}, nil
}

// openFiles opens a folder, which is made if it is not there, or a bucket.
func openFiles(ctx context.Context, where string) (*blobfiles.Files, error) {
	if strings.Contains(where, "://") {
		return blobfiles.Open(ctx, where)
	}
	return blobfiles.OpenDir(where)
}

// prepareSchema migrates, or refuses a schema that is behind: otherwise a query would
// fail later, in the middle of a request.
func prepareSchema(ctx context.Context, pool *pgxpool.Pool, migrate bool, log *slog.Logger) error {
	if migrate {
		applied, err := postgres.Migrate(ctx, pool)
		for _, m := range applied {
			log.Info("migrated", "version", m.Version, "name", m.Name)
		}
		return err
	}
	steps, err := postgres.MigrationStatus(ctx, pool)
	if err != nil {
		return err
	}
	for _, m := range steps {
		if m.AppliedAt.IsZero() {
			return fmt.Errorf("the database lacks migration %s; run 'redrive migrate'", m.Name)
		}
	}
	return nil
}
