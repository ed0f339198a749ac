package app_test

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestPurchaseCredits(t *testing.T) {
	t.Parallel()

	// A top-up counted twice (lago-api 5870, AutoGPT PR 10672).
	t.Run("OncePerKey", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first, err := w.svc.PurchaseCredits(w.ctx, platform, acme, "invoice-1", 30)
		require.NoError(t, err)
		w.clock.Advance(40 * 24 * time.Hour) // a repeat may come in the next month
		again, err := w.svc.PurchaseCredits(w.ctx, platform, acme, "invoice-1", 30)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, core.Credits(80), w.balance().Purchased)
		w.requireRefused(core.ErrIdempotencyKeyReused, func() error {
			_, err := w.svc.PurchaseCredits(w.ctx, platform, acme, "invoice-1", 31)
			return err
		})
	})

	t.Run("TogetherOncePerKey", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var together sync.WaitGroup
		for range 30 {
			together.Go(func() {
				if _, err := w.svc.PurchaseCredits(w.ctx, platform, acme, "invoice-1", 30); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		w.requireBalance(100, 80)
	})

	t.Run("Refusals", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		buy := func(actor core.Actor, tenant core.TenantID, key core.Key, amount core.Credits) func() error {
			return func() error { _, err := w.svc.PurchaseCredits(w.ctx, actor, tenant, key, amount); return err }
		}
		w.requireRefused(core.ErrRoleNotAllowed, buy(admin, acme, "k", 1)) // or it would grant itself credits
		w.requireRefused(core.ErrWrongTenant, buy(stranger, acme, "k", 1))
		w.requireRefused(core.ErrTenantNotFound, buy(platform, "unknown", "k", 1))
		w.requireRefused(core.ErrInvalidRequest, buy(platform, acme, "", 1))
		w.requireRefused(core.ErrInvalidRequest, buy(platform, acme, "k", 0))
		w.requireRefused(core.ErrInvalidRequest, buy(platform, acme, "k", -5))
		w.requireRefused(core.ErrCreditsOutOfRange, buy(platform, acme, "k", math.MaxInt64))
	})

	// A caller's key is not the ledger's own: it cannot use up the key of a
	// charge to come.
	t.Run("KeysDoNotCollideWithCharges", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.closedRun("f")
		_, err := w.svc.PurchaseCredits(w.ctx, platform, acme, core.ChargeKey(run.ID, 1), 5)
		require.NoError(t, err)
		w.continueRun(run.ID)
	})
}

func TestGrantAllowance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	november := core.PeriodOf(began)
	_, err := w.svc.GrantAllowance(w.ctx, platform, acme, "december", november.Next(), 500)
	require.NoError(t, err)
	w.requireBalance(100, 50)
	w.clock.Set(november.End())
	w.requireBalance(500, 50) // and the rest of November's allowance has lapsed
	w.requireRefused(core.ErrInvalidRequest, func() error {
		_, err := w.svc.GrantAllowance(w.ctx, platform, acme, "late", november, 1)
		return err
	})
	w.requireRefused(core.ErrRoleNotAllowed, func() error {
		_, err := w.svc.GrantAllowance(w.ctx, admin, acme, "self", november.Next(), 1)
		return err
	})
	w.requireBooks()
}

