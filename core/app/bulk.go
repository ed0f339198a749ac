package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

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
	// Missing is a ports.ErrIncomplete if not all of its tenants could be asked. Parts are those
	// of the others then, and Totals.Unknown counts the runs of which nothing is known.
	Missing error
}

// authorizeBulk decides whether the actor may do that to the bulk continues of a tenant, or
// to those over several.
func authorizeBulk(actor core.Actor, action core.Action, tenant core.TenantID) error {
	if tenant == "" {
		return core.Authorize(actor, core.ActionContinueAnyTenant, actor.Tenant)
	}
	return core.Authorize(actor, action, tenant)
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
	v.Parts, v.Missing = s.store.BulkContinues().Parts(ctx, bulkKey(b))
	switch {
	case v.Missing == nil:
		v.Totals, err = b.Sum(v.Parts)
	case unanswered(v.Missing):
		return v, v.Missing
	default:
		v.Totals, err = b.SumOf(v.Parts)
	}
	return v, err
}

func bulkKey(b core.Bulk) ports.BulkKey { return ports.BulkKey{Tenant: b.Tenant, ID: b.ID} }

// Bulk reads one. Refusals: core.CodeBulkNotFound, CodeWrongTenant, CodeRoleNotAllowed.
func (s *Service) Bulk(ctx context.Context, actor core.Actor, id core.BulkID) (BulkView, error) {
	b, err := s.bulk(ctx, actor, core.ActionRead, id)
	if err != nil {
		return BulkView{}, err
	}
	return s.bulkView(ctx, b)
}

// Bulks lists those of a tenant, or of all tenants and over several if it is empty, newest
// first. In the latter list are those of tenants that cannot be asked, too, with Missing.
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
	var away awayTenants
	for i, b := range list {
		if filter.Tenant == "" && away.has(b.Tenant) {
			views[i] = unknownBulk(b, away.why)
			continue
		}
		views[i], err = s.bulkView(ctx, b)
		if err != nil && filter.Tenant == "" && away.learn(ctx, s.store, b.Tenant, err) {
			views[i], err = unknownBulk(b, away.why), nil
		}
		if err != nil {
			return nil, err
		}
		if missing := views[i].Missing; missing != nil {
			away.note(missing)
		}
	}
	return views, nil
}

// unknownBulk is one of a tenant that cannot be asked.
func unknownBulk(b core.Bulk, why error) BulkView {
	return BulkView{Bulk: b, Totals: core.BulkTotals{Unknown: b.Runs}, Missing: &ports.Incomplete{Tenants: []core.TenantID{b.Tenant}, Err: why}}
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
// the cursor on. next is nil if there are no more. Those of tenants that cannot be asked are
// left out of one over several tenants, with an error that is ports.ErrIncomplete beside the
// page.
func (s *Service) BulkRuns(ctx context.Context, actor core.Actor, id core.BulkID, from BulkRunCursor, state core.BulkRunState, limit int) (page []BulkRunOf, next *BulkRunCursor, err error) {
	b, err := s.bulk(ctx, actor, core.ActionRead, id)
	if err != nil {
		return nil, nil, err
	}
	parts, missing := s.store.BulkContinues().Parts(ctx, bulkKey(b))
	if unanswered(missing) {
		return nil, nil, missing
	}
	for _, part := range parts {
		if part.Tenant < from.Tenant {
			continue
		}
		place := 0
		if part.Tenant == from.Tenant {
			place = from.Place
		}
		runs, err := s.bulkRecords(ctx, b, part.Tenant, place, state, limit+1-len(page))
		if err != nil {
			return nil, nil, err
		}
		for _, r := range runs {
			page = append(page, BulkRunOf{BulkRun: r, Tenant: part.Tenant})
		}
		if len(page) > limit {
			more := page[limit]
			return page[:limit], &BulkRunCursor{Tenant: more.Tenant, Place: more.Place}, missing
		}
	}
	return page, nil, missing
}

// bulkRecords reads up to limit records of a part, by place.
func (s *Service) bulkRecords(ctx context.Context, b core.Bulk, tenant core.TenantID, from int, state core.BulkRunState, limit int) (found []core.BulkRun, err error) {
	filter := ports.BulkRunFilter{From: from, State: state, Limit: limit}
	if b.LeftOut(tenant) { // then its rows are not as they are to be read
		filter.State, filter.Limit = "", bulkPage
	}
	for {
		var rows []core.BulkRun
		err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
			rows, err = tx.BulkParts().Runs(ctx, b.ID, filter)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r = b.Record(tenant, r); state == "" || r.State == state {
				found = append(found, r)
			}
		}
		if len(found) >= limit || len(rows) < filter.Limit {
			return found[:min(len(found), limit)], nil
		}
		filter.From = rows[len(rows)-1].Place + 1
	}
}

