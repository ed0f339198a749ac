package oracle

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// begunWhile checks that no attempt of a suspended tenant is begun.
func (o *Oracle) begunWhile(t *tenant, r *run) {
	if t.suspended {
		o.fail(Suspended, "attempt %d of run %s was begun while tenant %s was suspended", r.model.Number(), r.row.ID, t.id)
	}
}

// refundedByHand checks a refund by hand that was posted: once for each key, as much as was
// asked for, purchased credits first. The account has looked at the charge as a whole.
func (o *Oracle) refundedByHand(t *tenant, c *Commit, e *core.Entry) {
	q := &o.requests[c.Actor]
	if c.Use != UseRefund || q.Use != UseRefund || q.Charge != e.Charge {
		o.fail(I4, "charge %s was refunded by hand, and nobody had asked for that", e.Charge)
		return
	}
	if slices.Contains(t.refunded, q.Key) {
		o.fail(GrantOnce, "the refund by hand under key %s was posted twice", q.Key)
	}
	t.refunded = append(t.refunded, q.Key)
	charge, r := t.account.Entry(e.Charge), o.run(e.Run)
	if charge == nil || r == nil || int(e.Attempt) >= len(r.model.Attempts) {
		return // the account has said so
	}
	given := e.Amount.Monthly + e.Amount.Purchased
	before := core.Split{Monthly: charge.ByHand.Monthly - e.Amount.Monthly, Purchased: charge.ByHand.Purchased - e.Amount.Purchased}
	left := core.Split{Monthly: charge.Amount.Monthly - before.Monthly, Purchased: charge.Amount.Purchased - before.Purchased}
	held := r.model.HeldBack(e.Attempt)
	want := q.Amount
	if want == 0 {
		want = left.Monthly + left.Purchased - held
	}
	switch {
	case given != want || given <= 0:
		o.fail(I4, "of charge %s %d were to be given back by hand, and %d were", e.Charge, want, given)
	case e.Amount.Purchased != min(given, left.Purchased):
		o.fail(I4, "of charge %s %d were given back by hand, of which %d are purchased, while %d of those were left", e.Charge, given, e.Amount.Purchased, left.Purchased)
	}
	r.model.RefundByHand(o.judge, e.Attempt, e.Amount, charge.ByHand)
	o.met(RefundedByHand)
}

// Charge finds a charge of a run: the first, or the latest; empty if there is none.
func (o *Oracle) Charge(id core.RunID, first bool) (key core.Key) {
	r := o.run(id)
	if r == nil {
		return ""
	}
	t := o.tenant(r.row.Tenant)
	for i := range t.account.Entries {
		if e := &t.account.Entries[i]; e.Kind == core.EntryCharge && e.Run == id && (key == "" || !first) {
			key = e.Key
		}
	}
	return key
}
