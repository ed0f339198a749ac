package core

import (
	"fmt"
	"strconv"
	"time"
)

// Key is an idempotency key. It is unique among a tenant's ledger entries, so that an
// entry is never posted twice.
type Key string

// EntryKind is the kind of a ledger entry.
type EntryKind string

const (
	EntryAllowance EntryKind = "allowance" // adds to one period's monthly allowance
	EntryPurchase  EntryKind = "purchase"  // adds to the purchased balance
	EntryCharge    EntryKind = "charge"    // takes from both, by its split
	EntryRefund    EntryKind = "refund"    // gives one charge back, by the charge's split
)

// Valid reports whether the kind is one of the four.
func (k EntryKind) Valid() bool {
	return k == EntryAllowance || k == EntryPurchase || k == EntryCharge || k == EntryRefund
}

// Entry is one line of a tenant's append-only ledger. The key identifies it within the
// tenant. Amounts are never negative; the kind gives the direction.
type Entry struct {
	Tenant TenantID
	Key    Key
	// Seq numbers a tenant's entries 1, 2, 3, … in the order in which they
	// were posted. The store assigns it under the tenant's lock.
	Seq    int64
	Kind   EntryKind
	Period Period // whose monthly allowance Amount.Monthly belongs to
	Amount Split

	Run     RunID         // charge and refund
	Attempt AttemptNumber // charge and refund
	Charge  Key           // refund: the key of the charge that it undoes

	Actor Actor
	At    time.Time
}

// Credit reports whether the entry adds to the balance (else it takes from it).
func (e Entry) Credit() bool { return e.Kind != EntryCharge }

// Apply gives the balance after the entry. The balance must be that of the
// entry's period. It fails with CodeCreditsOutOfRange rather than going below
// zero or overflowing.
func (b Balance) Apply(e Entry) (Balance, error) {
	if b.Period != e.Period {
		return Balance{}, fmt.Errorf("entry %s of period %s applied to a balance of %s", e.Key, e.Period, b.Period)
	}
	move := b.Minus
	if e.Credit() {
		move = b.Plus
	}
	after, err := move(e.Amount)
	if err != nil {
		return Balance{}, err
	}
	b.Split = after
	return b, nil
}

// SameAs reports whether two entries under the same key are of the same request, so that
// the first one is the answer to the repeat. Time and actor may differ.
func (e Entry) SameAs(o Entry) bool {
	return e.Tenant == o.Tenant && e.Key == o.Key && e.Kind == o.Kind && e.Period == o.Period &&
		e.Amount == o.Amount && e.Run == o.Run && e.Attempt == o.Attempt && e.Charge == o.Charge
}

// ChargeKey is the key of the only charge that an attempt can have (I3).
func ChargeKey(run RunID, n AttemptNumber) Key {
	return Key("charge/" + string(run) + "/" + strconv.Itoa(int(n)))
}

// RefundKey is the key of the only refund that an attempt's charge can have (I4).
func RefundKey(run RunID, n AttemptNumber) Key {
	return Key("refund/" + string(run) + "/" + strconv.Itoa(int(n)))
}

// AllowanceKey is the key of the grant that the monthly refill makes for a period. With
// it, a month is granted once, even if several servers refill concurrently.
func AllowanceKey(p Period) Key { return Key("allowance/" + p.String()) }

// NewAllowance is the entry that grants monthly allowance for one period.
func NewAllowance(tenant TenantID, key Key, p Period, amount Credits, by Actor, now time.Time) (Entry, error) {
	if err := checkGrant(key, amount); err != nil {
		return Entry{}, err
	}
	if p.Before(PeriodOf(now)) {
		return Entry{}, InvalidField("period", "%s has ended; an allowance can be granted for %s or later", p, PeriodOf(now))
	}
	return Entry{
		Tenant: tenant, Key: key, Kind: EntryAllowance, Period: p,
		Amount: Split{Monthly: amount}, Actor: by, At: now,
	}, nil
}

// NewPurchase is the entry that adds purchased credits. They belong to no
// month; the entry's period says only when they were bought.
func NewPurchase(tenant TenantID, key Key, amount Credits, by Actor, now time.Time) (Entry, error) {
	if err := checkGrant(key, amount); err != nil {
		return Entry{}, err
	}
	return Entry{
		Tenant: tenant, Key: key, Kind: EntryPurchase, Period: PeriodOf(now),
		Amount: Split{Purchased: amount}, Actor: by, At: now,
	}, nil
}

func checkGrant(key Key, amount Credits) error {
	if err := CheckKey("idempotencyKey", key); err != nil {
		return err
	}
	if amount <= 0 {
		return InvalidField("amount", "must be 1 or more credits")
	}
	return nil
}
