package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestReceipt(t *testing.T) {
	t.Parallel()
	charge := func(n core.AttemptNumber, monthly, purchased core.Credits) core.Charge {
		return core.Charge{Key: core.ChargeKey(run1, n), Period: november, Amount: core.Split{Monthly: monthly, Purchased: purchased}}
	}
	failed := func(i int, charged bool) core.AttemptFile {
		return core.AttemptFile{Index: i, Charged: charged, Before: core.FileBefore{Status: core.FileFailed}}
	}
	pending := func(i int) core.AttemptFile {
		return core.AttemptFile{Index: i, Before: core.FileBefore{Status: core.FilePending}}
	}
	attempts := []core.Attempt{
		{Run: run1, Number: 0, Price: 5, Charge: charge(0, 10, 0), Files: []core.AttemptFile{{Index: 0, Charged: true}, {Index: 1, Charged: true}}},
		{Run: run1, Number: 1, Price: 6, Charge: charge(1, 0, 6), Files: []core.AttemptFile{failed(0, true), pending(1)}, CompensatedAt: t0},
		{Run: run1, Number: 2, Price: 7, Charge: charge(2, 1, 6), Files: []core.AttemptFile{failed(0, true), pending(1)}},
		{Run: run1, Number: 3, Price: 0, Files: []core.AttemptFile{failed(0, false)}},
		{Run: run1, Number: 4, Price: 7, Files: []core.AttemptFile{pending(1)}, CompensatedAt: t0},
	}
	run := core.Run{ID: run1, CreditsConsumed: 17, CreditsFromMonthly: 11, CreditsFromPurchased: 6}
	receipt := core.NewReceipt(run, attempts, nil)
	require.Equal(t, core.Receipt{
		Run: run1, Total: core.Split{Monthly: 11, Purchased: 6},
		Attempts: []core.AttemptReceipt{
			{Attempt: attempts[0], Lines: []core.ReceiptLine{
				{Index: 0, Kind: core.LineCharged, Why: core.WhyInitiated, Credits: 5},
				{Index: 1, Kind: core.LineCharged, Why: core.WhyInitiated, Credits: 5},
			}},
			{Attempt: attempts[1], Refund: "refund/run-1/1", Lines: []core.ReceiptLine{
				{Index: 0, Kind: core.LineRefunded, Why: core.WhyDispatchFailed, Credits: 6},
				{Index: 1, Kind: core.LineFree, Why: core.WhyPaidBefore},
			}},
			{Attempt: attempts[2], Lines: []core.ReceiptLine{
				{Index: 0, Kind: core.LineCharged, Why: core.WhyFailedBefore, Credits: 7},
				{Index: 1, Kind: core.LineFree, Why: core.WhyPaidBefore},
			}},
			{Attempt: attempts[3], Lines: []core.ReceiptLine{{Index: 0, Kind: core.LineFree, Why: core.WhyPriceZero}}},
			{Attempt: attempts[4], Lines: []core.ReceiptLine{{Index: 1, Kind: core.LineFree, Why: core.WhyPaidBefore}}},
		},
	}, receipt)

	t.Run("RefundedInitiation", func(t *testing.T) {
		t.Parallel()
		first := attempts[0]
		first.CompensatedAt = t0
		r := core.NewReceipt(core.Run{ID: run1}, []core.Attempt{first}, nil)
		require.Equal(t, core.Key("refund/run-1/0"), r.Attempts[0].Refund)
		require.Equal(t, core.LineRefunded, r.Attempts[0].Lines[0].Kind)
		require.Zero(t, r.Total)
	})
	t.Run("FreeInitiation", func(t *testing.T) {
		t.Parallel()
		r := core.NewReceipt(core.Run{ID: run1}, []core.Attempt{{Run: run1, Files: []core.AttemptFile{{Index: 0}}}}, nil)
		require.Equal(t, []core.ReceiptLine{{Index: 0, Kind: core.LineFree, Why: core.WhyPriceZero}}, r.Attempts[0].Lines)
	})
	t.Run("NoAttempts", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, core.NewReceipt(run, nil, nil).Attempts)
	})
}
