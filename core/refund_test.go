package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

var refundedAt = time.Date(2026, time.December, 2, 12, 0, 0, 0, time.UTC)

// chargedRun is a closed run of which attempt 0 charged price for each file, monthly first,
// with its attempt.
func chargedRun(t tb, price, monthly core.Credits, statuses ...core.FileStatus) (core.Run, core.Attempt, []core.File) {
	t.Helper()
	req := newRun(len(statuses))
	plan, err := core.PlanRun(req, published(price), balanceOf(monthly, 1_000), t0)
	require.NoError(t, err)
	files := plan.Files
	for i, status := range statuses {
		files[i].Status = status
	}
	run := plan.Run
	run.Status, run.ClosedAt, run.RecoverAt, run.Tally = statusFor(core.TallyOf(files)), t1, time.Time{}, core.TallyOf(files)
	return run, plan.Attempt, files
}

func handRefund(amount core.Credits) core.HandRefund {
	return core.HandRefund{Key: "client/r", Amount: &amount, Reason: "a bad day", By: operator}
}

func TestPlanRefund(t *testing.T) {
	t.Parallel()
	run, attempt, files := chargedRun(t, 10, 25, core.FileCompleted, core.FileFailed, core.FileError, core.FileCompleted) // 25 monthly, 15 purchased
	plan, err := core.PlanRefund(run, attempt, nil, nil, handRefund(20), refundedAt)
	require.NoError(t, err)
	require.Equal(t, core.Entry{
		Tenant: acme, Key: "client/r", Kind: core.EntryRefund, Period: november, Amount: core.Split{Monthly: 5, Purchased: 15},
		Run: run.ID, Attempt: 0, Charge: attempt.Charge.Key, Reason: "a bad day", Actor: operator, At: refundedAt,
	}, plan.Entry, "purchased credits first, and the month's to its month although that has ended")
	want := run
	want.CreditsConsumed, want.CreditsFromMonthly, want.CreditsFromPurchased = 20, 20, 0
	require.Equal(t, want, plan.Run)

	all := core.HandRefund{Key: "client/all", Reason: "r", By: operator}
	rest, err := core.PlanRefund(plan.Run, attempt, []core.Entry{plan.Entry}, nil, all, refundedAt)
	require.NoError(t, err)
	require.Equal(t, core.Split{Monthly: 20}, rest.Entry.Amount)
	require.Zero(t, rest.Run.CreditsConsumed)
	for _, req := range []core.HandRefund{all, handRefund(1)} {
		_, err = core.PlanRefund(rest.Run, attempt, []core.Entry{plan.Entry, rest.Entry}, nil, req, refundedAt)
		require.Zero(t, refused(t, err, core.CodeRefundTooLarge).Available)
	}
	_, err = core.PlanRefund(plan.Run, attempt, []core.Entry{plan.Entry}, nil, handRefund(21), refundedAt)
	require.Equal(t, core.Credits(20), refused(t, err, core.CodeRefundTooLarge).Available)

	for _, amount := range []core.Credits{0, -1} {
		_, err = core.PlanRefund(run, attempt, nil, nil, handRefund(amount), refundedAt)
		refused(t, err, core.CodeInvalidRequest)
	}
	without := handRefund(1)
	without.Reason = " "
	_, err = core.PlanRefund(run, attempt, nil, nil, without, refundedAt)
	refused(t, err, core.CodeInvalidRequest)
	running := run
	running.Status = core.RunRunning
	_, err = core.PlanRefund(running, attempt, nil, nil, handRefund(1), refundedAt)
	refused(t, err, core.CodeRunAlreadyRunning)
	free := attempt
	free.Charge = core.Charge{}
	_, err = core.PlanRefund(run, free, nil, nil, handRefund(1), refundedAt)
	fault(t, err, "no charge")
	_, err = core.PlanRefund(run, attempt, []core.Entry{plan.Entry, plan.Entry, plan.Entry}, files, handRefund(1), refundedAt)
	require.Error(t, err, "the refunds so far are already too much")
}

