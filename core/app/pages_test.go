package app_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Operations that read page by page must read all pages. Those that go tenant by tenant
// must report an error with one tenant and go on with the others.

const beyondAPage = 1003 // of entries and of runs; tenants have pages of 500

func TestLedgerCheckBeyondAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.purchase(10 * beyondAPage)
	req := w.request(1)
	for range beyondAPage {
		_, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
	}
	w.requireBooks()
	audit, err := app.CheckLedger(w.ctx, w.store, acme)
	require.NoError(t, err)
	entries, runs := audit.Counts()
	require.Equal(t, beyondAPage, runs)
	require.Equal(t, beyondAPage+3, entries)

	exported := 0
	require.NoError(t, app.ExportLedger(w.ctx, w.store, acme, func(e core.Entry) error {
		exported++
		require.Equal(t, int64(exported), e.Seq)
		return nil
	}))
	require.Equal(t, entries, exported)
	broken := errors.New("disk full")
	require.ErrorIs(t, app.ExportLedger(w.ctx, w.store, acme, func(core.Entry) error { return broken }), broken)

	// The oldest run is on the last page: what is wrong with it is found.
	var oldest core.Run
	require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
		all, err := tx.Runs().List(w.ctx, ports.RunFilter{Limit: 2 * beyondAPage})
		oldest = all[len(all)-1]
		oldest.CreditsConsumed++
		if err != nil {
			return err
		}
		return tx.Runs().Save(w.ctx, ports.RunRows{Run: oldest})
	}))
	differences, err := w.svc.CheckLedger(w.ctx, platform, acme)
	require.NoError(t, err)
	require.Len(t, differences, 1)
	require.Contains(t, differences[0].What, string(oldest.ID))
}

func TestEachTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const more = beyondAPage
	for i := range more {
		_, err := w.svc.CreateTenant(w.ctx, platform, core.TenantID(fmt.Sprintf("t-%04d", i)), "t", 5)
		require.NoError(t, err)
	}
	seen := map[core.TenantID]bool{}
	trouble := errors.New("this tenant's rows are locked")
	err := app.EachTenant(w.ctx, w.store, func(tenant core.Tenant) error {
		seen[tenant.ID] = true
		if tenant.ID == "t-0003" || tenant.ID == "t-0900" {
			return fmt.Errorf("%s: %w", tenant.ID, trouble)
		}
		return nil
	})
	require.ErrorIs(t, err, trouble)
	require.ErrorContains(t, err, "t-0003")
	require.ErrorContains(t, err, "t-0900")
	require.Len(t, seen, more+2, "one tenant's trouble is not another's")
	require.NoError(t, app.EachTenant(w.ctx, w.store, func(core.Tenant) error { return nil }))

	// A month later every tenant has the next allowance except the one whose refill fails;
	// that one gets it as soon as its refill succeeds.
	w.clock.Set(core.PeriodOf(w.clock.Now()).End().Add(1))
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if tenant == "t-0003" {
			return errStore
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	require.ErrorIs(t, w.svc.Refill(w.ctx), errStore)
	left := func(id core.TenantID) core.Credits {
		b, err := w.svc.Balance(w.ctx, platform, id)
		require.NoError(t, err)
		return b.Monthly
	}
	require.Equal(t, core.Credits(0), left("t-0003"))
	require.Equal(t, core.Credits(5), left("t-1002"), "a later tenant, beyond the first page")
	w.faultyStore.set(nil)
	require.NoError(t, w.svc.Refill(w.ctx))
	require.Equal(t, core.Credits(5), left("t-0003"))
}

// A tenant has credits as soon as it is created, and the refill grants nothing twice.
func TestNewTenantHasItsAllowance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := func(id core.TenantID) {
		_, err := w.svc.CreateTenant(w.ctx, platform, id, "t", 40)
		require.NoError(t, err)
	}
	create("early")
	b, err := w.svc.Balance(w.ctx, platform, "early")
	require.NoError(t, err)
	require.Equal(t, core.Credits(40), b.Monthly)
	require.NoError(t, w.svc.Refill(w.ctx))
	entries, err := w.svc.Entries(w.ctx, platform, "early", 0, 10)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, core.System, entries[0].Actor)

	w.clock.Set(core.PeriodOf(w.clock.Now()).End().Add(-1)) // the last moment of the month
	create("late")
	w.clock.Advance(1)
	b, err = w.svc.Balance(w.ctx, platform, "late")
	require.NoError(t, err)
	require.Equal(t, core.Credits(40), b.Monthly, "the next month is granted with the first")
	require.NoError(t, w.svc.Refill(w.ctx))
	entries, err = w.svc.Entries(w.ctx, platform, "late", 0, 10)
	require.NoError(t, err)
	require.Len(t, entries, 2)

	_, err = w.svc.CreateTenant(w.ctx, platform, "early", "t", 40)
	require.ErrorIs(t, err, core.ErrTenantExists)
	entries, err = w.svc.Entries(w.ctx, platform, "early", 0, 10)
	require.NoError(t, err)
	require.Len(t, entries, 2, "the refill's of the new month, and nothing for a repeat that was refused")
}
