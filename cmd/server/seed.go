package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// The demo's tenant, template and credits.
const (
	demoTenant    = core.TenantID("demo")
	demoTemplate  = core.TemplateID("summarise")
	demoPrice     = core.Credits(10)
	demoAllowance = core.Credits(50)
	demoPurchased = core.Credits(100)
	demoTokenTTL  = 24 * time.Hour
)

var (
	demoAdmin    = core.Actor{Subject: "demo-admin", Tenant: demoTenant, Role: core.RoleCustomerAdmin}
	demoOperator = core.Actor{Subject: "demo-operator", Role: core.RolePlatformAdmin}
)

// seed makes the demo's tenant, template and credits, unless they are there.
func seed(ctx context.Context, svc *app.Service) error {
	if _, err := svc.CreateTenant(ctx, core.System, demoTenant, "Demo", demoAllowance); err != nil && !errors.Is(err, core.ErrTenantExists) {
		return err
	}
	if err := svc.Refill(ctx); err != nil {
		return err
	}
	if _, err := svc.PurchaseCredits(ctx, core.System, demoTenant, "demo-purchase", demoPurchased); err != nil {
		return err
	}
	_, err := svc.Template(ctx, core.System, demoTenant, demoTemplate)
	if errors.Is(err, core.ErrTemplateNotFound) {
		_, err = svc.CreateTemplate(ctx, core.System, core.Template{
			ID: demoTemplate, Tenant: demoTenant, Name: "Summarise", CreditsPerRun: demoPrice, Mode: core.ModePerFile,
			Instructions: "Summarise the document in two sentences.",
		})
	}
	if err != nil {
		return err
	}
	_, err = svc.PublishTemplate(ctx, core.System, demoTenant, demoTemplate)
	return err
}

// demoFiles are the sample files that the demo uploads.
//
//go:embed demofiles/*.txt
var demoFiles embed.FS

// demoFileNames lists them, in order.
func demoFileNames() ([]string, error) {
	entries, err := demoFiles.ReadDir("demofiles")
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// demoSecretFile is beside the database.
const demoSecretFile = "demo-secret"

// demoSecret gives the secret of a demo. It is kept beside the SQLite database, so that the
// earlier credentials, and who is signed in, outlive a restart as the data does.
func (c *serveCmd) demoSecret() (string, error) {
	fresh := rand.Text() + rand.Text()
	if kind, _, err := c.place(); err != nil || kind != inSQLite {
		return fresh, err
	}
	path := filepath.Join(c.folder(), demoSecretFile)
	kept, err := os.ReadFile(path) //nolint:gosec // it is beside the database that the operator named
	if err == nil && len(kept) == len(fresh) {
		return string(kept), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the demo's secret: %w", err)
	}
	if err := os.MkdirAll(c.folder(), 0o750); err != nil {
		return "", fmt.Errorf("the demo's secret: %w", err)
	}
	if err := os.WriteFile(path, []byte(fresh), 0o600); err != nil {
		return "", fmt.Errorf("the demo's secret: %w", err)
	}
	return fresh, nil
}

// keeps says where the server keeps its data.
func (c *serveCmd) keeps() string {
	switch kind, file, _ := c.place(); kind { // check has seen the error
	case inMemory:
		return "It keeps its data in memory only, and everything is gone when it stops."
	case inSQLite:
		return fmt.Sprintf("It keeps its data in %s and the files in %s: stop it when you like, the next start goes on where this one was.", file, redact(c.Files))
	default:
		return "It keeps its data in the database."
	}
}

// welcome prints commands to paste into another terminal.
func (c *serveCmd) welcome(to io.Writer, auth *httpapi.Auth, url string) error {
	admin, err := auth.Token(demoAdmin, demoTokenTTL)
	if err != nil {
		return err
	}
	operator, err := auth.Token(demoOperator, demoTokenTTL)
	if err != nil {
		return err
	}
	names, err := demoFileNames()
	if err != nil {
		return err
	}
	uploads := ""
	for _, name := range names {
		uploads += " -F files=@cmd/server/demofiles/" + name
	}
	_, err = fmt.Fprintf(to, `
Redrive is running at %[1]s. %[10]s
Tenant %[2]q began with %[3]d credits of monthly allowance and %[4]d purchased; template %[5]q costs %[6]d credits a file.

Open %[1]s in a browser and sign in with one click. Or paste these lines into another terminal, in this folder. First the credentials:

export REDRIVE=%[1]s AUTH="Authorization: Bearer %[7]s"

1. Upload the sample files and start a run:

RUN=$(curl -sS -H "$AUTH" -F template=%[5]s%[8]s $REDRIVE/workflow-runs | tee /dev/stderr | sed -n 's/^{"id": *"\([^"]*\)".*/\1/p')

2. Look at it: some files failed, and one has a permanent error:

curl -sS -H "$AUTH" $REDRIVE/workflow-runs/$RUN

3. Continue, with the balance before and after: only the failed files run again, and only they are paid for:

curl -sS -H "$AUTH" $REDRIVE/balance; curl -sS -H "$AUTH" -X POST $REDRIVE/workflow-runs/$RUN/retry-failed; curl -sS -H "$AUTH" $REDRIVE/balance

Line 2 again shows how it ended. For /tenants and /templates there is a platform admin's credential:
export OPERATOR="Authorization: Bearer %[9]s"

`, url, demoTenant, demoAllowance, demoPurchased, demoTemplate, demoPrice, admin, uploads, operator, c.keeps())
	return err
}
