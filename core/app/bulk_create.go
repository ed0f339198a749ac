package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CreateBulk makes a bulk continue of the runs that are there now. It is driven by the
// servers (BulkDriver). A repeat under the same key gives the first one, replayed, also long
// after: nothing is made twice. A refusal stays the answer under its key, as that of a
// Continue does.
//
// Refusals: core.CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest, CodeRunNotFound
// of a run that is named, CodeBulkEmpty, CodeBulkTooLarge, CodeBulkTooManyNow,
// CodePriceChanged if the sum is above Terms.MaxPrice now, CodeIdempotencyKeyReused,
// CodeIdempotencyInProgress, CodeBulkNotFound if what was made under the key is not here any
// more.
func (s *Service) CreateBulk(ctx context.Context, actor core.Actor, req BulkRequest) (_ BulkView, again bool, err error) {
	if err := s.checkBulk(actor, req); err != nil {
		return BulkView{}, false, err
	}
	told := idempotencyOf(ctx)
	ctx = WithIdempotency(ctx, Idempotency{Key: req.IdempotencyKey, Kept: told.Kept, Replayed: func() {
		again = true
		if told.Replayed != nil {
			told.Replayed()
		}
	}})
	d := bulkDeed{s: s, deed: deed{tenant: req.Tenant, op: core.OperationBulkContinue, request: req.fingerprint(), spends: true}, actor: actor, asked: req}
	first, err := d.first(ctx) // it saves the work of what follows
	if err != nil {
		return BulkView{}, false, err
	}
	if first != nil {
		v, err := d.replay(ctx, *first)
		return v, again, err
	}
	leave, err := s.selecting(req.Tenant) // that it is busy is no answer to be remembered
	if err != nil {
		return BulkView{}, false, err
	}
	defer leave()
	plan, err := s.planBulk(ctx, actor, req)
	refusal, refused := asRefusal(err)
	if err != nil && !refused {
		return BulkView{}, false, err
	}
	made, err := d.make(ctx, &plan, refusal)
	if errors.Is(err, ports.ErrCommitUnknown) && plan.ID != "" {
		if _, found := s.store.BulkContinues().Get(detached(ctx), plan.ID); found == nil {
			made, err = bulkMade{Bulk: plan.ID}, nil
		}
	}
	if err != nil {
		return BulkView{}, again, err
	}
	if made.Bulk != plan.ID { // another request under the key was faster
		v, err := s.bulkMadeBefore(ctx, made)
		return v, again, err
	}
	s.log.Info("bulk continue made", "bulk", plan.ID, "tenant", req.Tenant, "runs", plan.Runs, "by", actor.Subject)
	s.signalBulk()
	v, err := s.bulkView(ctx, plan.Bulk)
	return v, false, err
}

// bulkPlan is a bulk continue that may be made, and the runs of its parts.
type bulkPlan struct {
	core.Bulk

	chosen []runsOf
	prices []core.Credits // of each of them
}

// planBulk decides a request.
func (s *Service) planBulk(ctx context.Context, actor core.Actor, req BulkRequest) (bulkPlan, error) {
	if err := s.checkUnended(ctx, req.Tenant); err != nil {
		return bulkPlan{}, err
	}
	chosen, err := s.selectRuns(ctx, actor, req)
	if err != nil {
		return bulkPlan{}, err
	}
	preview, err := s.previewRuns(ctx, chosen)
	if err != nil {
		return bulkPlan{}, err
	}
	if most := req.Terms.MaxPrice; most != nil && preview.Price > *most {
		return bulkPlan{}, &core.Error{
			Code: core.CodePriceChanged, Price: preview.Price,
			Message: fmt.Sprintf("the sum is %d credits now and at most %d were accepted, so nothing was made or charged; request it again with the new price", preview.Price, *most),
		}
	}
	if err := s.makePlaceForBulk(ctx, req.Tenant); err != nil {
		return bulkPlan{}, err
	}
	id, err := newID[core.BulkID](s.ids)
	if err != nil {
		return bulkPlan{}, err
	}
	prices := make([]core.Credits, len(chosen))
	for n := range prices {
		prices[n] = preview.Tenants[n].Price
	}
	return bulkPlan{chosen: chosen, prices: prices, Bulk: req.bulk(id, actor, preview.Runs, preview.Price, s.clock.Now())}, nil
}

