package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// moveCmd moves tenants to another database.
type moveCmd struct {
	From string `required:"" placeholder:"URL" help:"Database that has the tenants: sqlite:FILE or postgres://user@host/db."`
	To   string `required:"" placeholder:"URL" help:"Database that they are moved to; its schema is brought up to date."`

	Tenant []string `placeholder:"ID" help:"Tenant to be moved; give it several times for several."`
	All    bool     `help:"Move every tenant."`

	FilesFrom  string `placeholder:"FOLDER" help:"Folder, or bucket URL, of the uploaded files. Default: as for serve, by --from."`
	FilesTo    string `placeholder:"FOLDER" help:"Folder, or bucket URL, that they are copied to. Default: as for serve, by --to. If it is the same, nothing is copied."`
	LeaveFiles bool   `help:"Leave the uploaded files where they are; the servers of both databases have to reach them there."`

	InterruptWork bool `help:"Move tenants although servers work on their files; these are executed again at the target."`
	Cancel        bool `help:"Give up moves that did not arrive: open the tenants at the source again."`
}

// Run moves one tenant after the other and prints a line for each. What it could not move
// does not keep it from the others.
func (c *moveCmd) Run(ctx context.Context, to streams) (err error) {
	if c.All == (len(c.Tenant) > 0) {
		return errors.New("say which tenants: --tenant ID, several times for several, or --all")
	}
	fromFlags, toFlags := moveSide(c.From), moveSide(c.To)
	for name, f := range map[string]databaseFlags{"from": fromFlags, "to": toFlags} {
		if kind, _, err := f.place(); err != nil || kind == inMemory {
			return fmt.Errorf("--%s: %q is none of sqlite:FILE and postgres://user@host/db", name, redact(f.DatabaseURL))
		}
	}
	source, err := fromFlags.openThere(ctx)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, source.close()) }()
	target, err := toFlags.openKept(ctx)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	log := slog.New(slog.NewTextHandler(to.err, nil))
	for _, db := range []*database{source, target} {
		if err := db.prepare(ctx, true, log); err != nil {
			return err
		}
	}
	files, err := c.openFolders(ctx, fromFlags, toFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.close()) }()
	tenants, err := c.tenants(ctx, source)
	if err != nil {
		return err
	}
	mover := &app.Mover{
		From: source.store, To: target.store, Alone: source.sole, Interrupt: c.InterruptWork, Files: files.copier(),
		Step: func(tenant core.TenantID, what string) { log.Info(what, "tenant", tenant) },
	}
	if c.Cancel {
		return eachOf(ctx, tenants, func(tenant core.TenantID) error { return cancelMove(ctx, mover, tenant, to.out) })
	}
	if err := eachOf(ctx, tenants, func(tenant core.TenantID) error { return c.move(ctx, mover, files, tenant, to.out) }); err != nil {
		return fmt.Errorf("%w\nwhat is said to be moved lives at the target; repeat the command for the rest", err)
	}
	fmt.Fprintf(to.out, "all %d tenants live in the target; the ledgers agree on both sides\n", len(tenants))
	return nil
}

// moveSide has timeouts for a command that works by itself: its statements are many and
// large, and nobody waits for an answer.
func moveSide(url string) databaseFlags {
	return databaseFlags{
		DatabaseURL: url, DBMaxConns: 4, DBConnectTimeout: 5 * time.Second,
		DBLockTimeout: 5 * time.Second, DBStatementTimeout: 5 * time.Minute,
	}
}

func (c *moveCmd) tenants(ctx context.Context, source *database) ([]core.TenantID, error) {
	var list []core.TenantID
	if c.All {
		err := app.EachTenant(ctx, source.store, func(t core.Tenant) error {
			list = append(list, t.ID)
			return nil
		})
		return list, err
	}
	for _, id := range c.Tenant {
		list = append(list, core.TenantID(id))
	}
	return list, nil
}

