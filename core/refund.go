package core

import (
	"fmt"
	"time"
)

// HandRefund is the request of a platform admin to give back a charge, or a part of it.
type HandRefund struct {
	Key    Key      // of the entry
	Amount *Credits // nil: all that can be given back
	Reason string
	By     Actor
}

// RefundPlan is everything that a refund by hand writes.
type RefundPlan struct {
	Run   Run
	Entry Entry
}

// PlanRefund decides a refund by hand (spec 7). run is the run of the charge, a its
// attempt, refunds are the charge's entries of refund so far, and pending the run's files in
// that status. The caller holds the run's lock and the tenant's.
//
// The run must be closed: until then the charge may still be compensated, and a refund by
// hand beside that one would give it back twice. Of a closed run's attempt Compensable never
// holds again.
//
// All refunds of a charge together give back no more than it took, part by part. What it
// covers of files that are pending is not given back, since a Continue of them is free: the
// work would be done for nothing.
//
// Purchased credits go back first, the reverse of the order in which a charge takes them. So
// the balances are what they would be if so much less had been charged.
//
// It fails with CodeRunAlreadyRunning, CodeInvalidRequest or CodeRefundTooLarge.
func PlanRefund(run Run, a Attempt, refunds []Entry, pending []File, req HandRefund, now time.Time) (RefundPlan, error) {
	if a.Run != run.ID || a.Tenant != run.Tenant || a.Charge.IsZero() {
		return RefundPlan{}, fmt.Errorf("attempt %d of run %s has no charge that could be refunded", a.Number, run.ID)
	}
	if err := checkRefund(req); err != nil {
		return RefundPlan{}, err
	}
	if !run.Status.Closed() {
		return RefundPlan{}, &Error{Code: CodeRunAlreadyRunning, Run: run.ID, Message: "the run is running, and its charges may still be refunded by themselves; cancel it, or wait until it has closed"}
	}
	left, err := unrefunded(a, refunds)
	if err != nil {
		return RefundPlan{}, err
	}
	held, err := heldBack(a, pending)
	if err != nil {
		return RefundPlan{}, err
	}
	most := max(0, left.Total()-held)
	amount := most
	if req.Amount != nil {
		amount = *req.Amount
	}
	if amount > most || amount == 0 {
		return RefundPlan{}, &Error{
			Code: CodeRefundTooLarge, Run: run.ID, Needed: amount, Available: most,
			Message: fmt.Sprintf("of the %d credits of this charge %d were refunded before and %d cover pending files, which are free to continue; %d can be refunded, so nothing was", a.Charge.Amount.Total(), a.Charge.Amount.Total()-left.Total(), held, most),
		}
	}
	purchased := min(amount, left.Purchased)
	split := Split{Monthly: amount - purchased, Purchased: purchased}
	if err := run.subtractCharge(split); err != nil {
		return RefundPlan{}, err
	}
	return RefundPlan{Run: run, Entry: Entry{
		Tenant: run.Tenant, Key: req.Key, Kind: EntryRefund, Period: a.Charge.Period, Amount: split,
		Run: run.ID, Attempt: a.Number, Charge: a.Charge.Key, Reason: req.Reason, Actor: req.By, At: now,
	}}, nil
}

func checkRefund(req HandRefund) error {
	var wrong []FieldError
	if req.Amount != nil && *req.Amount <= 0 {
		wrong = append(wrong, FieldError{"amount", "must be 1 or more credits; leave it out to refund all that can be"})
	}
	wrong = append(wrong, reasonProblems(req.Reason)...)
	return Invalid(wrong...)
}

// unrefunded is what an attempt's charge took and was not given back yet.
func unrefunded(a Attempt, refunds []Entry) (Split, error) {
	left := a.Charge.Amount
	for _, e := range refunds {
		if e.Charge != a.Charge.Key {
			continue
		}
		var err error
		if left, err = left.Minus(e.Amount); err != nil {
			return Split{}, fmt.Errorf("refunds of charge %s: %w", a.Charge.Key, err)
		}
	}
	return left, nil
}

// heldBack is the price of those files that wait and that the attempt's charge covers.
func heldBack(a Attempt, pending []File) (Credits, error) {
	charged := make(map[int]bool, len(a.Files))
	for _, f := range a.Files {
		charged[f.Index] = f.Charged
	}
	n := 0
	for _, f := range pending {
		if f.Status == FilePending && f.PaidBy == a.Number && charged[f.Index] {
			n++
		}
	}
	return a.Price.Times(n)
}

// SameRefund reports whether an entry is that of the same request, so that it is the answer
// to a repeat.
func (e Entry) SameRefund(charge Key, req HandRefund) bool {
	return e.Kind == EntryRefund && e.Charge == charge && e.Reason == req.Reason && (req.Amount == nil || *req.Amount == e.Amount.Total())
}
