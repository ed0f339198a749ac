package model

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// Account is a tenant's credits: what its ledger adds up to.
type Account struct {
	Purchased core.Credits
	Months    []Month // ascending; a tenant has few: they are looked through
	Seq       int64   // of the entry that was posted last
	Entries   []Entry
}

// Month is what is left of a period's allowance.
type Month struct {
	Period  core.Period
	Left    core.Credits
	Granted bool // by a refill
}

// Entry is a posted entry.
type Entry struct {
	core.Entry
	Refunded bool
	ByHand   core.Split // of a charge: what was given back of it by hand
}

// Reset empties the account and keeps its memory.
func (a *Account) Reset() {
	a.Purchased, a.Months, a.Seq, a.Entries = 0, a.Months[:0], 0, a.Entries[:0]
}

// Month finds a period's bucket, or makes it. It is valid until the next one is made.
func (a *Account) Month(p core.Period) *Month {
	for i := range a.Months {
		if a.Months[i].Period == p {
			return &a.Months[i]
		}
	}
	at := 0
	for at < len(a.Months) && a.Months[at].Period.Before(p) {
		at++
	}
	a.Months = slices.Insert(a.Months, at, Month{Period: p})
	return &a.Months[at]
}

// Left is what a period's allowance has left.
func (a *Account) Left(p core.Period) core.Credits {
	for i := range a.Months {
		if a.Months[i].Period == p {
			return a.Months[i].Left
		}
	}
	return 0
}

// Available is what a charge in a period can take.
func (a *Account) Available(p core.Period) core.Credits { return a.Left(p) + a.Purchased }

// Split is how a charge burns: the month's allowance first.
func (a *Account) Split(total core.Credits, p core.Period) core.Split {
	monthly := min(total, a.Left(p))
	return core.Split{Monthly: monthly, Purchased: total - monthly}
}

// Add changes what there is: of a charge with negative amounts.
func (a *Account) Add(amount core.Split, p core.Period) {
	a.Purchased += amount.Purchased
	a.Month(p).Left += amount.Monthly
}

// Entry finds a posted entry; nil if there is none under the key.
func (a *Account) Entry(key core.Key) *Entry {
	for i := range a.Entries {
		if a.Entries[i].Key == key {
			return &a.Entries[i]
		}
	}
	return nil
}

// Of finds the entry of a kind for an attempt that nobody posted by hand; nil if there is
// none.
func (a *Account) Of(kind core.EntryKind, run core.RunID, n core.AttemptNumber) *Entry {
	for i := range a.Entries {
		if e := &a.Entries[i]; e.Kind == kind && e.Run == run && e.Attempt == n && e.Reason == "" {
			return e
		}
	}
	return nil
}

// Post takes one entry of the ledger: I1, the burn order of I3, and I4.
func (a *Account) Post(j Judge, e *core.Entry) {
	a.Seq++
	switch {
	case e.Seq != a.Seq:
		j(I1, "entry %s has seq %d, it is number %d", e.Key, e.Seq, a.Seq)
	case a.Entry(e.Key) != nil:
		j(I1, "key %s was used twice", e.Key)
	case e.Amount.Monthly < 0 || e.Amount.Purchased < 0:
		j(I1, "entry %s has a negative amount", e.Key)
	}
	amount := e.Amount
	switch e.Kind {
	case core.EntryAllowance:
		if e.Amount.Purchased != 0 {
			j(I1, "allowance %s adds purchased credits", e.Key)
		}
	case core.EntryPurchase:
		if e.Amount.Monthly != 0 {
			j(I1, "purchase %s adds allowance", e.Key)
		}
	case core.EntryCharge:
		a.charged(j, e)
		amount = negative(amount)
	case core.EntryRefund:
		a.refunded(j, e)
	default:
		j(I1, "entry %s is of no known kind", e.Key)
		amount = core.Split{}
	}
	a.Add(amount, e.Period)
	a.Entries = append(a.Entries, Entry{Entry: *e})
	if left := a.Left(e.Period); left < 0 || a.Purchased < 0 {
		j(I1, "after entry %s there are %d monthly of %s and %d purchased", e.Key, left, e.Period, a.Purchased)
	}
}

func (a *Account) charged(j Judge, e *core.Entry) {
	total := e.Amount.Monthly + e.Amount.Purchased
	if want := a.Split(total, e.Period); e.Amount.Monthly != want.Monthly {
		j(I3, "charge %s of %d took %d of the %d monthly credits left, not %d", e.Key, total, e.Amount.Monthly, a.Left(e.Period), want.Monthly)
	}
	switch {
	case a.Of(core.EntryCharge, e.Run, e.Attempt) != nil:
		j(I3, "attempt %d of run %s was charged a second time, by %s", e.Attempt, e.Run, e.Key)
	case total == 0:
		j(I3, "charge %s is of nothing", e.Key)
	}
}

func (a *Account) refunded(j Judge, e *core.Entry) {
	charge := a.Entry(e.Charge)
	switch {
	case charge == nil || charge.Kind != core.EntryCharge:
		j(I4, "refund %s is of no charge", e.Key)
		return
	case charge.Refunded:
		j(I4, "charge %s was refunded twice", e.Charge)
	case e.Reason != "":
		a.byHand(j, e, charge)
		return
	case charge.ByHand != (core.Split{}):
		j(I4, "charge %s was refunded by hand, and then by Redrive itself", e.Charge)
	case e.Amount != charge.Amount || e.Period != charge.Period || e.Run != charge.Run || e.Attempt != charge.Attempt:
		j(I4, "charge %s took %+v of %s, its refund gives %+v to %s", e.Charge, charge.Amount, charge.Period, e.Amount, e.Period)
	}
	charge.Refunded = true
}

// byHand: what a platform admin gives back of a charge, in one or several entries, is no more
// than it took, part by part, and goes back to where it came from.
func (a *Account) byHand(j Judge, e *core.Entry, charge *Entry) {
	charge.ByHand = sum(charge.ByHand, e.Amount)
	if charge.ByHand.Monthly > charge.Amount.Monthly || charge.ByHand.Purchased > charge.Amount.Purchased {
		j(I4, "charge %s took %+v, and %+v was given back by hand", e.Charge, charge.Amount, charge.ByHand)
	}
	if e.Period != charge.Period || e.Run != charge.Run || e.Attempt != charge.Attempt {
		j(I4, "charge %s is of attempt %d of run %s in %s, what was given back of it is said to be of attempt %d of run %s in %s", e.Charge, charge.Attempt, charge.Run, charge.Period, e.Attempt, e.Run, e.Period)
	}
}

func negative(s core.Split) core.Split {
	return core.Split{Monthly: -s.Monthly, Purchased: -s.Purchased}
}

func sum(a, b core.Split) core.Split {
	return core.Split{Monthly: a.Monthly + b.Monthly, Purchased: a.Purchased + b.Purchased}
}
