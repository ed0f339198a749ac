package httpapi_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// state is everything that is stored, to be compared.
type state struct {
	Tenants map[core.TenantID]tenantState
	Waiting []core.Job
	Asked   int
}

type tenantState struct {
	Tenant    core.Tenant
	Balances  []core.Balance
	Entries   []core.Entry
	Templates []core.Template
	Runs      []runState

	Low        core.LowCredits
	Endpoints  []core.WebhookEndpoint
	Deliveries []core.WebhookDelivery
	APIKeys    []core.APIKey // without their last use, which each request with one notes
	Audit      []core.AuditEvent
}

type runState struct {
	Run        core.Run
	Files      []core.File
	Attempts   []core.Attempt
	Amendments []core.Amendment
}

func (w *world) state() state {
	w.t.Helper()
	const all = 1_000_000
	ctx := w.t.Context()
	s := state{Tenants: map[core.TenantID]tenantState{}, Waiting: w.queue.Waiting(), Asked: w.queue.asked()}
	tenants, err := w.kept.AllTenants(ctx, "", all)
	require.NoError(w.t, err)
	for _, tenant := range tenants {
		ts := tenantState{Tenant: tenant}
		// Without faultyStore: its faults apply to the server only.
		err := w.kept.View(ctx, tenant.ID, func(tx ports.Tx) (err error) {
			if ts.Balances, err = tx.Ledger().Balances(ctx); err != nil {
				return err
			}
			if ts.Entries, err = tx.Ledger().Entries(ctx, 0, all); err != nil {
				return err
			}
			if ts.Templates, err = tx.Templates().List(ctx); err != nil {
				return err
			}
			runs, err := tx.Runs().List(ctx, ports.RunFilter{Limit: all})
			if err != nil {
				return err
			}
			for _, run := range runs {
				rs := runState{Run: run}
				if rs.Files, err = tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: 0, Limit: all, OutputBytes: 1 << 20}); err != nil {
					return err
				}
				if rs.Attempts, err = tx.Attempts().List(ctx, run.ID); err != nil {
					return err
				}
				if rs.Amendments, err = tx.Amendments().List(ctx, run.ID); err != nil {
					return err
				}
				ts.Runs = append(ts.Runs, rs)
			}
			if ts.Low, err = tx.WebhookEvents().LowCredits(ctx); err != nil {
				return err
			}
			if ts.Endpoints, err = tx.WebhookEndpoints().List(ctx); err != nil {
				return err
			}
			for _, e := range ts.Endpoints {
				list, err := tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: e.ID, Limit: all})
				if err != nil {
					return err
				}
				ts.Deliveries = append(ts.Deliveries, list...)
			}
			if ts.APIKeys, err = tx.APIKeys().List(ctx); err != nil {
				return err
			}
			for i := range ts.APIKeys {
				ts.APIKeys[i].LastUsedAt = time.Time{}
			}
			ts.Audit, err = tx.AuditLog().List(ctx, ports.AuditPage{Limit: all})
			return err
		})
		require.NoError(w.t, err)
		s.Tenants[tenant.ID] = ts
	}
	return s
}

// refused asks for something that must be refused with this status and code, and
// compares the whole state before and after: nothing may have changed.
func (w *world) refused(status int, code core.Code, ask func() answer) answer {
	w.t.Helper()
	before, contents := w.state(), w.files.kept()
	a := ask()
	require.Equal(w.t, status, a.status, a.text())
	require.Equal(w.t, string(code), a.str("code"))
	require.Equal(w.t, status, a.int("status"))
	require.Equal(w.t, "/problems/"+string(code), a.str("type"))
	require.Equal(w.t, a.header.Get("X-Request-Id"), a.str("requestId"))
	require.Equal(w.t, before, w.state(), "a refusal has changed something")
	require.Equal(w.t, contents, w.files.kept(), "a refused upload stays")
	return a
}
