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
// servers (BulkDriver). A repeat under the same key gives the first one, replayed.
//
// Refusals: core.CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest, CodeRunNotFound
// of a run that is named, CodeBulkEmpty, CodeBulkTooLarge, CodeBulkTooManyNow,
// CodePriceChanged if the sum is above Terms.MaxPrice now, CodeIdempotencyKeyReused.
func (s *Service) CreateBulk(ctx context.Context, actor core.Actor, req BulkRequest) (_ BulkView, replayed bool, err error) {
	if err := s.checkBulk(actor, req); err != nil {
		return BulkView{}, false, err
	}
	if first, err := s.replayBulk(ctx, req); err != nil || first != nil {
		if err != nil {
			return BulkView{}, false, err
		}
		v, err := s.bulkView(ctx, *first)
		return v, true, err
	}
	leave, err := s.selecting(req.Tenant)
	if err != nil {
		return BulkView{}, false, err
	}
	defer leave()
	if err := s.checkUnended(ctx, req.Tenant); err != nil {
		return BulkView{}, false, err
	}
	chosen, err := s.selectRuns(ctx, actor, req)
	if err != nil {
		return BulkView{}, false, err
	}
	preview, err := s.previewRuns(ctx, chosen)
	if err != nil {
		return BulkView{}, false, err
	}
	if most := req.Terms.MaxPrice; most != nil && preview.Price > *most {
		return BulkView{}, false, &core.Error{
			Code: core.CodePriceChanged, Price: preview.Price,
			Message: fmt.Sprintf("the sum is %d credits now and at most %d were accepted, so nothing was made or charged; request it again with the new price", preview.Price, *most),
		}
	}
	if err := s.makePlaceForBulk(ctx, req.Tenant); err != nil {
		return BulkView{}, false, err
	}
	id, err := newID[core.BulkID](s.ids)
	if err != nil {
		return BulkView{}, false, err
	}
	now := s.clock.Now()
	b := core.Bulk{
		ID: id, Tenant: req.Tenant, Key: req.IdempotencyKey, Fingerprint: req.fingerprint(), By: actor, CreatedAt: now,
		Selection: req.selection(), Terms: req.Terms, Status: core.BulkRunning, ChangedBy: actor, ChangedAt: now,
	}
	parts, err := s.insertBulkParts(ctx, &b, chosen, preview)
	if err != nil {
		s.undoBulkParts(ctx, id, parts)
		return BulkView{}, false, err
	}
	err = s.store.BulkContinues().Insert(ctx, b)
	if errors.Is(err, ports.ErrCommitUnknown) {
		if _, found := s.store.BulkContinues().Get(detached(ctx), id); found == nil {
			err = nil
		}
	}
	if errors.Is(err, ports.ErrExists) { // a request under the same key was faster
		s.undoBulkParts(ctx, id, parts)
		first, err := s.replayBulk(ctx, req)
		if err != nil || first == nil {
			return BulkView{}, false, errors.Join(err, ports.ErrExists)
		}
		v, err := s.bulkView(ctx, *first)
		return v, true, err
	}
	if err != nil {
		return BulkView{}, false, err
	}
	s.log.Info("bulk continue made", "bulk", id, "tenant", req.Tenant, "runs", b.Runs, "by", actor.Subject)
	s.signalBulk()
	v, err := s.bulkView(ctx, b)
	return v, false, err
}

// insertBulkParts writes the parts before the bulk continue itself: what has none yet is
// driven by nobody, and swept if this process dies here. It adds up what it has, and gives
// whose parts were written.
func (s *Service) insertBulkParts(ctx context.Context, b *core.Bulk, chosen []runsOf, preview BulkPreview) (written []core.TenantID, err error) {
	for n, of := range chosen {
		part, runs := core.NewBulkPart(of.tenant, b.ID, len(of.runs), b.CreatedAt), make([]core.BulkRun, len(of.runs))
		for i, run := range of.runs {
			runs[i] = core.BulkRun{Place: i, Run: run.ID, State: core.BulkRunWaiting}
		}
		expected := preview.Tenants[n].Price
		err := s.store.InTx(ctx, of.tenant, func(tx ports.Tx) error {
			if err := tx.BulkParts().Insert(ctx, part, runs); err != nil {
				return err
			}
			return s.audit(ctx, tx, of.tenant, b.By, b.CreatedAt, core.AuditBulkCreated, string(b.ID), core.AuditFacts{
				"runs": strconv.Itoa(len(runs)), "expectedPrice": creditsText(expected), "maxPrice": limitText(b.Terms.MaxPrice),
			})
		})
		if errors.Is(err, ports.ErrMoved) && b.Tenant == "" && b.Selection.Named == 0 {
			continue // it was closed since the tenants were listed
		}
		written = append(written, of.tenant) // also if it is not known
		if err != nil {
			return written, notFound(err, tenantNotFound(of.tenant))
		}
		b.Runs += len(runs)
		if b.Expected, err = b.Expected.Plus(expected); err != nil {
			return written, err
		}
	}
	if b.Runs == 0 {
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

// replayBulk finds the bulk continue that was made under the request's key.
func (s *Service) replayBulk(ctx context.Context, req BulkRequest) (*core.Bulk, error) {
	if req.IdempotencyKey == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	first, err := s.store.BulkContinues().ByKey(ctx, req.Tenant, req.IdempotencyKey)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		return nil, nil //nolint:nilnil // as above
	case err != nil:
		return nil, err
	case first.Fingerprint != req.fingerprint():
		return nil, core.KeyReused()
	}
	return &first, nil
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
