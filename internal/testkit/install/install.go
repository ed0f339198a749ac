// Package install sets up what most tests begin with: the use cases on adapters, of which
// a test names those that it is about, and tenants with credits and templates.
package install

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// TB is what testing.T, testing.B and rapid.T have in common.
type TB interface {
	require.TestingT
	Helper()
}

// Service makes the use cases. A part that d leaves out is in memory, and of no other
// Service; executions complete every file; nothing is logged. Jobs are tried once, unless
// o says otherwise.
func Service(t TB, d app.Deps, o app.Options) *app.Service {
	t.Helper()
	if d.Store == nil {
		d.Store = memory.NewStore()
	}
	if d.Queue == nil {
		d.Queue = memory.NewQueue()
	}
	if d.Files == nil {
		d.Files = memory.NewFiles()
	}
	if d.Executor == nil {
		d.Executor = ports.ExecutorFunc(complete)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if o.Retry == (core.RetryPolicy{}) {
		o.Retry.MaxTries = 1
	}
	svc, err := app.New(d, o)
	require.NoError(t, err)
	return svc
}

func complete(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}
	}
	return results, nil
}

// Tenant is a tenant to be made. What is left out of it is 0, but for what a comment says.
type Tenant struct {
	ID        core.TenantID
	Name      string       // the ID, if it is left out
	Allowance core.Credits // of each month; nothing is granted before the refill
	Granted   core.Credits // of the present month
	Purchased core.Credits
	// Templates are published. Of each the ID is enough: its name is the ID and its mode
	// per file.
	Templates []core.Template
}

// Make makes tenants.
func Make(t TB, svc *app.Service, tenants ...Tenant) {
	t.Helper()
	ctx := context.Background()
	for _, x := range tenants {
		_, err := svc.CreateTenant(ctx, core.System, x.ID, cmp.Or(x.Name, string(x.ID)), x.Allowance)
		require.NoError(t, err)
		if x.Granted > 0 {
			_, err = svc.GrantAllowance(ctx, core.System, x.ID, "opening-granted", core.PeriodOf(svc.Clock().Now()), x.Granted)
			require.NoError(t, err)
		}
		if x.Purchased > 0 {
			_, err = svc.PurchaseCredits(ctx, core.System, x.ID, "opening", x.Purchased)
			require.NoError(t, err)
		}
		for _, template := range x.Templates {
			Template(t, svc, x.ID, template)
		}
	}
}

// Template makes a published template of a tenant; see Tenant.Templates.
func Template(t TB, svc *app.Service, tenant core.TenantID, template core.Template) {
	t.Helper()
	ctx := context.Background()
	template.Tenant = tenant
	template.Name = cmp.Or(template.Name, string(template.ID))
	template.Mode = cmp.Or(template.Mode, core.ModePerFile)
	_, err := svc.CreateTemplate(ctx, core.System, template)
	require.NoError(t, err)
	_, err = svc.PublishTemplate(ctx, core.System, tenant, template.ID)
	require.NoError(t, err)
}
