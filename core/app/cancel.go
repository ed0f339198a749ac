package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Cancel closes a running run INTERRUPTED (spec 6). Unfinished files are
// pending: paid for, and free to continue. Workers that still hold files are
// fenced. Refusals: core.CodeRunNotFound, CodeWrongTenant, CodeRoleNotAllowed,
// CodeRunNotRunning.
func (s *Service) Cancel(ctx context.Context, actor core.Actor, id core.RunID) (core.Run, error) {
	tenant, err := s.AuthorizeRun(ctx, actor, core.ActionCancel, id)
	if err != nil {
		return core.Run{}, err
	}
	key, did := idempotencyOf(ctx), true
	tell := key.Replayed
	key.Replayed = func() { // another request under the same key did it, and counted it
		did = false
		if tell != nil {
			tell()
		}
	}
	cancelled, err := once(WithIdempotency(ctx, key), s, deed{tenant: tenant, op: core.OperationCancel, request: id}, func(tx ports.Tx) (core.Run, error) {
		run, err := ports.LockRun(ctx, tx, id)
		if err != nil {
			return core.Run{}, notFound(err, runNotFound(id))
		}
		processing, err := tx.Files().InStatus(ctx, id, core.FileProcessing)
		if err != nil {
			return core.Run{}, err
		}
		plan, err := core.PlanCancel(run, processing, s.clock.Now())
		if err != nil {
			return core.Run{}, err
		}
		if err := tellClosed(ctx, tx, plan.Run); err != nil {
			return core.Run{}, err
		}
		if err := tx.Runs().Save(ctx, ports.RunRows{Run: plan.Run, Files: plan.Files}); err != nil {
			return core.Run{}, err
		}
		return plan.Run, s.audit(ctx, tx, tenant, actor, plan.Run.ClosedAt, core.AuditRunCancelled, string(id), nil)
	})
	if err == nil {
		s.toldSomething()
		if did {
			s.outcomes.closed(cancelled.Status, cancelled.Reason)
		}
	}
	return cancelled, err
}
