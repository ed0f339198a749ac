package core

import (
	"fmt"
	"maps"
	"time"
)

// BulkID names a bulk continue. It is unique over all tenants.
type BulkID string

// Bounds of a bulk continue.
const (
	// MaxBulkRuns is the most runs of one bulk continue.
	MaxBulkRuns = 10_000
	// MaxBulkNamedRuns is the most runs that a request may name one by one.
	MaxBulkNamedRuns = 1_000
	// MaxBulkUnended is the most bulk continues of one tenant that have not ended, and of
	// those over several tenants.
	MaxBulkUnended = 20
	// MaxBulksKept is the most bulk continues of one tenant that are kept: with another
	// one the oldest of those that have ended goes.
	MaxBulksKept = 200
	// MaxBulkRunsPerMinute is the highest speed limit.
	MaxBulkRunsPerMinute = 6_000
	// MaxBulkChanges is how many of the latest keyed changes are known again.
	MaxBulkChanges = 20
	// BulkDispatchFaults is after how many dispatches in a row that failed it pauses.
	BulkDispatchFaults = 5
)

// BulkStatus is the status of a bulk continue.
type BulkStatus string

const (
	BulkRunning  BulkStatus = "running"
	BulkPaused   BulkStatus = "paused" // BulkReason says why
	BulkFinished BulkStatus = "finished"
	BulkAborted  BulkStatus = "aborted"
)

// Valid reports whether the status is one of the four.
func (s BulkStatus) Valid() bool {
	return s == BulkRunning || s == BulkPaused || s.Ended()
}

// Ended reports whether nothing more will come of it.
func (s BulkStatus) Ended() bool { return s == BulkFinished || s == BulkAborted }

// BulkReason says why a bulk continue is paused.
type BulkReason string

const (
	BulkReasonNone           BulkReason = ""
	BulkReasonUser           BulkReason = "user"
	BulkReasonCanaryFailed   BulkReason = "canary_failed"
	BulkReasonFailures       BulkReason = "too_many_failures"
	BulkReasonMaxPrice       BulkReason = "max_price"       // the next run costs more than is left of it
	BulkReasonDispatchFailed BulkReason = "dispatch_failed" // the queue takes no work
	BulkReasonTenantMoved    BulkReason = "tenant_moved"
	BulkReasonInternal       BulkReason = "internal"    // a run could not be continued, nobody knows why, nor be left out
	BulkReasonNotAllowed     BulkReason = "not_allowed" // an API key that made it, or let it go on, was revoked, or has expired
)

// Bulk is a bulk continue: many runs that are continued one after the other, each by the
// rules of a Continue of its own. Which runs is fixed when it is made; they are rows of
// their tenants (BulkPart, BulkRun).
type Bulk struct {
	ID          BulkID
	Tenant      TenantID // empty if it is over several tenants, which only a platform admin makes
	Key         Key      // the caller's idempotency key; empty for none
	Fingerprint string   // of the request under the key
	By          Actor    // as whom the runs are continued
	CreatedAt   time.Time
	Selection   BulkSelection
	Terms       BulkTerms
	Runs        int     // how many it has
	Expected    Credits // the price that the preview showed when it was made

	Status    BulkStatus
	Reason    BulkReason
	ChangedBy Actor // of the last change of the status, or of the limit of the sum
	ChangedAt time.Time
	// CanaryPassed says that the rest may go on.
	CanaryPassed bool
	// Before are the failures that a resume has accepted: the threshold counts later ones.
	Before BulkFailures
	// Faults counts the dispatches that failed in a row.
	Faults int
	// Changes are the latest that callers made under idempotency keys, the oldest first.
	Changes []BulkChange
	// Moved are those of several tenants that were moved to another database while it went
	// on, ascending. Their parts are done: see Sum.
	Moved []TenantID

	// Of the server that drives it. Fence grows with each that takes it over: what an
	// earlier one still does after that is refused by the parts.
	Holder     string
	LeaseUntil time.Time
	Fence      int64
	// Version is the store's: a Save holds only if nobody else saved meanwhile.
	Version int64
}

// BulkChange is a pause, a resume or an abort under a caller's idempotency key.
type BulkChange struct {
	Key   Key
	Asked string // what was asked for, to tell it from another request under the key
}

