package app

import (
	"context"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// RetryRequest is what a caller may say about a Continue; the zero value says nothing.
type RetryRequest struct {
	// IdempotencyKey makes a repeat return the first answer, a refusal included, and
	// charge nothing; empty for none.
	IdempotencyKey core.Key
	// Attempt is the run's newest attempt when the caller looked at it. If there is
	// another by now, it is refused with core.CodeRunAlreadyRunning. nil: whichever it is.
	Attempt *core.AttemptNumber
	// MaxPrice is the highest price that the caller accepts; nil: whatever it costs.
	MaxPrice *core.Credits
}

func (r RetryRequest) fingerprint(id core.RunID) string {
	line := []byte(id)
	if r.Attempt != nil {
		line = strconv.AppendInt(append(line, " after attempt "...), int64(*r.Attempt), 10)
	}
	return string(appendMaxPrice(line, r.MaxPrice))
}

// RetryFailed is Continue (spec 3): it runs again what failed or was
// interrupted, and charges for what failed. Of any number of calls at the same
// moment one wins, the others are refused with core.CodeRunAlreadyRunning. It
// gives the run as it was answered.
//
// Refusals, in the order of the rules: core.CodeRunNotFound, CodeWrongTenant,
// CodeRoleNotAllowed, CodeRunAlreadyRunning, CodeNoErrorsToRetry,
// CodeNothingToRetry, CodeMaxRetryCountExceeded, CodePriceChanged, CodeTenantSuspended,
// CodeInsufficientCredits: nothing was changed. CodeEnqueueFailed wraps the queue's error: charge and changes were
// undone, or recovery will finish the dispatch.
func (s *Service) RetryFailed(ctx context.Context, actor core.Actor, id core.RunID, req RetryRequest) (core.Run, error) {
	tenant, err := s.AuthorizeRun(ctx, actor, core.ActionContinue, id)
	if err != nil {
		return core.Run{}, err
	}
	if err := checkOptionalKey(req.IdempotencyKey); err != nil {
		return core.Run{}, err
	}

	terms := core.RetryTerms{By: actor, Attempt: req.Attempt, MaxPrice: req.MaxPrice}
	decide := func(ctx context.Context, in inputs) (*verdict, error) {
		run, err := in.run(ctx, id)
		if err != nil {
			return nil, notFound(err, runNotFound(id))
		}
		memo := answerMemo{
			key: req.IdempotencyKey, tenant: tenant, op: core.OperationContinue,
			fingerprint: req.fingerprint(id), now: s.clock.Now(),
		}
		plan, replay, err := planRetry(ctx, in, run, terms, memo)
		switch {
		case err != nil:
			return memo.refuse(err)
		case replay.done:
			return &verdict{decision: replay}, nil
		}
		return memo.accept(ports.Start{Run: plan.Run, Files: plan.Files, Attempt: plan.Attempt, Charge: plan.Charge}, plan.Jobs), nil
	}
	return s.start(ctx, tenant, &start{run: id, terms: terms, key: req.IdempotencyKey, decide: decide})
}

// planRetry reads what a Continue is decided on, the tenant's credits under their lock. The
// caller holds the run's lock. There is no plan if an earlier answer is to be given.
func planRetry(ctx context.Context, in inputs, run core.Run, terms core.RetryTerms, memo answerMemo) (plan core.RetryPlan, replay decision, err error) {
	var given startInputs
	refusal := terms.Status(run)
	if refusal == nil {
		given, err = in.read(ctx, startReads{run: run.ID, template: run.Template, key: memo.key})
	} else { // the losers of a race are told so without reading files or waiting for credits
		given.answer, err = in.answer(ctx, memo.key)
	}
	if err != nil {
		return plan, replay, err
	}
	replay = memo.replay(given.answer)
	switch {
	case replay.done:
		return plan, replay, nil
	case refusal != nil:
		return plan, replay, refusal
	case given.template == nil:
		return plan, replay, templateNotFound(run.Template)
	}
	plan, err = core.PlanRetry(run, given.files, given.balance, *given.template, terms, given.now)
	return plan, replay, err
}

// Preview is what a Continue would do now: the plan, or the refusal.
type Preview struct {
	Plan    core.RetryPlan
	Balance core.Balance
	Refusal *core.Error // nil if a Continue would be accepted
}

// PreviewRetry answers what RetryFailed would do now and changes nothing (spec
// 8). Rules 2 to 7 come as Preview.Refusal; an unknown run, another tenant's, or
// a role that may not continue is an error, as it is there.
func (s *Service) PreviewRetry(ctx context.Context, actor core.Actor, id core.RunID) (Preview, error) {
	tenant, err := s.AuthorizeRun(ctx, actor, core.ActionContinue, id)
	if err != nil {
		return Preview{}, err
	}
	var p Preview
	err = s.store.View(ctx, tenant, func(tx ports.Tx) error {
		p = Preview{}
		run, err := tx.Runs().Get(ctx, id)
		if err != nil {
			return notFound(err, runNotFound(id))
		}
		now := s.clock.Now()
		if p.Balance, err = tx.Ledger().Balance(ctx, core.PeriodOf(now)); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		files, err := tx.Files().InStatus(ctx, id, core.FileFailed, core.FilePending)
		if err != nil {
			return err
		}
		template, err := tx.Templates().Get(ctx, run.Template) // soft-deleted or not
		if err != nil {
			return notFound(err, templateNotFound(run.Template))
		}
		p.Plan, err = core.PlanRetry(run, files, p.Balance, template, core.RetryTerms{By: actor}, now)
		if refusal, ok := asRefusal(err); ok {
			p.Refusal = refusal
			return nil
		}
		return err
	})
	return p, err
}

// RaiseMaxRetryCount lets a platform admin raise a closed run's maxRetryCount,
// which is the way out of core.CodeMaxRetryCountExceeded; the change is recorded.
func (s *Service) RaiseMaxRetryCount(ctx context.Context, actor core.Actor, id core.RunID, to int) (core.Run, error) {
	tenant, err := s.AuthorizeRun(ctx, actor, core.ActionRaiseMaxRetries, id)
	if err != nil {
		return core.Run{}, err
	}
	var raised core.Run
	err = s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		run, err := ports.LockRun(ctx, tx, id)
		if err != nil {
			return notFound(err, runNotFound(id))
		}
		var amendment core.Amendment
		if raised, amendment, err = core.RaiseMaxRetryCount(run, to, actor, s.clock.Now()); err != nil {
			return err
		}
		if err := tx.Runs().Save(ctx, ports.RunRows{Run: raised}); err != nil {
			return err
		}
		if err := tx.Amendments().Insert(ctx, amendment); err != nil {
			return err
		}
		return s.audit(ctx, tx, tenant, actor, amendment.At, core.AuditMaxRetriesRaised, string(id), core.AuditFacts{
			"from": strconv.Itoa(amendment.MaxRetryCountFrom), "to": strconv.Itoa(amendment.MaxRetryCountTo),
		})
	})
	if err != nil {
		return core.Run{}, err
	}
	return raised, nil
}
