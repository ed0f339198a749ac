package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// keysCmd has the commands on API keys.
type keysCmd struct {
	Make   keysMakeCmd   `cmd:"" help:"Make an API key and print its token, which is shown this once."`
	List   keysListCmd   `cmd:"" help:"List a tenant's API keys, the newest first."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke an API key, on every server at once."`
}

// keysOf is what they have in common. They work on the database, so a SQLite one must not
// be in use by a server; there the page and the API do the same.
type keysOf struct {
	databaseFlags

	Tenant string `required:"" placeholder:"ID" help:"The tenant whose keys they are."`
}

// with calls do with the use cases on the database.
func (k keysOf) with(ctx context.Context, do func(*app.Service) error) (err error) {
	db, err := k.openMigrated(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	svc, err := app.New(app.Deps{
		Store: db.store, Queue: memory.NewQueue(), Files: memory.NewFiles(), Log: slog.New(slog.DiscardHandler),
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) {
			return nil, errors.New("nothing is executed here")
		}),
	}, app.Options{})
	if err != nil {
		return err
	}
	return do(svc)
}

type keysMakeCmd struct {
	keysOf

	Name      string        `required:"" help:"What the key is for."`
	Role      string        `required:"" enum:"bubble_admin,customer_admin,customer_user" help:"bubble_admin, customer_admin or customer_user."`
	ExpiresIn time.Duration `placeholder:"DURATION" help:"After what time the key expires, such as 720h; otherwise it does not."`
}

// Run prints only the token, so that a script can capture it.
func (c *keysMakeCmd) Run(ctx context.Context, to streams) error {
	if c.ExpiresIn < 0 {
		return fmt.Errorf("--expires-in: %s is no time ahead", c.ExpiresIn)
	}
	return c.with(ctx, func(svc *app.Service) error {
		q := core.APIKeyRequest{Tenant: core.TenantID(c.Tenant), Name: c.Name, Role: core.Role(c.Role)}
		if c.ExpiresIn > 0 {
			q.ExpiresAt = svc.Clock().Now().Add(c.ExpiresIn)
		}
		_, token, err := svc.MakeAPIKey(ctx, core.System, q)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(to.out, token)
		return err
	})
}

type keysListCmd struct{ keysOf }

// Run prints a line for each key. Names are quoted: they are made by users, and may have
// anything in them.
func (c *keysListCmd) Run(ctx context.Context, to streams) error {
	return c.with(ctx, func(svc *app.Service) error {
		keys, err := svc.APIKeys(ctx, core.System, core.TenantID(c.Tenant))
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tSTATUS\tROLE\tCREATED\tBY\tEXPIRES\tLAST USED\tNAME")
		for _, k := range keys {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Status(svc.Clock().Now()), k.Role,
				timeOrDash(k.CreatedAt), strconv.Quote(k.CreatedBy.Subject), timeOrDash(k.ExpiresAt), timeOrDash(k.LastUsedAt), strconv.Quote(k.Name))
		}
		return table.Flush()
	})
}

func timeOrDash(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type keysRevokeCmd struct {
	keysOf

	ID string `arg:"" help:"The key's ID, as keys list shows it."`
}

// Run says nothing but what it did.
func (c *keysRevokeCmd) Run(ctx context.Context, to streams) error {
	return c.with(ctx, func(svc *app.Service) error {
		k, err := svc.RevokeAPIKey(ctx, core.System, core.TenantID(c.Tenant), core.APIKeyID(c.ID))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(to.out, "%s is revoked since %s\n", k.Visible(), timeOrDash(k.RevokedAt))
		return err
	})
}
