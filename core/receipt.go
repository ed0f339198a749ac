package core

// Receipt says for each attempt of a run, and each file in it, why the file was charged,
// was free or was refunded, and in which ledger entries.
type Receipt struct {
	Run   RunID
	Total Split // the cost of the run: its charges less its refunds
	// TemplateVersion is the version of the instructions that every attempt worked with.
	TemplateVersion int
	Attempts        []AttemptReceipt
	// Amendments are the changes of maxRetryCount.
	Amendments []Amendment
}

// AttemptReceipt is one attempt's part of a receipt.
type AttemptReceipt struct {
	Attempt Attempt
	Refund  Key // the entry that gave the charge back; empty unless it was refunded
	Lines   []ReceiptLine
	// ByHand are the refunds of a platform admin's, of the whole charge or parts of it. They
	// change no line: a line says what happened to a file.
	ByHand []Entry
}

// ReceiptLine is one file in one attempt.
type ReceiptLine struct {
	Index   int
	Kind    LineKind
	Why     LineReason
	Credits Credits // the cost of the file; 0 if free. For a refunded line the amount that was given back.
	// Interrupted is the fault of ours that ended the attempt's work on the file, which
	// is free to continue because of it; zero if there was none.
	Interrupted Failure
}

// LineKind is what happened to the price of a file.
type LineKind string

const (
	LineCharged  LineKind = "charged"
	LineFree     LineKind = "free"
	LineRefunded LineKind = "refunded"
)

// LineReason is the reason for a line's kind.
type LineReason string

const (
	WhyInitiated      LineReason = "initiated"       // charged: the run was started with it
	WhyFailedBefore   LineReason = "failed_before"   // charged: its earlier work was done and failed
	WhyRefundedBefore LineReason = "refunded_before" // charged: its initiation was refunded, so nothing covers it
	WhyPaidBefore     LineReason = "paid_before"     // free: it was pending, so an earlier charge covers it
	WhyInterrupted    LineReason = "interrupted"     // free: a fault of ours had interrupted its work
	WhyPriceZero      LineReason = "price_zero"      // free: the template cost nothing then
	WhyDispatchFailed LineReason = "dispatch_failed" // refunded: its jobs could not be enqueued
)

// NewReceipt explains a run by its attempts, given in order. pending are the run's
// files in that status.
func NewReceipt(run Run, attempts []Attempt, pending []File) Receipt {
	r := Receipt{
		Run:             run.ID,
		Total:           Split{run.CreditsFromMonthly, run.CreditsFromPurchased},
		TemplateVersion: run.TemplateVersion,
		Attempts:        make([]AttemptReceipt, len(attempts)),
	}
	// The fault that interrupted a file is recorded in the file's state before the next
	// attempt; for the last attempt it is in the file itself. So the loop goes backwards.
	ended := map[int]Failure{}
	for _, f := range pending {
		if why := interruptedBy(f.Failure, run.Status, run.Reason, run.Failure); why.Code != "" {
			ended[f.Index] = why
		}
	}
	for n := len(attempts) - 1; n >= 0; n-- {
		a := attempts[n]
		part := AttemptReceipt{Attempt: a, Lines: make([]ReceiptLine, len(a.Files))}
		if a.Compensated() && !a.Charge.IsZero() {
			part.Refund = RefundKey(a.Run, a.Number)
		}
		for i, f := range a.Files {
			part.Lines[i] = lineFor(a, f)
			if !a.Compensated() {
				part.Lines[i].Interrupted = ended[f.Index]
				delete(ended, f.Index)
			}
			if why := interruptedBefore(a, f); why.Code != "" {
				ended[f.Index] = why
			}
		}
		r.Attempts[n] = part
	}
	return r
}

// interruptedBy is the fault of ours because of which a file is pending: its own, or the
// one that closed the whole run.
func interruptedBy(own Failure, status RunStatus, reason CloseReason, ofRun Failure) Failure {
	if own.Code != "" || status != RunInterrupted || reason != ReasonServiceFault {
		return own
	}
	return ofRun
}

func interruptedBefore(a Attempt, f AttemptFile) Failure {
	if f.Before.Status != FilePending {
		return Failure{}
	}
	return interruptedBy(f.Before.Failure, a.Before.Status, a.Before.Reason, a.Before.Failure)
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
	case interruptedBefore(a, f).Code != "":
		line.Why = WhyInterrupted
	case f.Before.Status == FilePending:
		line.Why = WhyPaidBefore
	default:
		line.Why = WhyPriceZero
	}
	return line
}
