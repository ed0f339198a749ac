package app_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

func (w *world) handRefund(charge, key core.Key, amount core.Credits) (core.Entry, error) {
	req := app.RefundRequest{Tenant: acme, Charge: charge, Reason: "a bad day", IdempotencyKey: key}
	if amount > 0 {
		req.Amount = &amount
	}
	return w.svc.RefundCharge(w.ctx, platform, req)
}

func TestRefundCharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cfe")
	charge := core.ChargeKey(run.ID, 0)
	before := w.balance()
	part, err := w.handRefund(charge, "k1", 5)
	require.NoError(t, err)
	require.Equal(t, core.Credits(5), part.Amount.Total())
	require.Equal(t, before.Available()+5, w.balance().Available())
	require.Equal(t, run.CreditsConsumed-5, w.run(run.ID).CreditsConsumed)
	w.requireBooks()

	again, err := w.handRefund(charge, "k1", 5)
	require.NoError(t, err)
	require.Equal(t, part, again, "a repeat gives the first entry")
	require.Equal(t, before.Available()+5, w.balance().Available())
	w.requireRefused(core.ErrIdempotencyKeyReused, func() error { _, err := w.handRefund(charge, "k1", 6); return err })
	w.requireRefused(core.ErrRefundTooLarge, func() error { _, err := w.handRefund(charge, "k2", run.CreditsConsumed-4); return err })

	// A failed file is charged again when it is continued, whatever was given back for it.
	rest, err := w.handRefund(charge, "k2", 0)
	require.NoError(t, err)
	require.Equal(t, run.CreditsConsumed-5, rest.Amount.Total())
	require.Zero(t, w.run(run.ID).CreditsConsumed)
	continued := w.continueRun(run.ID)
	require.Equal(t, run.CreditsConsumed/3, continued.CreditsConsumed)
	w.requireRefused(core.ErrRunAlreadyRunning, func() error { _, err := w.handRefund(core.ChargeKey(run.ID, 1), "k3", 1); return err })
	again, err = w.handRefund(charge, "k2", 0)
	require.NoError(t, err)
	require.Equal(t, rest, again, "a repeat is answered while the run is running, too")
	w.workAll()
	w.requireBooks()

	for _, missing := range []core.Key{"charge/no-such-run/0", "client/k1", core.ChargeKey(run.ID, 7), ""} {
		w.requireRefused(core.ErrChargeNotFound, func() error { _, err := w.handRefund(missing, "k4", 1); return err })
	}
	w.requireRefused(core.ErrInvalidRequest, func() error { _, err := w.handRefund(core.ChargeKey(run.ID, 1), "", 1); return err })
	for _, actor := range []core.Actor{admin, user} {
		w.requireRefused(core.ErrRoleNotAllowed, func() error {
			_, err := w.svc.RefundCharge(w.ctx, actor, app.RefundRequest{Tenant: acme, Charge: charge, Reason: "r", IdempotencyKey: "k5"})
			return err
		})
	}
	w.requireRefused(core.ErrTenantNotFound, func() error {
		_, err := w.svc.RefundCharge(w.ctx, platform, app.RefundRequest{Tenant: "ghost", Charge: charge, Reason: "r", IdempotencyKey: "k5"})
		return err
	})
	w.requireRefused(core.ErrChargeNotFound, func() error { // nobody refunds another tenant's charge
		_, err := w.svc.RefundCharge(w.ctx, platform, app.RefundRequest{Tenant: globex, Charge: charge, Reason: "r", IdempotencyKey: "k5"})
		return err
	})

	receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, []core.Entry{part, rest}, receipt.Attempts[0].ByHand)
	require.Empty(t, receipt.Attempts[1].ByHand)
	require.Equal(t, w.run(run.ID).CreditsConsumed, receipt.Total.Total())
}

// A charge of which Redrive gave all back is not refunded again by hand; what covers pending
// files of a cancelled run is not either, and once they are done it is.
func TestRefundChargeOfWhatIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(100)
	w.faultyQueue.fail(0)
	failed, err := w.svc.Initiate(w.ctx, admin, w.request(2))
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	w.faultyQueue.heal()
	w.requireRefused(core.ErrRefundTooLarge, func() error { _, err := w.handRefund(core.ChargeKey(failed.ID, 0), "k1", 0); return err })

	run := w.initiate(2)
	_, err = w.svc.Cancel(w.ctx, admin, run.ID)
	require.NoError(t, err)
	w.requireRefused(core.ErrRefundTooLarge, func() error { _, err := w.handRefund(core.ChargeKey(run.ID, 0), "k2", 1); return err })
	free := w.continueRun(run.ID)
	require.Equal(t, run.CreditsConsumed, free.CreditsConsumed)
	w.workAll()
	refund, err := w.handRefund(core.ChargeKey(run.ID, 0), "k2", 0)
	require.NoError(t, err)
	require.Equal(t, run.CreditsConsumed, refund.Amount.Total())
	w.requireBooks()
}

// Of many at once as many succeed as the charge can bear, and beside a Continue none harms
// the books.
func TestRefundChargeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(1000)
	run := w.closedRun("cff")
	charge := core.ChargeKey(run.ID, 0)
	var group sync.WaitGroup
	var mu sync.Mutex
	back := core.Credits(0)
	for i := range 12 {
		group.Add(1)
		go func() {
			defer group.Done()
			if i == 6 {
				_, _ = w.svc.RetryFailed(context.WithoutCancel(w.ctx), admin, run.ID, app.RetryRequest{})
				return
			}
			e, err := w.handRefund(charge, core.Key(rune('a'+i)), 7)
			if err == nil {
				mu.Lock()
				back += e.Amount.Total()
				mu.Unlock()
			}
		}()
	}
	group.Wait()
	require.LessOrEqual(t, back, run.CreditsConsumed)
	w.workAll()
	w.requireBooks()
	again := core.Credits(0)
	for _, e := range w.entries() {
		if e.Kind == core.EntryRefund {
			again += e.Amount.Total()
		}
	}
	require.Equal(t, back, again)
}
