package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// books is the input of an audit.
type books struct {
	entries  []core.Entry
	balances []core.Balance
	runs     []core.Run
}

// add posts one more entry, of November unless it says otherwise.
func (b *books) add(e core.Entry) {
	e.Tenant, e.Seq = acme, int64(len(b.entries)+1)
	if e.Period == (core.Period{}) {
		e.Period = november
	}
	b.entries = append(b.entries, e)
}

func (b books) audit() []core.Difference {
	a := core.NewAudit(acme)
	for _, e := range b.entries {
		a.Entry(e)
	}
	for _, x := range b.balances {
		a.Balance(x)
	}
	for _, r := range b.runs {
		a.Run(r)
	}
	return a.Differences()
}

// goodBooks: two months' allowances, a purchase, three charges of two runs, one
// of them refunded in the month after it.
func goodBooks() books {
	charge := func(run core.RunID, n core.AttemptNumber, m, p core.Credits) core.Entry {
		e := entry(core.EntryCharge, m, p)
		e.Key, e.Run, e.Attempt = core.ChargeKey(run, n), run, n
		return e
	}
	refund := charge(run1, 1, 20, 30)
	refund.Key, refund.Kind, refund.Charge = core.RefundKey(run1, 1), core.EntryRefund, core.ChargeKey(run1, 1)
	next := entry(core.EntryAllowance, 100, 0)
	next.Key, next.Period = core.AllowanceKey(december), december
	allowance, purchase := entry(core.EntryAllowance, 110, 0), entry(core.EntryPurchase, 0, 100)
	allowance.Key, purchase.Key = core.AllowanceKey(november), "client/purchase-1"

	b := books{
		entries: []core.Entry{
			allowance, purchase,
			charge(run1, 0, 60, 0), charge(run1, 1, 20, 30), charge("run-2", 0, 20, 5),
			next, refund,
		},
		balances: []core.Balance{
			balanceOf(30, 95),
			{Period: december, Split: core.Split{Monthly: 100, Purchased: 95}},
		},
		runs: []core.Run{
			{ID: run1, CreditsConsumed: 60, CreditsFromMonthly: 60},
			{ID: "run-2", CreditsConsumed: 25, CreditsFromMonthly: 20, CreditsFromPurchased: 5},
			{ID: "run-3"}, // free
		},
	}
	for i := range b.entries {
		b.entries[i].Seq = int64(i + 1)
	}
	return b
}