// eachOf goes on after an error, unless it was told to stop.
func eachOf(ctx context.Context, tenants []core.TenantID, do func(core.TenantID) error) error {
	var errs []error
	for _, tenant := range tenants {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := do(tenant); err != nil {
			errs = append(errs, fmt.Errorf("tenant %s: %w", tenant, err))
		}
	}
	return errors.Join(errs...)
}

func (c *moveCmd) move(ctx context.Context, mover *app.Mover, files *folders, tenant core.TenantID, out io.Writer) error {
	files.done, files.unreadable = blobfiles.Adopted{}, 0
	moved, err := mover.Tenant(ctx, tenant)
	switch {
	case errors.Is(err, app.ErrAtWork):
		return fmt.Errorf("%w (--interrupt-work)", err)
	case err != nil:
		return err
	case moved.Before:
		fmt.Fprintf(out, "%s  moved before\n", tenant)
		return nil
	}
	fmt.Fprintf(out, "%s  moved: %s; same on both sides, SHA-256 %s", tenant, moved.MoveCounts, moved.Checksum[:16])
	if mover.Files != nil {
		fmt.Fprintf(out, "; %d contents copied, %d there", files.done.Copied, files.done.There)
	}
	fmt.Fprintln(out)
	if n := files.unreadable; n > 0 {
		fmt.Fprintf(out, "%s  %d contents cannot be read at the source, and cannot at the target; the first: %s\n", tenant, n, files.done.Unreadable[0])
	}
	return nil
}

func cancelMove(ctx context.Context, mover *app.Mover, tenant core.TenantID, out io.Writer) error {
	cancelled, err := mover.Cancel(ctx, tenant)
	if err != nil {
		return err
	}
	what := "nothing to cancel"
	if cancelled {
		what = "cancelled; it goes on at the source"
	}
	fmt.Fprintf(out, "%s  %s\n", tenant, what)
	return nil
}

// folders are where contents are copied from and to; nil: they are not.
type folders struct {
	from, to *blobfiles.Files
	done     blobfiles.Adopted // of the present tenant

	unreadable int // of them
}

// openFolders opens the places of the uploaded files, unless they are one.
func (c *moveCmd) openFolders(ctx context.Context, from, to databaseFlags) (*folders, error) {
	source, target := c.FilesFrom, c.FilesTo
	if source == "" {
		source = filepath.Join(from.folder(), "files")
	}
	if target == "" {
		target = filepath.Join(to.folder(), "files")
	}
	if c.LeaveFiles || c.Cancel || samePlace(source, target) {
		return &folders{}, nil
	}
	return openFolders(ctx, source, target)
}

func openFolders(ctx context.Context, source, target string) (*folders, error) {
	from, err := openFiles(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("uploaded files: %w", err)
	}
	to, err := openFiles(ctx, target)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("uploaded files: %w", err), from.Close())
	}
	return &folders{from: from, to: to}, nil
}

func samePlace(a, b string) bool {
	if strings.Contains(a, "://") || strings.Contains(b, "://") {
		return a == b
	}
	return absolute(a) == absolute(b)
}

// absolute gives a folder its one name, as far as it is there.
func absolute(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

func (f *folders) copier() func(context.Context, core.TenantID, core.RunID, []core.FileRef) error {
	if f.from == nil {
		return nil
	}
	return f.copy
}

func (f *folders) copy(ctx context.Context, tenant core.TenantID, _ core.RunID, refs []core.FileRef) error {
	a, err := f.to.Adopt(ctx, f.from, tenant, refs)
	f.done.Copied, f.done.Bytes, f.done.There = f.done.Copied+a.Copied, f.done.Bytes+a.Bytes, f.done.There+a.There
	if f.unreadable += len(a.Unreadable); len(f.done.Unreadable) == 0 {
		f.done.Unreadable = a.Unreadable // one page of them; the first is shown
	}
	return err
}

func (f *folders) close() error {
	if f.from == nil {
		return nil
	}
	return errors.Join(f.from.Close(), f.to.Close())
}
