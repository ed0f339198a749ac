package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Usage is how a tenant's credits were used in one period.
type Usage struct {
	Period  Period
	Granted Credits // allowance for this period, also if it was granted earlier
	Bought  Credits // credits purchased during the period, which belong to no month
	Charged Split
	// Refunded is the sum of the refunds of this period's charges, also of refunds after
	// the period's end.
	Refunded Split
	// Left is the allowance that can still be spent until Ends. Once the period has ended
	// it has lapsed: see Over.
	Left Credits
	Ends time.Time // the first instant at which the period is over
	Over bool
	// Purchased is the present balance of purchased credits, which do not lapse.
	Purchased Credits

	Kinds     []KindUsage     // of each kind of entry, in the order of EntryKinds
	Templates []TemplateUsage // the most expensive first
	Days      []DayUsage      // every day of the period, in order
}

// Spent is what was charged and not given back.
func (u Usage) Spent() Split { return net(u.Charged, u.Refunded) }

// Lapsed is the allowance that was unused when the period ended.
func (u Usage) Lapsed() Credits {
	if u.Over {
		return u.Left
	}
	return 0
}

// EntryKinds are the kinds of entries in the order of a statement.
var EntryKinds = []EntryKind{EntryAllowance, EntryPurchase, EntryCharge, EntryRefund}

// KindUsage is the sum of a period's entries of one kind. Amounts are never negative; the
// kind gives the direction.
type KindUsage struct {
	Kind    EntryKind
	Entries int
	Amount  Split
}

// Statement is what became of a tenant's credits in one period, by the same count as Usage:
// opening balance, entries, what lapsed, closing balance. Entries are those of the period,
// also if they were posted before it, as an allowance, or after it, as a refund: a statement
// of an ended month changes if a charge of it is refunded. The closing balance of purchased
// credits is the opening balance of the next period.
type Statement struct {
	Usage

	// Opening has no monthly part: the rest of a month is never added to the next one.
	Opening Split
	Closing Split
}

// Statement makes a statement of a period. balance is that of the period now, and later what
// the entries of later periods add to the purchased balance, which may be below 0.
func (c *UsageCount) Statement(balance Balance, later Credits, now time.Time) (Statement, error) {
	s := Statement{Usage: c.Usage(balance, now)}
	s.Closing.Purchased = balance.Purchased - later
	if !s.Over {
		s.Closing.Monthly = s.Left
	}
	spent := s.Spent()
	s.Opening.Purchased = s.Closing.Purchased - s.Bought + spent.Purchased
	if s.Opening.Purchased < 0 || s.Closing.Purchased < 0 || s.Granted-spent.Monthly != s.Left {
		return Statement{}, fmt.Errorf("statement of %s: the entries do not add up to the balances; check the ledger", s.Period)
	}
	return s, nil
}

// TemplateUsage is the cost of one template's runs in a period.
type TemplateUsage struct {
	Template TemplateID // empty: of runs that no longer exist
	Charges  int        // initiations and Continues that were charged, refunded ones included
	Charged  Split
	Refunded Split
}

// Spent is what was charged and not given back.
func (t TemplateUsage) Spent() Split { return net(t.Charged, t.Refunded) }

// DayUsage is the usage of one day of a period. Entries of the period from before its
// beginning, such as an allowance granted early, count on its first day; entries from
// after its end, such as a refund, on its last.
type DayUsage struct {
	Day      time.Time // its beginning, in UTC
	Granted  Credits
	Bought   Credits
	Charged  Split
	Refunded Split
	// Left is the allowance that was left at the end of the day.
	Left Credits
}

// net subtracts part by part. A refund gives back what its charge took in the same
// period, so no part can be below zero.
func net(charged, refunded Split) Split {
	return Split{Monthly: charged.Monthly - refunded.Monthly, Purchased: charged.Purchased - refunded.Purchased}
}

// UsageCount adds up a period's entries, in any order and page by page. Its memory is
// bounded by the days of a month and the number of templates.
type UsageCount struct {
	usage     Usage
	templates map[TemplateID]*TemplateUsage
}

// NewUsageCount gives an empty count.
func NewUsageCount(p Period) *UsageCount {
	c := &UsageCount{usage: Usage{Period: p, Ends: p.End()}, templates: map[TemplateID]*TemplateUsage{}}
	for _, kind := range EntryKinds {
		c.usage.Kinds = append(c.usage.Kinds, KindUsage{Kind: kind})
	}
	for day := p.Start(); day.Before(p.End()); day = day.AddDate(0, 0, 1) {
		c.usage.Days = append(c.usage.Days, DayUsage{Day: day})
	}
	return c
}

// Add counts one entry; template is that of its run, if it has one. Entries of another
// period are left out. CodeCreditsOutOfRange if the sums are more than Credits can hold.
func (c *UsageCount) Add(e Entry, template TemplateID) error {
	u := &c.usage
	if e.Period != u.Period {
		return nil
	}
	day := c.day(e.At)
	if i := slices.Index(EntryKinds, e.Kind); i >= 0 {
		u.Kinds[i].Entries++
		if err := plusSplit(e.Amount, &u.Kinds[i].Amount); err != nil {
			return err
		}
	}
	switch e.Kind {
	case EntryAllowance:
		return plus(e.Amount.Monthly, &u.Granted, &day.Granted)
	case EntryPurchase:
		return plus(e.Amount.Purchased, &u.Bought, &day.Bought)
	case EntryCharge:
		of := c.of(template)
		of.Charges++
		return plusSplit(e.Amount, &u.Charged, &day.Charged, &of.Charged)
	case EntryRefund:
		return plusSplit(e.Amount, &u.Refunded, &day.Refunded, &c.of(template).Refunded)
	}
	return nil
}

func (c *UsageCount) day(at time.Time) *DayUsage {
	days := c.usage.Days
	n := int(at.Sub(c.usage.Period.Start()) / (24 * time.Hour)) // UTC has days of 24 hours
	return &days[max(0, min(n, len(days)-1))]
}

func (c *UsageCount) of(template TemplateID) *TemplateUsage {
	t := c.templates[template]
	if t == nil {
		t = &TemplateUsage{Template: template}
		c.templates[template] = t
	}
	return t
}

// Usage gives the result, with the balance of the period as it is now.
func (c *UsageCount) Usage(balance Balance, now time.Time) Usage {
	u := c.usage
	u.Left, u.Purchased, u.Over = balance.Monthly, balance.Purchased, !now.Before(u.Ends)
	u.Days, u.Kinds = slices.Clone(u.Days), slices.Clone(u.Kinds)
	left := Credits(0)
	for i := range u.Days {
		d := &u.Days[i]
		left += d.Granted - net(d.Charged, d.Refunded).Monthly
		d.Left = left
	}
	u.Templates = make([]TemplateUsage, 0, len(c.templates))
	for _, t := range c.templates {
		u.Templates = append(u.Templates, *t)
	}
	slices.SortFunc(u.Templates, func(a, b TemplateUsage) int {
		return cmp.Or(cmp.Compare(b.Spent().Total(), a.Spent().Total()), cmp.Compare(a.Template, b.Template))
	})
	return u
}

func plus(amount Credits, sums ...*Credits) error {
	for _, sum := range sums {
		after, err := sum.Plus(amount)
		if err != nil {
			return err
		}
		*sum = after
	}
	return nil
}

func plusSplit(amount Split, sums ...*Split) error {
	for _, sum := range sums {
		after, err := sum.Plus(amount)
		if err != nil {
			return err
		}
		*sum = after
	}
	return nil
}
