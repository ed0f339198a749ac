package oracle

import (
	"slices"

	"github.com/redrive/redrive/core"
)

// Request is what a user asks for.
type Request struct {
	Use    Use
	Tenant core.TenantID
	Run    core.RunID // that it is about, if there is one already
	Key    core.Key
	// MaxPrice is the highest price that the user accepts; nil for any.
	MaxPrice *core.Credits
	Charge   core.Key        // that is given back by hand; empty if there is none
	Amount   core.Credits    // of a refund by hand; 0 for all that can be given back
	Template core.TemplateID // of an initiation
	Files    int             // of an initiation
}

// request is what is known of a user's request while it is under way.
type request struct {
	Request
	commits     int  // that there were when it was asked
	begun       int  // attempts that it began
	open        bool // it was not answered yet
	notEnqueued bool // the queue failed it
}

// Asked is told of every request, before it is made.
func (o *Oracle) Asked(actor uint8, q Request) {
	o.forgotten(actor)
	o.requests[actor] = request{Request: q, commits: o.commits, open: true}
}

// NotEnqueued is told that the queue failed an actor, or took less than it was given.
func (o *Oracle) NotEnqueued(actor uint8) { o.requests[actor].notEnqueued = true }

// begun counts the attempts that a request began.
func (o *Oracle) begun(c *Commit) {
	if len(c.Attempts) == 0 || c.Together != 0 || c.Use != UseInitiate && c.Use != UseContinue {
		return
	}
	q := &o.requests[c.Actor]
	if q.begun += len(c.Attempts); q.begun > 1 {
		o.fail(OneAttempt, "one request began %d attempts", q.begun)
	}
}

// bought checks that a purchase is posted once for each key that users give.
func (o *Oracle) bought(t *tenant, c *Commit) {
	if c.Use != UseGrant {
		return
	}
	key := o.requests[c.Actor].Key
	if slices.Contains(t.bought, key) {
		o.fail(GrantOnce, "the purchase under key %s was posted twice", key)
	}
	t.bought = append(t.bought, key)
}

// answeredTo compares an answer with what was asked.
func (o *Oracle) answeredTo(q *request, a *Answer, code core.Code) {
	dispatched := code == "" || code == core.CodeEnqueueFailed
	switch {
	case q.Use == UseContinue && dispatched && a.Run.ID != q.Run:
		o.fail(Idempotency, "run %s was to be continued, and run %q was answered", q.Run, a.Run.ID)
	case (q.Use == UseContinue || q.Use == UseInitiate) && code == "":
		r := o.run(a.Run.ID)
		if r == nil || int(a.Run.Attempt) >= len(r.known) {
			return // answeredContinue says so
		}
		if n := a.Run.Attempt; r.model.Attempts[n].Compensated && r.known[n].undone <= q.commits {
			o.fail(Idempotency, "a repeat was answered with the success of attempt %d of run %s, which had been undone", a.Run.Attempt, a.Run.ID)
		}
	case q.Use == UseRefund && code == "" && q.Charge != "":
		if t := o.tenant(q.Tenant); !slices.Contains(t.refunded, q.Key) {
			o.fail(Idempotency, "the refund by hand under key %s was answered, and never posted", q.Key)
		}
	case q.Use == UseInitiate && a.Key == "" && code == core.CodePriceChanged:
		o.priceChanged(q, a)
	case q.Use == UseContinue && a.Key == "" && !dispatched:
		o.reasoned(q, a, code)
	}
}

// reasoned checks the reason of a refused Continue, if nothing has changed since it
// was asked: then it was decided on what there is now.
func (o *Oracle) reasoned(q *request, a *Answer, code core.Code) {
	switch code {
	case core.CodeRunAlreadyRunning, core.CodeNoErrorsToRetry, core.CodeNothingToRetry, core.CodeMaxRetryCountExceeded, core.CodePriceChanged, core.CodeInsufficientCredits, core.CodeTenantSuspended:
	case core.CodeWrongTenant:
		return // that the request is in another's name is known
	default:
		o.fail(Explained, "a Continue of run %s was refused with %s, which chapter 3 does not have", q.Run, code)
		return
	}
	r, t := o.run(q.Run), o.tenant(q.Tenant)
	period := core.PeriodOf(a.SeenMin)
	if r == nil || t == nil || r.changed > q.commits || t.changed > q.commits || period != core.PeriodOf(a.SeenMax) {
		return // a clock that jumped over the end of a month decides for either
	}
	quote := r.model.Quote(t.template(r.row.Template).price())
	if code == core.CodePriceChanged && a.Price != quote.Total {
		o.fail(Explained, "a Continue of run %s was refused because it costs %d, by the model it costs %d", q.Run, a.Price, quote.Total)
	}
	want := r.model.Refusal(&quote, t.account.Available(period), q.MaxPrice)
	if t.suspended && (want == "" || want == core.CodeInsufficientCredits) {
		want = core.CodeTenantSuspended
	}
	if want != code {
		o.fail(Explained, "a Continue of run %s was refused with %s, by the model it is %q", q.Run, code, want)
	}
}
