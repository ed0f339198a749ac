package app

import (
	"context"
	"strconv"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type requestIDKey struct{}

// WithRequestID says which request a use case is called for. The audit log has it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// audit records what an administrator did, in the transaction of the deed, of which the
// caller has the tenant.
func (s *Service) audit(ctx context.Context, tx ports.AccountTx, tenant core.TenantID, actor core.Actor, at time.Time, action core.AuditAction, target string, facts core.AuditFacts) error {
	request, _ := ctx.Value(requestIDKey{}).(string)
	event, err := core.NewAuditEvent(core.AuditEvent{
		Tenant: tenant, ID: auditID(), At: at, Actor: actor, Action: action, Target: target, Facts: facts, RequestID: request,
	})
	if err != nil {
		return err
	}
	return tx.AuditLog().Insert(ctx, event)
}

// auditID is not one of Deps.IDs: those name what callers ask for, and what is named by them
// stays the same whatever is recorded beside it.
func auditID() core.AuditID { return core.AuditID(UUIDs{}.NewID()) }

func creditsText(c core.Credits) string { return strconv.FormatInt(int64(c), 10) }

// AuditRequest asks for a page of the audit log.
type AuditRequest struct {
	Tenant core.TenantID // empty: every tenant, for platform admins
	Filter core.AuditFilter
	// Page.Limit is how many events are given at most.
	Page ports.AuditPage
}

// AuditEvents is a page of the audit log, the latest event first.
type AuditEvents struct {
	Events []core.AuditEvent
	// Next is the Before of the next page; zero if there is nothing more to look at. Where
	// the bound of one page's look ended it, it is set although Events has few, or none.
	Next ports.AuditCursor
}

// What one page of the audit log looks at: no index has what the filter asks for.
const (
	auditLook     = 500 // events in one read
	maxAuditReads = 20
)

// AuditLog reads what administrators did to a tenant, for its own admins, or to all
// tenants, for platform admins. Of all tenants, those that cannot be asked are left out, with
// an error that is ports.ErrIncomplete beside the page.
func (s *Service) AuditLog(ctx context.Context, actor core.Actor, req AuditRequest) (AuditEvents, error) {
	if req.Tenant == "" {
		if err := core.Authorize(actor, core.ActionInspectAnyTenant, actor.Tenant); err != nil {
			return AuditEvents{}, err
		}
	} else if err := core.Authorize(actor, core.ActionReadAuditLog, req.Tenant); err != nil {
		return AuditEvents{}, err
	}
	var found AuditEvents
	page := req.Page
	page.Limit = auditLook
	if req.Filter == (core.AuditFilter{}) {
		page.Limit = min(auditLook, req.Page.Limit+1)
	}
	for range maxAuditReads {
		events, missing := s.auditPage(ctx, req.Tenant, page)
		if unanswered(missing) {
			return AuditEvents{}, missing
		}
		for _, e := range events {
			if req.Filter.Selects(e) {
				if len(found.Events) == req.Page.Limit {
					found.Next = page.Before
					return found, missing
				}
				found.Events = append(found.Events, e)
			}
			page.Before = ports.AuditCursorOf(e)
		}
		if len(events) < page.Limit {
			return found, missing
		}
		if missing != nil { // it may have taken seconds, and so may the next one
			found.Next = page.Before
			return found, missing
		}
	}
	found.Next = page.Before
	return found, nil
}

func (s *Service) auditPage(ctx context.Context, tenant core.TenantID, page ports.AuditPage) (events []core.AuditEvent, err error) {
	if tenant == "" {
		return s.store.AuditEvents(ctx, page)
	}
	err = s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		events, err = tx.AuditLog().List(ctx, page)
		return err
	})
	return events, err
}
