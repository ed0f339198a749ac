package core_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

var usagePeriod = core.Period{Year: 2026, Month: time.November}

func usageAt(day, hour int) time.Time {
	return time.Date(2026, time.November, day, hour, 0, 0, 0, time.UTC)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	type entry struct {
		core.Entry
		template core.TemplateID
	}
	of := func(kind core.EntryKind, at time.Time, monthly, purchased core.Credits, template core.TemplateID) entry {
		return entry{core.Entry{Kind: kind, Period: usagePeriod, At: at, Amount: core.Split{Monthly: monthly, Purchased: purchased}}, template}
	}
	entries := []entry{
		of(core.EntryAllowance, usageAt(1, 0).Add(-time.Hour), 100, 0, ""), // granted the evening before
		of(core.EntryPurchase, usageAt(3, 9), 0, 50, ""),
		of(core.EntryCharge, usageAt(3, 10), 30, 0, "cheap"),
		of(core.EntryCharge, usageAt(3, 23), 40, 0, "dear"),
		of(core.EntryCharge, usageAt(20, 0), 30, 25, "dear"),
		of(core.EntryRefund, usageAt(20, 1), 30, 25, "dear"),
		of(core.EntryCharge, usageAt(30, 23), 20, 0, "dear"),
		of(core.EntryRefund, usageAt(30, 23).Add(48*time.Hour), 20, 0, "dear"), // in December
		of(core.EntryCharge, usageAt(5, 0), 5, 0, ""),
	}
	december := of(core.EntryCharge, usageAt(30, 23), 7, 7, "dear")
	december.Period = usagePeriod.Next()
	entries = append(entries, december)
	balance := core.Balance{Period: usagePeriod, Split: core.Split{Monthly: 25, Purchased: 50}}

	sum := func(t *testing.T, entries []entry, now time.Time) core.Usage {
		count := core.NewUsageCount(usagePeriod)
		for _, e := range entries {
			require.NoError(t, count.Add(e.Entry, e.template))
		}
		return count.Usage(balance, now)
	}
	got := sum(t, entries, usageAt(30, 23))
	slices.Reverse(entries)
	require.Equal(t, got, sum(t, entries, usageAt(30, 23)), "the order does not matter")

	days := got.Days
	got.Days = nil
	require.Equal(t, core.Usage{
		Kinds: []core.KindUsage{
			{Kind: core.EntryAllowance, Entries: 1, Amount: core.Split{Monthly: 100}},
			{Kind: core.EntryPurchase, Entries: 1, Amount: core.Split{Purchased: 50}},
			{Kind: core.EntryCharge, Entries: 5, Amount: core.Split{Monthly: 125, Purchased: 25}},
			{Kind: core.EntryRefund, Entries: 2, Amount: core.Split{Monthly: 50, Purchased: 25}},
		},
		Period: usagePeriod, Granted: 100, Bought: 50,
		Charged: core.Split{Monthly: 125, Purchased: 25}, Refunded: core.Split{Monthly: 50, Purchased: 25},
		Left: 25, Ends: usageAt(31, 0), Purchased: 50,
		Templates: []core.TemplateUsage{
			{Template: "dear", Charges: 3, Charged: core.Split{Monthly: 90, Purchased: 25}, Refunded: core.Split{Monthly: 50, Purchased: 25}},
			{Template: "cheap", Charges: 1, Charged: core.Split{Monthly: 30}},
			{Template: "", Charges: 1, Charged: core.Split{Monthly: 5}},
		},
	}, got)
	require.Equal(t, core.Split{Monthly: 75}, got.Spent())
	require.Zero(t, got.Lapsed())
	require.Len(t, days, 30)
	require.Equal(t, core.DayUsage{Day: usageAt(1, 0), Granted: 100, Left: 100}, days[0], "what was granted early counts on the first day")
	require.Equal(t, core.DayUsage{Day: usageAt(3, 0), Bought: 50, Charged: core.Split{Monthly: 70}, Left: 30}, days[2])
	require.Equal(t, core.DayUsage{
		Day: usageAt(20, 0), Charged: core.Split{Monthly: 30, Purchased: 25}, Refunded: core.Split{Monthly: 30, Purchased: 25}, Left: 25,
	}, days[19])
	require.Equal(t, core.DayUsage{
		Day: usageAt(30, 0), Charged: core.Split{Monthly: 20}, Refunded: core.Split{Monthly: 20}, Left: 25,
	}, days[29], "a late refund counts on the last day")

	over := sum(t, entries, usageAt(31, 0))
	require.True(t, over.Over)
	require.Equal(t, core.Credits(25), over.Lapsed(), "the allowance lapses at the first instant of the next month")
}