// BulkSelection is which runs were asked for. A zero field leaves nothing out.
type BulkSelection struct {
	Named       int // so many runs were named one by one, and nothing else was asked
	Template    TemplateID
	Statuses    []RunStatus
	CreatedFrom time.Time
	CreatedTo   time.Time
	FailureCode string
}

// BulkTerms are the caller's terms.
type BulkTerms struct {
	MaxPrice      *Credits    // for the sum of all runs; nil: any
	RunsPerMinute int         // 0: no limit
	Canary        *BulkCanary // nil: none
	Stop          *BulkStop   // nil: never
}

// BulkCanary lets the first runs close before the others are continued.
type BulkCanary struct {
	Runs             int // 1 or more
	MaxFailedPercent int // of the files that were continued, 0 to 100
}

// BulkStop pauses it when more than so many percent of the files that were continued
// failed again, once MinFiles of them are known.
type BulkStop struct {
	MaxFailedPercent int
	MinFiles         int
}

// BulkFailures counts the files of continued runs that have closed.
type BulkFailures struct {
	Closed int
	Failed int // failed, error, or interrupted
}

func (f BulkFailures) above(percent int) bool { return f.Failed*100 > f.Closed*percent }

// CheckBulkTerms names the fields that are not valid.
func CheckBulkTerms(t BulkTerms) []FieldError {
	var wrong []FieldError
	if t.MaxPrice != nil && *t.MaxPrice < 0 {
		wrong = append(wrong, FieldError{"maxPrice", "must be 0 or more credits"})
	}
	if t.RunsPerMinute < 0 || t.RunsPerMinute > MaxBulkRunsPerMinute {
		wrong = append(wrong, FieldError{"runsPerMinute", fmt.Sprintf("must be 1 to %d, or left out for no limit", MaxBulkRunsPerMinute)})
	}
	percent := func(field string, p int) {
		if p < 0 || p > 100 {
			wrong = append(wrong, FieldError{field, "must be 0 to 100"})
		}
	}
	if c := t.Canary; c != nil {
		if c.Runs < 1 || c.Runs > MaxBulkRuns {
			wrong = append(wrong, FieldError{"canary.runs", fmt.Sprintf("must be 1 to %d", MaxBulkRuns)})
		}
		percent("canary.maxFailedPercent", c.MaxFailedPercent)
	}
	if s := t.Stop; s != nil {
		if s.MinFiles < 1 {
			wrong = append(wrong, FieldError{"stop.minFiles", "must be 1 or more"})
		}
		percent("stop.maxFailedPercent", s.MaxFailedPercent)
	}
	return wrong
}

// BulkPart is what a bulk continue has of one tenant.
type BulkPart struct {
	Tenant    TenantID
	Bulk      BulkID
	CreatedAt time.Time
	Fence     int64 // of the server that may continue runs of it; see Bulk.Fence
	LastAt    time.Time
	Totals    BulkTotals
}

// BulkTotals are how far a bulk continue is.
type BulkTotals struct {
	Waiting   int
	Continued int
	Refused   int
	Open      int // of Continued: those that have not closed yet
	Files     int // of the continued runs
	Free      int // of Files
	Price     Credits
	Failures  BulkFailures
	RefusedBy map[Code]int // adds up to Refused

	// Of tenants that cannot be asked at present; no store keeps these.
	Unknown int // runs of which nothing more is known
	Away    int // of Waiting: as it was seen last
}

// Runs is how many runs they are about.
func (t BulkTotals) Runs() int { return t.Waiting + t.Continued + t.Refused + t.Unknown }

// Plus adds. It fails with CodeCreditsOutOfRange if the price overflows.
func (t BulkTotals) Plus(u BulkTotals) (BulkTotals, error) {
	price, err := t.Price.Plus(u.Price)
	if err != nil {
		return BulkTotals{}, err
	}
	sum := BulkTotals{
		Waiting: t.Waiting + u.Waiting, Continued: t.Continued + u.Continued, Refused: t.Refused + u.Refused, Open: t.Open + u.Open,
		Files: t.Files + u.Files, Free: t.Free + u.Free, Price: price,
		Failures: BulkFailures{t.Failures.Closed + u.Failures.Closed, t.Failures.Failed + u.Failures.Failed},
		Unknown:  t.Unknown + u.Unknown, Away: t.Away + u.Away,
	}
	for _, by := range []map[Code]int{t.RefusedBy, u.RefusedBy} {
		for code, n := range by {
			sum.refusedBy(code, n)
		}
	}
	return sum, nil
}

