package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// backupCmd copies a SQLite database and its files, while a server works on them.
type backupCmd struct {
	databaseFlags

	BackupTo string `name:"to" placeholder:"FILE" help:"File of the copy, which must not exist. Default: beside the database, with the time in its name."`
	Files    string `group:"store" env:"REDRIVE_FILES" placeholder:"FOLDER" help:"Folder, or bucket URL, of the uploaded files. Default: the folder files beside the database."`
	FilesTo  string `placeholder:"FOLDER" help:"Folder, or bucket URL, that the files of all runs are copied to; what is there already is not copied again. Without it they are not copied."`
}

// Run copies the database first and the files second: what the copy of the database names
// is then there to be copied. The copy has its name when it was checked.
func (c *backupCmd) Run(ctx context.Context, to streams) error {
	kind, file, err := c.place()
	if err != nil {
		return err
	}
	if kind != inSQLite {
		return errors.New("backup copies SQLite databases; for Postgres there is pg_dump, then copy the folder of files (docs/operations.md)")
	}
	if _, err := os.Stat(file); err != nil { // SQLite would say of a mistyped name that it cannot open it
		return fmt.Errorf("the database of --database-url (DATABASE_URL): %w", err)
	}
	if c.Files == "" {
		c.Files = filepath.Join(c.folder(), "files")
	}
	if c.BackupTo == "" {
		c.BackupTo = filepath.Join(c.folder(), "redrive-"+time.Now().UTC().Format("20060102T150405Z")+".db")
	}
	if err := os.MkdirAll(filepath.Dir(c.BackupTo), 0o750); err != nil {
		return fmt.Errorf("the folder of --to: %w", err)
	}
	differences := 0
	err = sqlite.Backup(ctx, file, c.BackupTo, func(ctx context.Context, copied *sqlite.Store) error {
		var err error
		if differences, err = checkCopy(ctx, copied, to.out); err != nil || c.FilesTo == "" {
			return err
		}
		return c.copyFiles(ctx, copied, to.out)
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(to.out, "copied to", c.BackupTo)
	if differences > 0 { // a faithful copy of what is there, and that is not as it should be
		return fmt.Errorf("the copy is complete, but its ledger differs from the balances and runs in %d places; run 'redrive ledger check' on it", differences)
	}
	return nil
}

func checkCopy(ctx context.Context, copied *sqlite.Store, out io.Writer) (differences int, err error) {
	tenants, entries, runs := 0, 0, 0
	err = app.EachTenant(ctx, copied, func(t core.Tenant) error {
		audit, err := app.CheckLedger(ctx, copied, t.ID)
		if err != nil {
			return err
		}
		e, r := audit.Counts()
		tenants, entries, runs = tenants+1, entries+e, runs+r
		differences += len(audit.Differences())
		return nil
	})
	if err == nil {
		fmt.Fprintf(out, "ledger check of the copy: %d tenants, %d entries, %d runs, %d differences\n", tenants, entries, runs, differences)
	}
	return differences, err
}

func (c *backupCmd) copyFiles(ctx context.Context, copied *sqlite.Store, out io.Writer) (err error) {
	if samePlace(c.Files, c.FilesTo) {
		return errors.New("--files-to is where the files are")
	}
	f, err := openFolders(ctx, c.Files, c.FilesTo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	err = app.EachTenant(ctx, copied, func(t core.Tenant) error {
		return app.EachFileRef(ctx, copied, t.ID, func(run core.RunID, refs []core.FileRef) error {
			return f.copy(ctx, t.ID, run, refs)
		})
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "files: %d copied (%d bytes), %d there\n", f.done.Copied, f.done.Bytes, f.done.There)
	if n := len(f.done.Unreadable); n > 0 {
		fmt.Fprintf(out, "files: %d cannot be read, the first: %s\n", n, f.done.Unreadable[0])
	}
	return nil
}
