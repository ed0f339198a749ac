package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// The bugs of spec 12 that lost users' money or hid where it went.
func TestKnownMoneyBugs(t *testing.T) {
	t.Parallel()

	t.Run("RefillBringsSpentCreditsBack", func(t *testing.T) { // PageSpace PR 1587
		t.Parallel()
		grant, err := core.NewAllowance(acme, core.AllowanceKey(december), december, 100, core.System, t0)
		require.NoError(t, err)
		read := balanceOf(100, 7) // by a server that is about to refill
		charge := entry(core.EntryCharge, 60, 0)
		spent, err := read.Apply(charge)
		require.NoError(t, err)
		_, err = spent.Apply(grant)
		fault(t, err, "of period 2026-12 applied to a balance of 2026-11")

		// A grant adds to its own month and does not depend on what was read before.
		next := core.Balance{Period: december, Split: core.Split{Purchased: spent.Purchased}}
		next, err = next.Apply(grant)
		require.NoError(t, err)
		require.Equal(t, core.Split{Monthly: 100, Purchased: 7}, next.Split)
		require.Equal(t, core.Credits(40), spent.Monthly, "and November stays spent")
	})

	t.Run("RefundClampedToZero", func(t *testing.T) { // autumn PR 2742
		t.Parallel()
		p := start(t, 2, core.ModePerFile, balanceOf(4, 100))
		p.Run.CreditsFromPurchased, p.Run.CreditsConsumed = 2, 6
		undone, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, t1)
		refused(t, err, core.CodeCreditsOutOfRange)
		require.Empty(t, undone.Refund, "an error, and not a partial refund")
		_, err = balanceOf(0, 0).Apply(entry(core.EntryCharge, 1, 0))
		refused(t, err, core.CodeCreditsOutOfRange)
	})

	t.Run("RefundTurnsPurchasedIntoGranted", func(t *testing.T) { // lago's void
		t.Parallel()
		before := balanceOf(3, 100)
		p := start(t, 2, core.ModePerFile, before)
		require.Equal(t, core.Split{Monthly: 3, Purchased: 7}, p.Charge[0].Amount)
		after, err := before.Apply(p.Charge[0])
		require.NoError(t, err)
		undone, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, t1)
		require.NoError(t, err)
		after, err = after.Apply(undone.Refund[0])
		require.NoError(t, err)
		require.Equal(t, before, after)
	})

	t.Run("RefundInflatesTheNewMonth", func(t *testing.T) { // the trap of spec 3
		t.Parallel()
		p := start(t, 2, core.ModePerFile, balanceOf(10, 0))
		undone, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, december.Start().Add(time.Minute))
		require.NoError(t, err)
		require.Equal(t, november, undone.Refund[0].Period)
		_, err = core.Balance{Period: december}.Apply(undone.Refund[0])
		fault(t, err, "of period 2026-11 applied to a balance of 2026-12")
	})

	t.Run("EnqueueFailedAndTheMoneyWasKept", func(t *testing.T) { // archimedes PR 1498
		t.Parallel()
		files := filesIn(core.FileFailed, core.FileFailed, core.FilePending)
		files[0].RetryAttempt = 2
		run := closedOver(files, core.ModePerFile)
		p := continued(t, run, files, balanceOf(10, 0))
		undone, err := core.Compensate(p.Run, p.Attempt, p.Files, core.System, t1)
		require.NoError(t, err)
		require.Len(t, undone.Refund, 1)
		require.Equal(t, p.Charge[0].Amount, undone.Refund[0].Amount)
		require.Equal(t, p.Charge[0].Key, undone.Refund[0].Charge)
		require.Equal(t, run.CreditsConsumed, undone.Run.CreditsConsumed)
		require.Equal(t, 2, undone.Files[0].RetryAttempt, "nor does it cost a retry")

		// A second request for the refund finds nothing to undo.
		_, err = core.Compensate(undone.Run, undone.Attempt, undone.Files, core.System, t1)
		fault(t, err, "cannot be compensated")
		_, err = core.Compensate(p.Run, undone.Attempt, p.Files, core.System, t1)
		fault(t, err, "cannot be compensated")
	})

	t.Run("WorkAndRefundForOneAttempt", func(t *testing.T) { // the trap of spec 3
		t.Parallel()
		p := start(t, 2, core.ModePerFile, balanceOf(10, 0))
		claim, err := core.Claim(p.Run, p.Files, p.Jobs[:1], t1, lease)
		require.NoError(t, err)
		files := overlay(p.Files, claim.Files)
		_, err = core.Compensate(claim.Run, p.Attempt, files, core.System, t1)
		fault(t, err, "cannot be compensated")

		partly, changed := core.DispatchPartly(claim.Run, 0, t1)
		require.True(t, changed)
		plan, err := core.PlanRecovery(partly, files, t1, policy)
		require.NoError(t, err)
		require.Equal(t, p.Jobs[1:], plan.Jobs, "what is missing is sent, once")
	})

	t.Run("UnexplainedCharges", func(t *testing.T) { // Qiskit documentation 1347
		t.Parallel()
		files := filesIn(core.FileFailed, core.FilePending, core.FileCompleted)
		run := closedOver(files, core.ModePerFile)
		preview := continued(t, run, files, balanceOf(3, 100))
		require.Equal(t, 1, preview.Charged)
		require.Equal(t, 1, preview.Free)
		require.Equal(t, core.Credits(5), preview.Price())
		require.Equal(t, core.Split{Monthly: 3, Purchased: 2}, preview.Attempt.Charge.Amount)

		receipt := core.NewReceipt(preview.Run, []core.Attempt{preview.Attempt}, nil)
		require.Equal(t, []core.ReceiptLine{
			{Index: 0, Kind: core.LineCharged, Why: core.WhyFailedBefore, Credits: 5},
			{Index: 1, Kind: core.LineFree, Why: core.WhyPaidBefore},
		}, receipt.Attempts[0].Lines)
		require.Equal(t, preview.Charge[0].Key, receipt.Attempts[0].Attempt.Charge.Key, "with the entry that says so")
		require.Equal(t, run1, preview.Charge[0].Run, "which points back")
		require.Equal(t, preview.Attempt.Number, preview.Charge[0].Attempt)
	})
}