func (t *BulkTotals) refusedBy(code Code, n int) {
	by := maps.Clone(t.RefusedBy) // the caller's is not changed
	if by == nil {
		by = map[Code]int{}
	}
	by[code] += n
	t.RefusedBy = by
}

// BulkRunState is what became of a run in a bulk continue.
type BulkRunState string

const (
	BulkRunWaiting   BulkRunState = "waiting"
	BulkRunContinued BulkRunState = "continued"
	BulkRunRefused   BulkRunState = "refused"
)

// BulkRun is a run of a bulk continue, and the record of what became of it.
type BulkRun struct {
	Place int // among the runs of its part, from 0: the order in which they are continued
	Run   RunID
	State BulkRunState
	At    time.Time // when it was decided

	Code    Code // refused: why
	Message string

	Attempt      AttemptNumber // continued: which attempt that is
	Price        Credits
	Files        int
	Free         int
	ErrorsBefore int  // files of the run that had a permanent error already
	Open         bool // it has not closed since

	ClosedAt    time.Time
	Status      RunStatus // as which the attempt closed; empty if another Continue came first
	FailedFiles int
}

// NewBulkPart gives a part whose runs all wait.
func NewBulkPart(tenant TenantID, id BulkID, runs int, now time.Time) BulkPart {
	return BulkPart{Tenant: tenant, Bulk: id, CreatedAt: now, Totals: BulkTotals{Waiting: runs}}
}

// Continued records that the run was continued by the plan.
func (p BulkPart) Continued(r BulkRun, plan RetryPlan, now time.Time) (BulkPart, BulkRun, error) {
	if r.State != BulkRunWaiting {
		return p, r, fmt.Errorf("run %s of bulk continue %s is %s already", r.Run, p.Bulk, r.State)
	}
	price, err := p.Totals.Price.Plus(plan.Price())
	if err != nil {
		return p, r, err
	}
	r.State, r.At, r.Open = BulkRunContinued, now, true
	r.Attempt, r.Price, r.Files, r.Free = plan.Attempt.Number, plan.Price(), len(plan.Files), plan.Free
	r.ErrorsBefore = plan.Run.Tally.Error
	p.LastAt = now
	p.Totals.Price = price
	p.Totals.Waiting--
	p.Totals.Continued++
	p.Totals.Open++
	p.Totals.Files += r.Files
	p.Totals.Free += r.Free
	return p, r, nil
}

// Refuse records that the run was refused, and why.
func (p BulkPart) Refuse(r BulkRun, why *Error, now time.Time) (BulkPart, BulkRun, error) {
	if r.State != BulkRunWaiting {
		return p, r, fmt.Errorf("run %s of bulk continue %s is %s already", r.Run, p.Bulk, r.State)
	}
	r.State, r.At, r.Code, r.Message = BulkRunRefused, now, why.Code, why.Message
	p.Totals.Waiting--
	p.Totals.Refused++
	p.Totals.refusedBy(why.Code, 1)
	return p, r, nil
}

// Undone takes back that the run was continued, because that attempt was compensated: it
// waits again. changed is false if it was not continued by that attempt.
func (p BulkPart) Undone(r BulkRun, n AttemptNumber) (_ BulkPart, _ BulkRun, changed bool, err error) {
	if r.State != BulkRunContinued || r.Attempt != n || !r.Open {
		return p, r, false, nil
	}
	if p.Totals.Price, err = p.Totals.Price.Minus(r.Price); err != nil {
		return p, r, false, err
	}
	p.Totals.Waiting++
	p.Totals.Continued--
	p.Totals.Open--
	p.Totals.Files -= r.Files
	p.Totals.Free -= r.Free
	return p, BulkRun{Place: r.Place, Run: r.Run, State: BulkRunWaiting}, true, nil
}

