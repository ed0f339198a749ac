package core

// Receipt says for each attempt of a run, and each file in it, why the file was
// charged, was free or was refunded, and which ledger entries say so.
type Receipt struct {
	Run      RunID
	Total    Split // what the run has cost in the end: its charges less its refunds
	Attempts []AttemptReceipt
	// Amendments are the changes to how often its files may be retried.
	Amendments []Amendment
}

// AttemptReceipt is one attempt's part of a receipt.
type AttemptReceipt struct {
	Attempt Attempt
	Refund  Key // the entry that gave the charge back; empty unless it was refunded
	Lines   []ReceiptLine
}

// ReceiptLine is one file in one attempt.
type ReceiptLine struct {
	Index   int
	Kind    LineKind
	Why     LineReason
	Credits Credits // what the file cost; 0 if free. A refunded line names what was given back.
}

// LineKind is what happened to the price of a file.
type LineKind string

const (
	LineCharged  LineKind = "charged"
	LineFree     LineKind = "free"
	LineRefunded LineKind = "refunded"
)

// LineReason is why.
type LineReason string

const (
	WhyInitiated      LineReason = "initiated"       // charged: the run was started with it
	WhyFailedBefore   LineReason = "failed_before"   // charged: its earlier work was done and failed
	WhyRefundedBefore LineReason = "refunded_before" // charged: its initiation was refunded, so nothing covers it
	WhyPaidBefore     LineReason = "paid_before"     // free: it was pending, so an earlier charge covers it
	WhyPriceZero      LineReason = "price_zero"      // free: the template cost nothing then
	WhyDispatchFailed LineReason = "dispatch_failed" // refunded: its jobs could not be enqueued
)

// NewReceipt explains a run by its attempts, given in order.
func NewReceipt(run Run, attempts []Attempt) Receipt {
	r := Receipt{
		Run:      run.ID,
		Total:    Split{run.CreditsFromMonthly, run.CreditsFromPurchased},
		Attempts: make([]AttemptReceipt, 0, len(attempts)),
	}
	for _, a := range attempts {
		part := AttemptReceipt{Attempt: a, Lines: make([]ReceiptLine, len(a.Files))}
		if a.Compensated() && !a.Charge.IsZero() {
			part.Refund = RefundKey(a.Run, a.Number)
		}
		for i, f := range a.Files {
			part.Lines[i] = lineFor(a, f)
		}
		r.Attempts = append(r.Attempts, part)
	}
	return r
}

func lineFor(a Attempt, f AttemptFile) ReceiptLine {
	line := ReceiptLine{Index: f.Index, Kind: LineFree}
	switch {
	case f.Charged && a.Compensated():
		line.Kind, line.Why, line.Credits = LineRefunded, WhyDispatchFailed, a.Price
	case f.Charged && a.Number == 0:
		line.Kind, line.Why, line.Credits = LineCharged, WhyInitiated, a.Price
	case f.Charged && f.Before.Failure.Code == FailureDispatchFailed:
		line.Kind, line.Why, line.Credits = LineCharged, WhyRefundedBefore, a.Price
	case f.Charged:
		line.Kind, line.Why, line.Credits = LineCharged, WhyFailedBefore, a.Price
	case f.Before.Status == FilePending:
		line.Why = WhyPaidBefore
	default:
		line.Why = WhyPriceZero
	}
	return line
}