func TestUsageOutOfRange(t *testing.T) {
	t.Parallel()
	for _, kind := range []core.EntryKind{core.EntryAllowance, core.EntryPurchase, core.EntryCharge, core.EntryRefund} {
		count := core.NewUsageCount(usagePeriod)
		e := core.Entry{Kind: kind, Period: usagePeriod, At: usageAt(1, 0), Amount: core.Split{Monthly: math.MaxInt64}}
		if kind == core.EntryPurchase {
			e.Amount = core.Split{Purchased: math.MaxInt64}
		}
		require.NoError(t, count.Add(e, "t"))
		require.ErrorIs(t, count.Add(e, "t"), core.ErrCreditsOutOfRange, kind)
	}
}

// For any entries, the days and the templates add up to the whole, and the rest of the
// last day is the balance.
func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := core.PeriodOf(usageAt(rapid.IntRange(1, 400).Draw(t, "day"), 0))
		balance, count := core.Balance{Period: p}, core.NewUsageCount(p)
		var charges []core.Entry
		for range rapid.IntRange(0, 30).Draw(t, "entries") {
			e := core.Entry{
				Kind:   rapid.SampledFrom([]core.EntryKind{core.EntryAllowance, core.EntryPurchase, core.EntryCharge, core.EntryRefund}).Draw(t, "kind"),
				Period: p, At: p.Start().Add(time.Duration(rapid.IntRange(-50, 900).Draw(t, "hours")) * time.Hour),
			}
			amount := core.Credits(rapid.IntRange(1, 100).Draw(t, "amount"))
			switch e.Kind {
			case core.EntryAllowance:
				e.Amount.Monthly = amount
			case core.EntryPurchase:
				e.Amount.Purchased = amount
			case core.EntryCharge:
				e.Run = core.RunID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "run"))
				split, err := balance.SplitPrice(amount)
				if err != nil {
					continue
				}
				e.Amount = split
				charges = append(charges, e)
			case core.EntryRefund:
				if len(charges) == 0 {
					continue
				}
				e.Run, e.Amount = charges[0].Run, charges[0].Amount
				charges = charges[1:]
			}
			var err error
			balance, err = balance.Apply(e)
			require.NoError(t, err)
			require.NoError(t, count.Add(e, core.TemplateID(e.Run)))
		}
		later := core.Credits(rapid.IntRange(-20, 20).Draw(t, "later"))
		now := balance
		now.Purchased += max(0, later)
		for _, at := range []time.Time{p.Start(), p.End()} {
			s, err := count.Statement(now, max(0, later), at)
			require.NoError(t, err)
			require.Equal(t, core.Split{}, s.Opening, "the first month opens with nothing")
			require.Equal(t, balance.Purchased, s.Closing.Purchased)
			require.Equal(t, balance.Monthly, s.Closing.Monthly+s.Lapsed())
			require.Equal(t, at.Equal(p.End()), s.Over)
		}
		now.Monthly++
		_, err := count.Statement(now, max(0, later), p.Start())
		fault(t, err, "do not add up")
		u := count.Usage(balance, p.Start())
		require.Equal(t, balance.Monthly, u.Granted-u.Spent().Monthly)
		require.Equal(t, balance.Monthly, u.Left)
		require.Equal(t, balance.Monthly, u.Days[len(u.Days)-1].Left)
		require.Equal(t, balance.Purchased, u.Bought-u.Spent().Purchased)
		var ofTemplates, ofDays core.Split
		for _, x := range u.Templates {
			ofTemplates.Monthly += x.Spent().Monthly
			ofTemplates.Purchased += x.Spent().Purchased
		}
		for _, d := range u.Days {
			ofDays.Monthly += d.Charged.Monthly - d.Refunded.Monthly
			ofDays.Purchased += d.Charged.Purchased - d.Refunded.Purchased
		}
		require.Equal(t, u.Spent(), ofTemplates)
		require.Equal(t, u.Spent(), ofDays)
	})
}