func TestAudit(t *testing.T) {
	t.Parallel()
	require.Empty(t, goodBooks().audit())
	require.Empty(t, books{}.audit())

	const allowance, purchase, charge0, charge1, refund = 0, 1, 2, 3, 6
	for _, tc := range []struct {
		name  string
		spoil func(*books)
		want  []string // what the differences are about, in order
	}{
		{"a gap in the sequence", func(b *books) { b.entries[refund].Seq = 8 }, []string{"entry refund/run-1/1: seq"}},
		{"a negative monthly amount", func(b *books) {
			b.add(core.Entry{Key: "x", Kind: core.EntryAllowance, Amount: core.Split{Monthly: -1}})
			b.balances[0].Monthly = 29
		}, []string{"entry x: amount"}},
		{"a negative purchased amount", func(b *books) {
			b.add(core.Entry{Key: "x", Kind: core.EntryPurchase, Amount: core.Split{Purchased: -1}})
			b.balances[0].Purchased, b.balances[1].Purchased = 94, 94
		}, []string{"entry x: amount"}},
		{"a month below zero in between", func(b *books) {
			b.entries[allowance].Amount.Monthly, b.balances[0].Monthly = 90, 10
		}, []string{"entry charge/run-2/0: balance after it"}},
		{"purchased below zero in between", func(b *books) {
			b.entries[purchase].Amount.Purchased = 34
			b.balances[0].Purchased, b.balances[1].Purchased = 29, 29
		}, []string{"entry allowance/2026-12: balance after it", "entry charge/run-2/0: balance after it"}},
		{"a charge under a foreign key", func(b *books) {
			b.entries[charge0].Key = "charge/run-1/7"
		}, []string{"charge of run run-1"}},
		{"a refund of nothing", func(b *books) {
			b.entries[refund].Charge = "charge/run-1/9"
			b.runs[0] = core.Run{ID: run1, CreditsConsumed: 110, CreditsFromMonthly: 80, CreditsFromPurchased: 30}
		}, []string{"refund refund/run-1/1: charge"}},
		{"a second refund of one charge", func(b *books) {
			again := b.entries[refund]
			again.Key = "refund/run-1/again"
			b.add(again)
			b.balances[0] = balanceOf(50, 125)
			b.balances[1].Purchased = 125
			b.runs[0] = core.Run{ID: run1, CreditsConsumed: 10, CreditsFromMonthly: 40, CreditsFromPurchased: -30}
		}, []string{"charge charge/run-1/1: refunds"}},
		{"a refund of another split", func(b *books) {
			b.entries[refund].Amount = core.Split{Monthly: 30, Purchased: 20}
			b.balances[0] = balanceOf(40, 85)
			b.balances[1].Purchased = 85
			b.runs[0] = core.Run{ID: run1, CreditsConsumed: 60, CreditsFromMonthly: 50, CreditsFromPurchased: 10}
		}, []string{"refund refund/run-1/1: split and period"}},
		{"a refund to the next month", func(b *books) {
			b.entries[refund].Period = december
			b.balances[0].Monthly, b.balances[1].Monthly = 10, 120
		}, []string{"refund refund/run-1/1: split and period"}},
		{"a refund of another attempt", func(b *books) {
			b.entries[refund].Attempt = 0
		}, []string{"refund refund/run-1/1: split and period"}},
		{"a refund to another run", func(b *books) {
			b.entries[refund].Run = "run-2"
			b.runs[0] = core.Run{ID: run1, CreditsConsumed: 110, CreditsFromMonthly: 80, CreditsFromPurchased: 30}
			b.runs[1] = core.Run{ID: "run-2", CreditsConsumed: -25, CreditsFromPurchased: -25}
		}, []string{"refund refund/run-1/1: split and period"}},
		{"a monthly balance that is off", func(b *books) { b.balances[0].Monthly++ }, []string{"monthly left of 2026-11"}},
		{"a purchased balance that is off", func(b *books) {
			b.balances[1].Purchased--
		}, []string{"purchased balance"}},
		{"a balance that is missing", func(b *books) { b.balances = b.balances[:1] }, []string{"monthly left of 2026-12"}},
		{"a balance of nothing may be missing", func(b *books) {
			b.add(core.Entry{Key: "charge/run-3/0", Kind: core.EntryCharge, Run: "run-3", Amount: core.Split{Monthly: 30}})
			b.runs[2].CreditsConsumed, b.runs[2].CreditsFromMonthly = 30, 30
			b.balances = b.balances[1:]
		}, nil},
		{"a balance without entries", func(b *books) {
			b.balances = append(b.balances, core.Balance{Period: core.Period{Year: 2027, Month: 1}, Split: core.Split{Monthly: 1, Purchased: 95}})
		}, []string{"monthly left of 2027-01"}},
		{"a run's monthly part", func(b *books) {
			b.runs[1].CreditsFromMonthly++
			b.runs[1].CreditsConsumed++
		}, []string{"credits of run run-2"}},
		{"a run's purchased part", func(b *books) {
			b.runs[1].CreditsFromPurchased--
			b.runs[1].CreditsConsumed--
		}, []string{"credits of run run-2"}},
		{"a run's parts swapped", func(b *books) {
			b.runs[1].CreditsFromMonthly, b.runs[1].CreditsFromPurchased = 5, 20
		}, []string{"credits of run run-2"}},
		{"a run's sum", func(b *books) { b.runs[1].CreditsConsumed++ }, []string{"creditsConsumed of run run-2"}},
		{"a run that is missing", func(b *books) { b.runs = b.runs[:1] }, []string{"credits of run run-2"}},
		{"several, sorted", func(b *books) {
			b.runs[1].CreditsConsumed++
			b.balances[0].Monthly++
			b.entries[charge1].Seq = 0
		}, []string{"creditsConsumed of run run-2", "entry charge/run-1/1: seq", "monthly left of 2026-11"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := goodBooks()
			tc.spoil(&b)
			var what []string
			for _, d := range b.audit() {
				require.Equal(t, acme, d.Tenant)
				require.NotEqual(t, d.Recorded, d.Recomputed)
				what = append(what, d.What)
			}
			require.Equal(t, tc.want, what)
		})
	}
}

func TestAuditSaysBothNumbers(t *testing.T) {
	t.Parallel()
	b := goodBooks()
	b.balances[0].Monthly = 31
	b.runs[1].CreditsConsumed = 26
	require.Equal(t, []core.Difference{
		{Tenant: acme, What: "creditsConsumed of run run-2", Recorded: "26", Recomputed: "25"},
		{Tenant: acme, What: "monthly left of 2026-11", Recorded: "31", Recomputed: "30"},
	}, b.audit())
	for _, d := range (books{entries: goodBooks().entries}).audit() {
		require.True(t, strings.HasPrefix(d.Recorded, "no "), "%+v", d)
	}
}