// Closed records how the attempt of a continued run ended. next are the files that a later
// Continue took up, if there was one; run is then not as the attempt left it. changed is
// false while the attempt is under way.
func (p BulkPart) Closed(r BulkRun, run Run, next *Attempt, now time.Time) (_ BulkPart, _ BulkRun, changed bool) {
	if r.State != BulkRunContinued || !r.Open {
		return p, r, false
	}
	switch {
	case run.Attempt > r.Attempt && next != nil:
		r.Status, r.FailedFiles = next.Before.Status, len(next.Files)
	case run.Attempt > r.Attempt:
		return p, r, false
	case run.Status.Closed():
		r.Status, r.FailedFiles = run.Status, run.Tally.Failed+run.Tally.Unfinished+run.Tally.Error-r.ErrorsBefore
	default:
		return p, r, false
	}
	r.FailedFiles = max(0, min(r.FailedFiles, r.Files))
	r.Open, r.ClosedAt = false, now
	p.Totals.Open--
	p.Totals.Failures.Closed += r.Files
	p.Totals.Failures.Failed += r.FailedFiles
	return p, r, true
}

// BulkDo is what is to be done next of a bulk continue.
type BulkDo int

const (
	BulkDoNothing  BulkDo = iota // it is paused or has ended
	BulkDoContinue               // the next run that waits, for at most BulkStep.MaxPrice
	BulkDoWait                   // until BulkStep.At
	BulkDoWatch                  // until a run that was continued closes, or tenants can be asked again
	BulkDoPass                   // the canary passed: Bulk.PassCanary
	BulkDoPause                  // Bulk.Stop for BulkStep.Reason
	BulkDoFinish                 // Bulk.Finish
)

// BulkStep is the next step of a bulk continue.
type BulkStep struct {
	Do       BulkDo
	MaxPrice *Credits
	At       time.Time
	Reason   BulkReason
}

// limitsSum reports whether what may be continued depends on what became of all of its runs.
func (b Bulk) limitsSum() bool {
	return b.Terms.MaxPrice != nil || b.Terms.Stop != nil || b.Terms.Canary != nil && !b.CanaryPassed
}

// Next decides what is to be done next. t are the totals of all parts, last is when a run
// of any of them was continued last. Runs of tenants that cannot be asked are waited for, and
// the others go on; but if nothing is known of some, and a limit is set to the sum, all wait,
// since those may have used it up.
func (b Bulk) Next(t BulkTotals, last, now time.Time) BulkStep {
	if b.Status != BulkRunning {
		return BulkStep{Do: BulkDoNothing}
	}
	if t.Unknown > 0 && b.limitsSum() {
		return BulkStep{Do: BulkDoWatch}
	}
	if s := b.Terms.Stop; s != nil {
		since := BulkFailures{t.Failures.Closed - b.Before.Closed, t.Failures.Failed - b.Before.Failed}
		if since.Closed >= s.MinFiles && since.above(s.MaxFailedPercent) {
			return BulkStep{Do: BulkDoPause, Reason: BulkReasonFailures}
		}
	}
	switch {
	case t.Waiting == 0 && t.Open == 0 && t.Unknown == 0:
		return BulkStep{Do: BulkDoFinish}
	case t.Waiting == t.Away: // none waits that could be continued now
		return BulkStep{Do: BulkDoWatch}
	}
	if c := b.Terms.Canary; c != nil && !b.CanaryPassed && t.Continued >= c.Runs {
		switch {
		case t.Open > 0:
			return BulkStep{Do: BulkDoWatch}
		case t.Failures.above(c.MaxFailedPercent):
			return BulkStep{Do: BulkDoPause, Reason: BulkReasonCanaryFailed}
		}
		return BulkStep{Do: BulkDoPass}
	}
	if n := b.Terms.RunsPerMinute; n > 0 {
		// A time to come was written by a clock that was ahead: it may be hours.
		if at := last.Add(time.Minute / time.Duration(n)); at.After(now) && !last.After(now.Add(time.Minute)) {
			return BulkStep{Do: BulkDoWait, At: at}
		}
	}
	step := BulkStep{Do: BulkDoContinue}
	if b.Terms.MaxPrice != nil {
		left := max(0, *b.Terms.MaxPrice-t.Price)
		step.MaxPrice = &left
	}
	return step
}
