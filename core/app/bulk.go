package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// BulkRequest selects runs to be continued, and says on which terms.
type BulkRequest struct {
	// Tenant is whose runs; empty: those of all tenants, for platform admins.
	Tenant core.TenantID
	// Runs names them one by one; then nothing else may be selected by.
	Runs []core.RunID
	// Selection selects them; without statuses, those that can be continued.
	Selection core.BulkSelection
	Terms     core.BulkTerms
	// IdempotencyKey makes a repeat return the first one; empty for none.
	IdempotencyKey core.Key
}

// BulkView is a bulk continue and how far it is.
type BulkView struct {
	Bulk   core.Bulk
	Totals core.BulkTotals
	Parts  []core.BulkPart // ascending by tenant
}

// authorizeBulk decides whether the actor may do that to the bulk continues of a tenant, or
// to those over several.
func authorizeBulk(actor core.Actor, action core.Action, tenant core.TenantID) error {
	if tenant == "" {
		return core.Authorize(actor, core.ActionContinueAnyTenant, actor.Tenant)
	}
	return core.Authorize(actor, action, tenant)
}

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
	d := bulkDeed{s: s, deed: deed{tenant: req.Tenant, op: core.OperationBulkContinue, request: req.fingerprint(), spends: true}}
	first, err := d.first(ctx) // it saves the work of what follows
	if err != nil {
		return BulkView{}, false, err
	}
	if first != nil {
		v, err := d.replay(ctx, *first)
		return v, again, err
	}
	plan, err := s.planBulk(ctx, actor, req)
	refusal, refused := asRefusal(err)
	if err != nil && !refused {
		return BulkView{}, false, err
	}
	made, err := d.make(ctx, plan, refusal)
	if errors.Is(err, ports.ErrCommitUnknown) && plan.ID != "" {
		if _, found := s.store.BulkContinues().Get(detached(ctx), plan.ID); found == nil {
			made, err = bulkMade{plan.ID}, nil
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
	id, err := newID[core.BulkID](s.ids)
	if err != nil {
		return bulkPlan{}, err
	}
	now := s.clock.Now()
	return bulkPlan{chosen: chosen, Bulk: core.Bulk{
		ID: id, Tenant: req.Tenant, Key: req.IdempotencyKey, Fingerprint: req.fingerprint(), By: actor, CreatedAt: now,
		Selection: req.selection(), Terms: req.Terms, Runs: preview.Runs, Expected: preview.Price,
		Status: core.BulkRunning, ChangedBy: actor, ChangedAt: now,
	}}, nil
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

// AuthorizeBulk finds whose bulk continue it is, empty if it is over several tenants, and
// whether the actor may do that to it.
func (s *Service) AuthorizeBulk(ctx context.Context, actor core.Actor, action core.Action, id core.BulkID) (core.TenantID, error) {
	b, err := s.bulk(ctx, actor, action, id)
	return b.Tenant, err
}

// bulk reads one that the actor may see, or act on.
func (s *Service) bulk(ctx context.Context, actor core.Actor, action core.Action, id core.BulkID) (core.Bulk, error) {
	b, err := s.store.BulkContinues().Get(ctx, id)
	if err != nil {
		return core.Bulk{}, notFound(err, bulkNotFound(id))
	}
	return b, authorizeBulk(actor, action, b.Tenant)
}

func bulkNotFound(core.BulkID) *core.Error {
	return &core.Error{Code: core.CodeBulkNotFound, Message: "there is no such bulk continue"}
}

func (s *Service) bulkView(ctx context.Context, b core.Bulk) (v BulkView, err error) {
	v.Bulk = b
	if v.Parts, err = s.store.BulkContinues().Parts(ctx, b.ID); err != nil {
		return v, err
	}
	v.Totals, err = sumOf(v.Parts)
	return v, err
}

func sumOf(parts []core.BulkPart) (sum core.BulkTotals, err error) {
	for i := range parts {
		if sum, err = sum.Plus(parts[i].Totals); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Bulk reads one. Refusals: core.CodeBulkNotFound, CodeWrongTenant, CodeRoleNotAllowed.
func (s *Service) Bulk(ctx context.Context, actor core.Actor, id core.BulkID) (BulkView, error) {
	b, err := s.bulk(ctx, actor, core.ActionRead, id)
	if err != nil {
		return BulkView{}, err
	}
	return s.bulkView(ctx, b)
}

// Bulks lists those of a tenant, or of all tenants and over several if it is empty, newest
// first.
func (s *Service) Bulks(ctx context.Context, actor core.Actor, filter ports.BulkFilter) ([]BulkView, error) {
	if err := authorizeBulk(actor, core.ActionRead, filter.Tenant); err != nil {
		return nil, err
	}
	if filter.Tenant != "" {
		err := s.store.View(ctx, filter.Tenant, func(tx ports.Tx) error {
			_, err := tx.Tenants().Get(ctx)
			return notFound(err, tenantNotFound(filter.Tenant))
		})
		if err != nil {
			return nil, err
		}
	}
	list, err := s.store.BulkContinues().List(ctx, filter)
	if err != nil {
		return nil, err
	}
	views := make([]BulkView, len(list))
	for i, b := range list {
		if views[i], err = s.bulkView(ctx, b); err != nil {
			return nil, err
		}
	}
	return views, nil
}

// BulkRunCursor is a place among the runs of a bulk continue.
type BulkRunCursor struct {
	Tenant core.TenantID
	Place  int
}

// BulkRunOf is a run of a bulk continue with its tenant.
type BulkRunOf struct {
	core.BulkRun

	Tenant core.TenantID
}

// BulkRuns reads a page of the record of what became of each run, by tenant and place, from
// the cursor on. next is nil if there are no more.
func (s *Service) BulkRuns(ctx context.Context, actor core.Actor, id core.BulkID, from BulkRunCursor, state core.BulkRunState, limit int) (page []BulkRunOf, next *BulkRunCursor, err error) {
	b, err := s.bulk(ctx, actor, core.ActionRead, id)
	if err != nil {
		return nil, nil, err
	}
	parts, err := s.store.BulkContinues().Parts(ctx, b.ID)
	if err != nil {
		return nil, nil, err
	}
	for _, part := range parts {
		if part.Tenant < from.Tenant {
			continue
		}
		filter := ports.BulkRunFilter{State: state, Limit: limit + 1 - len(page)}
		if part.Tenant == from.Tenant {
			filter.From = from.Place
		}
		err := s.store.View(ctx, part.Tenant, func(tx ports.Tx) error {
			runs, err := tx.BulkParts().Runs(ctx, id, filter)
			for _, r := range runs {
				page = append(page, BulkRunOf{BulkRun: r, Tenant: part.Tenant})
			}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if len(page) > limit {
			more := page[limit]
			return page[:limit], &BulkRunCursor{Tenant: more.Tenant, Place: more.Place}, nil
		}
	}
	return page, nil, nil
}

// PauseBulk lets no more runs be continued until ResumeBulk; one that is being continued at
// this moment still is. Refusals as Bulk, and core.CodeBulkEnded. Like ResumeBulk and
// AbortBulk it goes by the context's idempotency key: under one of the latest of it
// (core.MaxBulkChanges) nothing is changed again, and the answer is how it is now.
func (s *Service) PauseBulk(ctx context.Context, actor core.Actor, id core.BulkID) (BulkView, error) {
	return s.changeBulk(ctx, actor, id, "pause", func(v BulkView) (core.Bulk, error) { return v.Bulk.Pause(actor, s.clock.Now()) })
}

// ResumeBulk lets a paused one go on, past what paused it. maxPrice is a new limit of the
// sum; nil: as it is. Refusals as Bulk, and core.CodeBulkEnded, CodeInvalidRequest.
func (s *Service) ResumeBulk(ctx context.Context, actor core.Actor, id core.BulkID, maxPrice *core.Credits) (BulkView, error) {
	if maxPrice != nil && *maxPrice < 0 {
		return BulkView{}, core.InvalidField("maxPrice", "must be 0 or more credits")
	}
	asked := "resume"
	if maxPrice != nil {
		asked = fmt.Sprintf("resume, maxPrice %d", *maxPrice)
	}
	v, err := s.changeBulk(ctx, actor, id, asked, func(v BulkView) (core.Bulk, error) {
		return v.Bulk.Resume(actor, maxPrice, v.Totals, s.clock.Now())
	})
	if err == nil {
		s.signalBulk()
	}
	return v, err
}

// AbortBulk ends one: no more runs are continued, but for one that is being continued at
// this moment. Refusals as Bulk, and core.CodeBulkEnded if it has finished.
func (s *Service) AbortBulk(ctx context.Context, actor core.Actor, id core.BulkID) (BulkView, error) {
	return s.changeBulk(ctx, actor, id, "abort", func(v BulkView) (core.Bulk, error) { return v.Bulk.Abort(actor, s.clock.Now()) })
}

// changeBulk repeats a change until nobody else comes between: the server that drives it
// saves now and then. asked tells one request under a key from another.
func (s *Service) changeBulk(ctx context.Context, actor core.Actor, id core.BulkID, asked string, change func(BulkView) (core.Bulk, error)) (BulkView, error) {
	key := idempotencyOf(ctx).Key
	if err := checkOptionalKey(key); err != nil {
		return BulkView{}, err
	}
	for try := 0; ; try++ {
		b, err := s.bulk(ctx, actor, core.ActionContinue, id)
		if err != nil {
			return BulkView{}, err
		}
		v, err := s.bulkView(ctx, b)
		if err != nil {
			return BulkView{}, err
		}
		if before, repeat := b.Asked(key); repeat {
			if before != asked {
				return BulkView{}, core.KeyReused()
			}
			if try == 0 { // else it is what this one wrote itself, and lost the answer to
				replayed(ctx)
			}
			return v, nil
		}
		if v.Bulk, err = change(v); err != nil {
			return BulkView{}, err
		}
		v.Bulk = v.Bulk.Under(key, asked)
		err = s.store.BulkContinues().Save(ctx, v.Bulk)
		if errors.Is(err, ports.ErrBulkChanged) && try < maxBulkTries {
			continue
		}
		if err != nil {
			return BulkView{}, notFound(err, bulkNotFound(id))
		}
		s.log.Info("bulk continue changed", "bulk", id, "status", v.Bulk.Status, "by", actor.Subject)
		v.Bulk.Version++
		return v, nil
	}
}

const (
	maxBulkTries = 20
	// bulkMaking is longer than making a bulk continue can take.
	bulkMaking = time.Hour
)

// SweepBulk removes bulk continues that ended before Options.BulkKeep, and parts whose
// making was cut off. It may run on every server at once.
func (s *Service) SweepBulk(ctx context.Context) error {
	const page = 100
	all := s.store.BulkContinues()
	for {
		n, err := all.DeleteEnded(ctx, s.clock.Now().Add(-s.opts.BulkKeep), page)
		if err != nil {
			return err
		}
		if n < page {
			break
		}
	}
	var errs []error
	orphans, err := all.Orphans(ctx, s.clock.Now().Add(-bulkMaking), page)
	if err != nil {
		return err
	}
	for _, o := range orphans {
		err := s.store.InTx(ctx, o.Tenant, func(tx ports.Tx) error { return tx.BulkParts().Delete(ctx, o.Bulk) })
		if err != nil && !errors.Is(err, ports.ErrMoved) {
			errs = append(errs, fmt.Errorf("remove a part of bulk continue %s: %w", o.Bulk, err))
		}
	}
	return errors.Join(errs...)
}

// releaseBulks lets those be driven at once that the process before this one drove. Only a
// process that is alone on its store may call it.
func (s *Service) releaseBulks(ctx context.Context) error {
	all := s.store.BulkContinues()
	list, err := all.List(ctx, ports.BulkFilter{Unended: true, Limit: 10_000})
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Holder == "" {
			continue
		}
		b = b.Release()
		if err := all.Save(ctx, b); err != nil && !errors.Is(err, ports.ErrBulkChanged) {
			return err
		}
	}
	return nil
}

// signalBulk wakes the loop of this process that drives bulk continues.
func (s *Service) signalBulk() {
	select {
	case s.bulkSignal <- struct{}{}:
	default: // it will be woken
	}
}

// BulkSignal is sent to when there is a bulk continue to be driven, for the loop around a
// BulkDriver.
func (s *Service) BulkSignal() <-chan struct{} { return s.bulkSignal }

func (r BulkRequest) selection() core.BulkSelection {
	if len(r.Runs) > 0 {
		return core.BulkSelection{Named: len(r.Runs)}
	}
	selection := r.Selection
	selection.Statuses = slices.Clone(selection.Statuses)
	return selection
}