// A monthly refill computed from an unlocked read that brings spent credits
// back (PageSpace PR 1587): here a refill is an entry, once a period.
func TestRefill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.svc.CreateTenant(w.ctx, platform, "initech", "Initech", 70)
	require.NoError(t, err)
	left := func() core.Credits {
		b, err := w.svc.Balance(w.ctx, platform, "initech")
		require.NoError(t, err)
		return b.Monthly
	}
	refill := func() {
		var together sync.WaitGroup
		for range 10 {
			together.Go(func() {
				if err := w.svc.Refill(w.ctx); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
	}
	refill()
	require.Equal(t, core.Credits(70), left())
	require.NoError(t, w.store.InTx(w.ctx, "initech", func(tx ports.Tx) error {
		_, err := tx.Ledger().Post(w.ctx, core.Entry{Key: "charge/x/0", Kind: core.EntryCharge, Period: core.PeriodOf(began), Amount: core.Split{Monthly: 60}, Run: "x"})
		return err
	}))
	w.clock.Advance(time.Hour)
	refill()
	require.Equal(t, core.Credits(10), left(), "spent credits came back")

	// The next month is granted before it begins, so no tenant waits at midnight.
	end := core.PeriodOf(began).End()
	w.clock.Set(end.Add(-time.Hour))
	refill()
	require.Equal(t, core.Credits(10), left())
	w.clock.Set(end)
	require.Equal(t, core.Credits(70), left())
	refill()
	require.Equal(t, core.Credits(70), left())
	w.requireBalance(0, 50) // a tenant without a monthly allowance gets none
}

// The check finds differences; here of a run whose credit fields were changed without a
// ledger entry.
func TestCheckLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cf")
	w.continueRun(run.ID)
	w.requireBooks()
	require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
		r, err := ports.LockRun(w.ctx, tx, run.ID)
		require.NoError(t, err)
		r.CreditsFromMonthly++
		return tx.Runs().Save(w.ctx, ports.RunRows{Run: r})
	}))
	differences, err := w.svc.CheckLedger(w.ctx, platform, acme)
	require.NoError(t, err)
	require.Len(t, differences, 2) // the part, and the sum
	_, err = w.svc.CheckLedger(w.ctx, admin, acme)
	require.ErrorIs(t, err, core.ErrRoleNotAllowed)
	_, err = w.svc.CheckLedger(w.ctx, platform, "unknown")
	require.ErrorIs(t, err, core.ErrTenantNotFound)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	draft := core.Template{ID: "t2", Tenant: acme, Name: "Two", Mode: core.ModeBatch, CreditsPerRun: 4}
	create := func(actor core.Actor, change func(*core.Template)) func() error {
		return func() error {
			x := draft
			change(&x)
			_, err := w.svc.CreateTemplate(w.ctx, actor, x)
			return err
		}
	}
	same := func(*core.Template) {}
	w.requireRefused(core.ErrRoleNotAllowed, create(admin, same)) // or it would set its own price
	w.requireRefused(core.ErrWrongTenant, create(stranger, same))
	w.requireRefused(core.ErrTenantNotFound, create(platform, func(t *core.Template) { t.Tenant = "unknown" }))
	w.requireRefused(core.ErrInvalidRequest, create(platform, func(t *core.Template) { t.CreditsPerRun = -1 }))
	w.requireRefused(core.ErrInvalidRequest, create(platform, func(t *core.Template) { t.ID = template }))
	require.NoError(t, create(platform, same)())

	price := core.Credits(9)
	changed, err := w.svc.ChangeTemplate(w.ctx, platform, acme, "t2", core.TemplateChange{CreditsPerRun: &price})
	require.NoError(t, err)
	require.Equal(t, core.TemplateDraft, changed.Status)
	published, err := w.svc.PublishTemplate(w.ctx, platform, acme, "t2")
	require.NoError(t, err)
	require.Equal(t, core.TemplatePublished, published.Status)
	require.Equal(t, price, published.CreditsPerRun)
	_, err = w.svc.DeleteTemplate(w.ctx, platform, acme, "t2")
	require.NoError(t, err)
	_, err = w.svc.PublishTemplate(w.ctx, platform, acme, "t2")
	require.ErrorIs(t, err, core.ErrTemplateDeleted)
	_, err = w.svc.DeleteTemplate(w.ctx, platform, globex, "t2")
	require.ErrorIs(t, err, core.ErrTemplateNotFound)

	list, err := w.svc.Templates(w.ctx, user, acme)
	require.NoError(t, err)
	require.Len(t, list, 2)
	one, err := w.svc.Template(w.ctx, user, acme, "t2")
	require.NoError(t, err)
	require.True(t, one.Deleted())
	_, err = w.svc.Template(w.ctx, stranger, acme, "t2")
	require.ErrorIs(t, err, core.ErrWrongTenant)
}

func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := func(actor core.Actor, id core.TenantID, allowance core.Credits) func() error {
		return func() error { _, err := w.svc.CreateTenant(w.ctx, actor, id, "X", allowance); return err }
	}
	w.requireRefused(core.ErrTenantExists, create(platform, acme, 0))
	w.requireRefused(core.ErrRoleNotAllowed, create(admin, acme, 0))
	w.requireRefused(core.ErrInvalidRequest, create(platform, "a b", 0))
	w.requireRefused(core.ErrInvalidRequest, create(platform, "x", -1))
	list, err := w.svc.Tenants(w.ctx, platform, "", 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, err = w.svc.Tenants(w.ctx, admin, "", 10)
	require.ErrorIs(t, err, core.ErrRoleNotAllowed)
	_, err = w.svc.Tenant(w.ctx, admin, globex)
	require.ErrorIs(t, err, core.ErrWrongTenant)
	one, err := w.svc.Tenant(w.ctx, user, acme)
	require.NoError(t, err)
	require.Equal(t, acme, one.ID)
}
