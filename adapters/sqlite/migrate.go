package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

const migrationTable = "schema_migrations"

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // the file's
	AppliedAt time.Time // zero: pending
}

// Migrate brings the schema up to date and gives the steps that this call applied. Each
// step is a transaction. Nobody else can migrate the file meanwhile: the store has it for
// itself. ErrNewerSchema if it knows steps that this program does not.
func Migrate(ctx context.Context, s *Store) (applied []Migration, err error) {
	if err := s.refuseNewer(ctx); err != nil {
		return nil, err
	}
	err = s.withProvider(func(p *goose.Provider) error {
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
	})
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", translate(err))
	}
	return applied, nil
}

// MigrationStatus gives every step that this program knows, in order. It writes nothing.
func MigrationStatus(ctx context.Context, s *Store) ([]Migration, error) {
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	var steps []Migration
	err = s.withProvider(func(p *goose.Provider) error {
		for _, source := range p.ListSources() {
			steps = append(steps, Migration{Version: source.Version, Name: path.Base(source.Path)})
		}
		if versions == nil {
			return nil // not one was applied: asking goose would make its table
		}
		status, err := p.Status(ctx)
		if err != nil {
			return err
		}
		for i, step := range status {
			steps[i].AppliedAt = step.AppliedAt.UTC()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", translate(err))
	}
	return steps, nil
}

// versions gives the steps that the file says were applied; nil if it has none.
func (s *Store) versions(ctx context.Context) ([]int64, error) {
	tables, err := list(ctx, s, func(r *row) int { return r.int() },
		`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?`, migrationTable)
	if err != nil || tables[0] == 0 {
		return nil, err
	}
	return list(ctx, s, func(r *row) int64 { return r.number() },
		`SELECT version_id FROM `+migrationTable+` WHERE is_applied`)
}

// refuseOthers keeps Redrive's tables out of another program's database.
func (s *Store) refuseOthers(ctx context.Context) error {
	tables, err := list(ctx, s, func(r *row) string { return r.text() }, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil || len(tables) == 0 || slices.Contains(tables, migrationTable) {
		return err
	}
	return fmt.Errorf("sqlite: %s is the database of another program: it has tables, and none is %s", s.path, migrationTable)
}

func (s *Store) refuseNewer(ctx context.Context) error {
	versions, err := s.versions(ctx)
	if err != nil {
		return err
	}
	known := int64(0)
	err = s.withProvider(func(p *goose.Provider) error {
		for _, source := range p.ListSources() {
			known = max(known, source.Version)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v > known {
			return fmt.Errorf("%w: %s has schema %d, and this program knows %d; start the later version, or restore a backup of before", ErrNewerSchema, s.path, v, known)
		}
	}
	return nil
}

// withProvider lends a connection to goose, which speaks database/sql.
func (s *Store) withProvider(fn func(*goose.Provider) error) (err error) {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector{source(s.path, writes, &s.opts)})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithTableName(migrationTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return fn(p)
}

// connector opens connections of our driver for database/sql.
type connector struct{ source string }

func (c connector) Connect(context.Context) (driver.Conn, error) { return library.Open(c.source) }

func (c connector) Driver() driver.Driver { return library }

// SchemaText is the text of all migrations in order: what tells one version of the schema
// from another.
func SchemaText() string {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		panic(err) // a malformed pattern
	}
	var all strings.Builder
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			panic(err) // it is embedded
		}
		all.WriteString(name)
		all.Write(text)
	}
	return all.String()
}
