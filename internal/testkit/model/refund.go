package model

import "github.com/redrive/redrive/core"

// HeldBack is what an attempt's charge covers of files that are pending: they are free to
// continue, so it is not given back by hand.
func (r *Run) HeldBack(n core.AttemptNumber) (held core.Credits) {
	for i := range r.Files {
		if f := &r.Files[i]; f.Status == core.FilePending && f.PaidBy == n && f.Owed {
			held += r.Attempts[n].Price
		}
	}
	return held
}

// RefundByHand takes what a platform admin gave back of an attempt's charge; given is all
// that was given back of it so far, this included.
func (r *Run) RefundByHand(j Judge, n core.AttemptNumber, amount, given core.Split) {
	charge := r.Attempts[n].Charge
	switch held := r.HeldBack(n); {
	case !r.Status.Closed():
		j(I4, "the charge of attempt %d of run %s was refunded by hand while the run is %s: it may still be compensated", n, r.ID, r.Status)
	case given.Monthly+given.Purchased+held > charge.Monthly+charge.Purchased:
		j(I12, "of the %d that attempt %d of run %s took %d were given back by hand, and %d cover pending files: the tenant gets both the work and the refund", charge.Monthly+charge.Purchased, n, r.ID, given.Monthly+given.Purchased, held)
	}
	r.Credits = sum(r.Credits, negative(amount))
}
