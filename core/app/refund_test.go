package app_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

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
	w.requireRefused(core.ErrIdempotencyKeyReused, func() error { _, err := w.handRefund(charge, "k1", 0); return err }) // all is not 5
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

	// After its time the reply is forgotten, and the ledger still knows the key.
	before = w.balance()
	w.clock.Advance(25 * time.Hour)
	require.NoError(t, w.svc.ForgetKeys(w.ctx))
	late, five := 0, core.Credits(5)
	ctx := app.WithIdempotency(w.ctx, app.Idempotency{Replayed: func() { late++ }})
	again, err = w.svc.RefundCharge(ctx, platform, app.RefundRequest{Tenant: acme, Charge: charge, Amount: &five, Reason: "a bad day", IdempotencyKey: "k1"})
	require.NoError(t, err)
	require.Equal(t, part, again)
	require.Equal(t, 1, late, "it says that it is a repeat")
	require.Equal(t, before, w.balance())
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

// Of many at once as many succeed as the charge can bear, and no fewer.
func TestRefundChargeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cff")
	require.Equal(t, core.Credits(30), run.CreditsConsumed)
	back, errs := w.refundsAtOnce(core.ChargeKey(run.ID, 0), 12, 7)
	require.Equal(t, core.Credits(28), back)
	require.Len(t, errs, 8)
	for _, err := range errs {
		require.ErrorIs(t, err, core.ErrRefundTooLarge)
	}
	require.Equal(t, back, w.refunded())
	w.requireBooks()
}

// Beside a Continue each is posted, or refused because the run is running by then.
func TestRefundBesideAContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(1000)
	run := w.closedRun("cff")
	var continued sync.WaitGroup
	continued.Go(func() {
		_, err := w.svc.RetryFailed(context.WithoutCancel(w.ctx), admin, run.ID, app.RetryRequest{})
		if err != nil {
			t.Errorf("the Continue: %v", err)
		}
	})
	back, errs := w.refundsAtOnce(core.ChargeKey(run.ID, 0), 12, 7)
	continued.Wait()
	for _, err := range errs {
		if !errors.Is(err, core.ErrRefundTooLarge) {
			require.ErrorIs(t, err, core.ErrRunAlreadyRunning)
		}
	}
	w.workAll()
	require.Equal(t, back, w.refunded())
	w.requireBooks()
}

// refundsAtOnce asks n times at once for an amount of a charge. It gives what was posted in
// sum, and the refusals.
func (w *world) refundsAtOnce(charge core.Key, n int, amount core.Credits) (back core.Credits, errs []error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		group.Go(func() {
			e, err := w.handRefund(charge, core.Key(rune('a'+i)), amount)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			back += e.Amount.Total()
		})
	}
	group.Wait()
	return back, errs
}

// refunded is the sum of the ledger's refunds.
func (w *world) refunded() (sum core.Credits) {
	for _, e := range w.entries() {
		if e.Kind == core.EntryRefund {
			sum += e.Amount.Total()
		}
	}
	return sum
}
