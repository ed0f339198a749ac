package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a copy of the database to a new file: see the function of that name.
func (s *Store) Backup(ctx context.Context, to string) error { return backup(ctx, s.path, to, &s.opts) }

// Backup writes a copy of a database file to a new file, as the database is at one moment,
// with everything that was answered before that. The database may be in use, by this process
// or another one: its transactions go on meanwhile. The copy is one file, without the empty
// space of the original, looked through for damage and on the disk before it has its name; it
// is opened as any other database. Before it has its name, the checks look at it; an error of
// one is Backup's, and there is no copy. fs.ErrExist if there is a file of that name.
func Backup(ctx context.Context, from, to string, checks ...func(context.Context, *Store) error) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return backup(ctx, from, to, nil, checks...)
}

func backup(ctx context.Context, from, to string, o *options, checks ...func(context.Context, *Store) error) (err error) {
	to, err = filepath.Abs(to)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("backup to %s: %w", to, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	// In a folder of its own: two backups at once do not meet, and what is left of one that
	// was killed is recognized.
	folder, err := os.MkdirTemp(filepath.Dir(to), filepath.Base(to)+".partial-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	partial := filepath.Join(folder, "copy.db")
	if err := copyInto(ctx, from, partial, o); err != nil {
		return fmt.Errorf("backup of %s: %w", from, err)
	}
	if err := lookThrough(ctx, partial); err != nil {
		return fmt.Errorf("backup of %s: the copy: %w", from, err)
	}
	for _, check := range checks {
		if err := checked(ctx, partial, check); err != nil {
			return fmt.Errorf("backup of %s: the copy: %w", from, err)
		}
	}
	// Its folder was private until now; like the database it is its owner's alone.
	if err := os.Chmod(partial, 0o600); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := syncFile(partial); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(partial, to); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncFolder(filepath.Dir(to))
}

// checked opens the copy as a store for a check. The files that come with a store are in the
// copy's own folder.
func checked(ctx context.Context, path string, check func(context.Context, *Store) error) error {
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(check(ctx, s), s.Close())
}

// copyInto has a connection of its own, so that nobody waits for one meanwhile.
func copyInto(ctx context.Context, from, to string, o *options) error {
	c, err := open(from, copies, o)
	if err != nil {
		return err
	}
	_, err = c.c.(driver.ExecerContext).ExecContext(ctx, `VACUUM INTO ?`, []driver.NamedValue{{Ordinal: 1, Value: to}})
	return errors.Join(translate(err), c.close())
}

// lookThrough reads a whole file and fails if its pages or its foreign keys are damaged.
func lookThrough(ctx context.Context, path string) error {
	c, err := open(path, copies, nil)
	if err != nil {
		return err
	}
	err = damage(ctx, c)
	return errors.Join(err, c.close())
}

func damage(ctx context.Context, c *conn) error {
	var found []string
	if err := c.query(`PRAGMA integrity_check(10)`, nil, func(r *row) { found = append(found, r.text()) }); err != nil {
		return translate(err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("damaged: %v", found)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var orphans []string
	if err := c.query(`PRAGMA foreign_key_check`, nil, func(r *row) { orphans = append(orphans, r.text()) }); err != nil {
		return translate(err)
	}
	if len(orphans) > 0 {
		return fmt.Errorf("damaged: %d rows belong to what is not there, of %s", len(orphans), orphans[0])
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // our own copy
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