func TestAuditSameKeyTwice(t *testing.T) {
	t.Parallel()
	t.Run("charge", func(t *testing.T) { // I3
		b := goodBooks()
		again := b.entries[2] // charge/run-1/0 once more, and everything agrees with it
		again.Amount = core.Split{Monthly: 10}
		b.add(again)
		b.balances[0].Monthly -= 10
		b.runs[0].CreditsConsumed += 10
		b.runs[0].CreditsFromMonthly += 10
		require.NotEmpty(t, b.audit())
	})
	t.Run("purchase", func(t *testing.T) { // a top-up counted twice
		b := goodBooks()
		b.add(b.entries[1])
		b.balances[0].Purchased += 100
		b.balances[1].Purchased += 100
		require.NotEmpty(t, b.audit())
	})
}

func TestAuditForeignEntry(t *testing.T) {
	t.Parallel()
	b := goodBooks()
	b.entries[1].Tenant = globex
	require.NotEmpty(t, b.audit())
}

func TestAuditDifferencesTwice(t *testing.T) {
	t.Parallel()
	a := core.NewAudit(acme)
	b := goodBooks()
	for _, e := range b.entries {
		a.Entry(e)
	}
	first := len(a.Differences())
	require.Len(t, a.Differences(), first)
}

func TestAuditUnknownKind(t *testing.T) {
	t.Parallel()
	b := goodBooks()
	b.add(core.Entry{Key: "x", Kind: "gift", Amount: core.Split{Purchased: 5}})
	b.balances[0].Purchased += 5
	b.balances[1].Purchased += 5
	require.NotEmpty(t, b.audit(), "an unknown kind of entry is a difference")
}

func TestAuditCounts(t *testing.T) {
	t.Parallel()
	a := core.NewAudit(acme)
	b := goodBooks()
	for _, e := range b.entries {
		a.Entry(e)
	}
	for _, r := range b.runs {
		a.Run(r)
	}
	entries, runs := a.Counts()
	require.Equal(t, len(b.entries), entries)
	require.Equal(t, len(b.runs), runs)
}

// Paid work that can no longer be done, with every cause of that.
func TestAuditWork(t *testing.T) {
	t.Parallel()
	waiting := filesIn(core.FilePending, core.FileFailed)
	closed, running := closedOver(waiting, core.ModePerFile), runningOver(waiting, core.ModePerFile)
	counts := core.FileCounts{Pending: 1, Failed: 1}
	found := func(r core.Run, c core.FileCounts, anyMaxed, templateThere bool) []core.Difference {
		a := core.NewAudit(acme)
		a.Work(r, c, anyMaxed, templateThere)
		return a.Differences()
	}
	require.Empty(t, found(closed, counts, false, true))
	require.Empty(t, found(closed, counts, true, true), "a platform admin can raise the limit")
	require.Empty(t, found(running, counts, false, true))
	require.Empty(t, found(closedOver(filesIn(core.FileFailed), core.ModePerFile), core.FileCounts{Failed: 1}, true, false), "nothing waits")

	atTheLimit := closed
	atTheLimit.MaxRetryCount = core.MaxMaxRetryCount
	done := running
	done.Tally = core.Tally{Completed: 2}
	completed := closed
	completed.Status = core.RunCompleted
	never := running
	never.RecoverAt = time.Time{}
	for name, tc := range map[string]struct {
		run           core.Run
		counts        core.FileCounts
		anyMaxed, has bool
		says          string
	}{
		"behind a maxed file":     {atTheLimit, counts, true, true, "cannot be raised"},
		"without its template":    {closed, counts, false, false, "gone"},
		"nothing to wait for":     {done, core.FileCounts{Completed: 2}, false, true, "nothing to wait for"},
		"all wait for a Continue": {running, core.FileCounts{Pending: 1, Interrupted: 1, Failed: 1}, false, true, "waits for a Continue"},
		"never looked at":         {never, counts, false, true, "recovery never looks"},
		"a completed run":         {completed, counts, false, true, "COMPLETED"},
		"processing when closed":  {closed, core.FileCounts{Processing: 1, Failed: 1}, false, true, "processing in a closed run"},
		"the tally is wrong":      {closed, core.FileCounts{Pending: 2, Failed: 1}, false, true, "Unfinished:1"},
	} {
		differences := found(tc.run, tc.counts, tc.anyMaxed, tc.has)
		require.Len(t, differences, 1, name)
		require.Contains(t, differences[0].Recorded, tc.says, name)
	}
}
