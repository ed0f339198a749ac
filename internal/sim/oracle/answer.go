package oracle

import (
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
	"github.com/redrive/redrive/ports"
)

// Answer is what a user got for one request.
type Answer struct {
	Use     Use
	Tenant  core.TenantID
	Run     core.Run // as it was answered
	Key     core.Key
	Err     error
	Actor   uint8
	Effects int       // of the actor, when it asked
	SeenMin time.Time // what its clock said in the transaction that it was last in
	SeenMax time.Time
	Failed  bool         // something that the actor called was made to fail
	Price   core.Credits // that a refusal names
}

// Answered is told of every answer that a user gets. It gives the refusal's code,
// empty for a success; definite is false if the answer leaves open what happened.
func (o *Oracle) Answered(a Answer) (code core.Code, definite bool) {
	o.requests[a.Actor].open = false
	refusal, refused := errors.AsType[*core.Error](a.Err)
	if a.Err != nil && !refused {
		if !a.Failed {
			o.fail(Explained, "an error was answered, although nothing was made to fail: %v", a.Err)
		}
		if q := &o.requests[a.Actor]; q.notEnqueued && (a.Use == UseInitiate || a.Use == UseContinue) {
			o.fail(Explained, "the queue failed, and another error was answered: %v", a.Err)
		}
		if !errors.Is(a.Err, ports.ErrCommitUnknown) {
			o.failed(&a)
		}
		o.forgotten(a.Actor)
		return "", false // a fault
	}
	if refusal != nil {
		code = refusal.Code
		a.Price = refusal.Price
	}
	if refusal != nil && code != core.CodeEnqueueFailed && o.effects[a.Actor] != a.Effects {
		o.fail(Refusal, "%s was answered, but something was changed", code)
	}
	switch {
	case code != "" && code != core.CodeEnqueueFailed:
		o.refused(a.Actor, code)
	case code == core.CodeEnqueueFailed: // with the run as it is by then
		o.forgotten(a.Actor)
	case a.Use == UseInitiate || a.Use == UseContinue:
		o.owned(&a)
	}
	if a.Key != "" && code != core.CodeIdempotencyKeyReused && code != core.CodeWrongTenant {
		o.repeated(a, code)
	}
	o.answeredTo(&o.requests[a.Actor], &a, code)
	switch code {
	case core.CodeIdempotencyKeyReused:
		o.met(KeyReused)
	case core.CodeWrongTenant:
		o.met(RefusedForeigner)
	case core.CodePriceChanged:
		o.met(PriceChanged)
	case core.CodeTenantSuspended:
		o.met(RefusedSuspended)
	default:
	}
	if a.Use == UseContinue {
		o.answeredContinue(a, code)
	}
	return code, true
}

func (o *Oracle) answeredContinue(a Answer, code core.Code) {
	switch code {
	case "":
		r := o.run(a.Run.ID)
		if r == nil || int(a.Run.Attempt) >= len(r.known) {
			o.fail(I9, "a Continue succeeded with attempt %d of run %s, which there is not", a.Run.Attempt, a.Run.ID)
			return
		}
		if a.Key != "" {
			return
		}
		if at := &r.known[a.Run.Attempt]; at.won {
			o.fail(I9, "two Continues succeeded with attempt %d of run %s", a.Run.Attempt, a.Run.ID)
		} else {
			at.won = true
		}
	case core.CodeRunAlreadyRunning:
		o.met(ContinueLost)
	case core.CodeInsufficientCredits:
		o.met(ContinueInsufficient)
	case core.CodeMaxRetryCountExceeded:
		o.met(ContinueMaxed)
	default:
	}
}

// repeated compares with the first definite answer under the key.
func (o *Oracle) repeated(a Answer, code core.Code) {
	t := o.tenant(a.Tenant)
	if t == nil {
		return
	}
	now := model.Answer{Key: a.Key, Code: code, Run: a.Run.ID, Attempt: a.Run.Attempt}
	first := t.answers.Get(a.Key)
	switch {
	case first == nil:
		t.answers.Put(now)
		return
	case first.Code == "" || first.Code == core.CodeEnqueueFailed:
		o.met(ReplayedSuccess)
	default:
		o.met(ReplayedRefusal)
	}
	if !first.Repeats(&now) {
		o.fail(Idempotency, "key %s gave %q, attempt %d of run %s, and then %q, attempt %d of run %s", a.Key, first.Code, first.Attempt, first.Run, now.Code, now.Attempt, now.Run)
	}
}