// What a charge covers of pending files stays, or a Continue of them would be free work.
func TestRefundKeepsWhatCoversPendingFiles(t *testing.T) {
	t.Parallel()
	run, attempt, files := chargedRun(t, 10, 0, core.FileCompleted, core.FilePending, core.FileFailed, core.FilePending)
	_, err := core.PlanRefund(run, attempt, nil, files, handRefund(21), refundedAt)
	require.Equal(t, core.Credits(20), refused(t, err, core.CodeRefundTooLarge).Available)
	plan, err := core.PlanRefund(run, attempt, nil, files, core.HandRefund{Key: "k", Reason: "r", By: operator}, refundedAt)
	require.NoError(t, err)
	require.Equal(t, core.Split{Purchased: 20}, plan.Entry.Amount)

	// Those that another attempt paid for are no concern of this charge.
	files[1].PaidBy = 1
	plan, err = core.PlanRefund(run, attempt, nil, files, core.HandRefund{Key: "k", Reason: "r", By: operator}, refundedAt)
	require.NoError(t, err)
	require.Equal(t, core.Split{Purchased: 30}, plan.Entry.Amount)
}

// However a charge is refunded in parts: never more than it took, each part within its own,
// what covers pending files stays, the run's credits are its charges less its refunds, the
// balances come to what they would be had less been charged, and the audit agrees.
func TestRefundProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		statuses := rapid.SliceOfN(rapid.SampledFrom([]core.FileStatus{core.FileCompleted, core.FileFailed, core.FilePending, core.FileError}), 1, 6).Draw(t, "files")
		price := core.Credits(rapid.Int64Range(1, 9).Draw(t, "price"))
		monthly := core.Credits(rapid.Int64Range(0, 40).Draw(t, "monthly"))
		run, attempt, files := chargedRun(t, price, monthly, statuses...)
		held := core.Credits(0)
		for _, f := range files {
			if f.Status == core.FilePending {
				held += price
			}
		}
		before := balanceOf(monthly, 1_000)
		after, err := before.Minus(attempt.Charge.Amount)
		require.NoError(t, err)

		allowance, purchase := entry(core.EntryAllowance, monthly, 0), entry(core.EntryPurchase, 0, 1_000)
		allowance.Key, purchase.Key = "a", "p"
		ledger := []core.Entry{purchase}
		if monthly > 0 {
			ledger = append(ledger, allowance)
		}
		ledger = append(ledger, core.Entry{
			Tenant: acme, Key: attempt.Charge.Key, Kind: core.EntryCharge, Period: november, Amount: attempt.Charge.Amount, Run: run.ID, Actor: admin, At: t0,
		})
		var refunds []core.Entry
		total := core.Credits(0)
		for i := range rapid.IntRange(0, 5).Draw(t, "refunds") {
			req := handRefund(core.Credits(rapid.Int64Range(1, 30).Draw(t, "amount")))
			req.Key = core.Key(rune('a'+i)) + "/refund"
			plan, err := core.PlanRefund(run, attempt, refunds, files, req, refundedAt)
			if most := attempt.Charge.Amount.Total() - total - held; *req.Amount > most {
				require.Equal(t, max(0, most), refused(t, err, core.CodeRefundTooLarge).Available)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, *req.Amount, plan.Entry.Amount.Total())
			run, refunds, total = plan.Run, append(refunds, plan.Entry), total+*req.Amount
			after, err = after.Plus(plan.Entry.Amount)
			require.NoError(t, err)
		}
		// As if so much less had been charged.
		less, err := before.SplitPrice(attempt.Charge.Amount.Total() - total)
		require.NoError(t, err)
		want, err := before.Minus(less)
		require.NoError(t, err)
		require.Equal(t, want, after)
		require.Equal(t, less, core.Split{Monthly: run.CreditsFromMonthly, Purchased: run.CreditsFromPurchased})

		ledger = append(ledger, refunds...)
		audit := core.NewAudit(acme)
		for i := range ledger {
			ledger[i].Seq = int64(i) + 1
			audit.Entry(ledger[i])
		}
		audit.Balance(core.Balance{Period: november, Split: after})
		audit.Run(run)
		require.Empty(t, audit.Differences())
		if len(refunds) > 0 { // and it notices one refund too many
			again := refunds[0]
			again.Key, again.Amount = "again", attempt.Charge.Amount
			again.Seq = int64(len(ledger)) + 1
			audit.Entry(again)
			require.NotEmpty(t, audit.Differences())
		}
	})
}