// insertBulkPart writes what a bulk continue has of a tenant, and that it was made.
func (s *Service) insertBulkPart(ctx context.Context, tx ports.Tx, plan *bulkPlan, n int) error {
	of := plan.chosen[n]
	part, runs := of.part(plan.Bulk)
	if err := tx.BulkParts().Insert(ctx, part, runs); err != nil {
		return err
	}
	return s.audit(ctx, tx, of.tenant, plan.By, plan.CreatedAt, core.AuditBulkCreated, string(plan.ID), core.AuditFacts{
		"runs": strconv.Itoa(len(runs)), "expectedPrice": creditsText(plan.prices[n]), "maxPrice": limitText(plan.Terms.MaxPrice),
	})
}

// insertBulkParts writes the parts of one over several tenants before the bulk continue
// itself: what has none yet is driven by nobody, and swept if this process dies here. It adds
// up what is left of the plan, and gives whose parts were written.
func (s *Service) insertBulkParts(ctx context.Context, plan *bulkPlan) (written []core.TenantID, err error) {
	plan.Runs, plan.Expected = 0, 0
	for n, of := range plan.chosen {
		err := s.store.InTx(ctx, of.tenant, func(tx ports.Tx) error { return s.insertBulkPart(ctx, tx, plan, n) })
		if errors.Is(err, ports.ErrMoved) && plan.Selection.Named == 0 {
			continue // it was closed since the tenants were listed
		}
		written = append(written, of.tenant) // also if it is not known
		if err != nil {
			return written, notFound(err, tenantNotFound(of.tenant))
		}
		plan.Runs += len(of.runs)
		if plan.Expected, err = plan.Expected.Plus(plan.prices[n]); err != nil {
			return written, err
		}
	}
	if plan.Runs == 0 {
		return nil, bulkEmpty()
	}
	return written, nil
}

// undoBulkParts removes what was written of a bulk continue that was not made.
func (s *Service) undoBulkParts(ctx context.Context, id core.BulkID, tenants []core.TenantID) {
	if err := s.removeBulkParts(detached(ctx), id, tenants); err != nil {
		s.log.Warn("parts of a bulk continue that was not made stay until they are swept", "bulk", id, "error", err)
	}
}

// removeBulkParts removes a bulk continue's parts with those tenants that live here.
func (s *Service) removeBulkParts(ctx context.Context, id core.BulkID, tenants []core.TenantID) error {
	var errs []error
	for _, tenant := range tenants {
		err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error { return tx.BulkParts().Delete(ctx, id) })
		if err != nil && !errors.Is(err, ports.ErrMoved) {
			errs = append(errs, fmt.Errorf("remove a part of bulk continue %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) checkBulk(actor core.Actor, req BulkRequest) error {
	if err := authorizeBulk(actor, core.ActionContinue, req.Tenant); err != nil {
		return err
	}
	if err := checkOptionalKey(req.IdempotencyKey); err != nil {
		return err
	}
	return core.Invalid(append(req.check(), core.CheckBulkTerms(req.Terms)...)...)
}

// checkUnended bounds how many there are at once. Of requests at the same moment a few more
// may get through.
func (s *Service) checkUnended(ctx context.Context, tenant core.TenantID) error {
	list, err := s.store.BulkContinues().List(ctx, ports.BulkFilter{Tenant: tenant, Unended: true, Limit: 500})
	if err != nil {
		return err
	}
	n := 0
	for _, b := range list {
		if b.Tenant == tenant {
			n++
		}
	}
	if n < core.MaxBulkUnended {
		return nil
	}
	return &core.Error{Code: core.CodeBulkTooManyNow, Message: fmt.Sprintf("%d bulk continues have not ended; wait for them, or abort some", n)}
}