// PauseBulk lets no more runs be continued until ResumeBulk; one that is being continued at
// this moment still is. Refusals as Bulk, and core.CodeBulkEnded. Like ResumeBulk and
// AbortBulk it goes by the context's idempotency key: under one of the latest of it
// (core.MaxBulkChanges) nothing is changed again, and the answer is how it is now.
func (s *Service) PauseBulk(ctx context.Context, actor core.Actor, id core.BulkID) (BulkView, error) {
	return s.changeBulk(ctx, actor, id, core.AuditBulkPaused, "pause", func(v BulkView) (core.Bulk, error) { return v.Bulk.Pause(actor, s.clock.Now()) })
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
	v, err := s.changeBulk(ctx, actor, id, core.AuditBulkResumed, asked, func(v BulkView) (core.Bulk, error) {
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
	return s.changeBulk(ctx, actor, id, core.AuditBulkAborted, "abort", func(v BulkView) (core.Bulk, error) { return v.Bulk.Abort(actor, s.clock.Now()) })
}

// changeBulk repeats a change until nobody else comes between: the server that drives it
// saves now and then. asked tells one request under a key from another.
//
// What lets more be charged is recorded before it is done, so that nothing is done that is
// not recorded; what stops it is done at once, and recorded then. The bulk continue is no
// row of a tenant, so the two are not one transaction. While some of its tenants cannot be
// asked it can only be stopped: it is recorded with the others then, and logged.
func (s *Service) changeBulk(ctx context.Context, actor core.Actor, id core.BulkID, action core.AuditAction, asked string, change func(BulkView) (core.Bulk, error)) (BulkView, error) {
	key := idempotencyOf(ctx).Key
	if err := checkOptionalKey(key); err != nil {
		return BulkView{}, err
	}
	recorded := false
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
		changes := v.Bulk.Status != b.Status || v.Bulk.NewLimit(b)
		if !changes && key == "" {
			return v, nil
		}
		if changes && v.Missing != nil && v.Bulk.Status == core.BulkRunning {
			return BulkView{}, v.Missing // its sum is not known, nor can it be recorded
		}
		v.Bulk = v.Bulk.Under(key, asked)
		if changes && v.Bulk.Status == core.BulkRunning && !recorded {
			if err := s.auditBulk(ctx, v, b, action); err != nil {
				return BulkView{}, err
			}
			recorded = true
		}
		err = s.store.BulkContinues().Save(ctx, v.Bulk)
		if errors.Is(err, ports.ErrBulkChanged) && try < maxBulkTries {
			continue
		}
		if err != nil {
			return BulkView{}, notFound(err, bulkNotFound(id))
		}
		s.log.Info("bulk continue changed", "bulk", id, "status", v.Bulk.Status, "by", actor.Subject)
		v.Bulk.Version++
		if changes && v.Missing != nil {
			s.log.Error("a change of a bulk continue is not in the audit log of tenants that cannot be asked", "bulk", id, "action", action, "by", actor.Subject, "error", v.Missing)
		}
		if changes && !recorded {
			return v, s.auditBulk(detached(ctx), v, b, action)
		}
		return v, nil
	}
}

// auditBulk records a change of a bulk continue with each of its tenants. Those that live
// elsewhere by now have no part in it any more.
func (s *Service) auditBulk(ctx context.Context, v BulkView, was core.Bulk, action core.AuditAction) error {
	b := v.Bulk
	var errs []error
	for _, part := range v.Parts {
		facts := core.AuditFacts{"reason": string(was.Reason), "waiting": strconv.Itoa(part.Totals.Waiting)}
		if b.NewLimit(was) {
			facts["maxPriceFrom"], facts["maxPriceTo"] = limitText(was.Terms.MaxPrice), limitText(b.Terms.MaxPrice)
		}
		err := s.store.InTx(ctx, part.Tenant, func(tx ports.Tx) error {
			return s.audit(ctx, tx, part.Tenant, b.ChangedBy, b.ChangedAt, action, string(b.ID), facts)
		})
		if err != nil && !errors.Is(err, ports.ErrMoved) {
			errs = append(errs, fmt.Errorf("record %s of bulk continue %s with tenant %s: %w", action, b.ID, part.Tenant, err))
		}
	}
	return errors.Join(errs...)
}

// limitText is empty where there is no limit.
func limitText(c *core.Credits) string {
	if c == nil {
		return ""
	}
	return creditsText(*c)
}

const maxBulkTries = 20

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
