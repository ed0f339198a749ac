package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type auditLog struct{ t *tx }

func (a auditLog) Insert(ctx context.Context, e core.AuditEvent) error {
	if err := a.t.lock(ctx, locktable.Audit, string(e.ID)); err != nil {
		return err
	}
	if err := a.t.exists(ctx); err != nil {
		return err
	}
	there, err := a.there(ctx, e.ID)
	if err != nil {
		return err
	}
	if there {
		return ports.ErrExists
	}
	e.Tenant = a.t.tenant
	e.Facts = maps.Clone(e.Facts)
	w := a.t.writes()
	w.audit = append(w.audit, e)
	return nil
}

func (a auditLog) there(ctx context.Context, id core.AuditID) (bool, error) {
	st, err := a.t.read(ctx)
	if err != nil {
		return false, err
	}
	defer a.t.done()
	is := func(e core.AuditEvent) bool { return e.ID == id }
	return st != nil && slices.ContainsFunc(st.audit, is) || slices.ContainsFunc(a.t.wrote.audit, is), nil
}

func (a auditLog) List(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	st, err := a.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer a.t.done()
	list := slices.Clone(a.t.wrote.audit)
	if st != nil {
		list = append(list, st.audit...)
	}
	if page.Before != (ports.AuditCursor{}) {
		page.Before.Tenant = a.t.tenant
	}
	return auditPage(list, page), nil
}

// AuditEvents implements ports.Store.
func (s *Store) AuditEvents(_ context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []core.AuditEvent
	for _, st := range s.tenants {
		list = append(list, st.audit...)
	}
	return auditPage(list, page), nil
}

// auditPage sorts a list of its own and cuts a page out of it.
func auditPage(list []core.AuditEvent, page ports.AuditPage) []core.AuditEvent {
	list = slices.DeleteFunc(list, func(e core.AuditEvent) bool {
		return !page.From.IsZero() && e.At.Before(page.From) || !page.To.IsZero() && !e.At.Before(page.To) ||
			page.Before != (ports.AuditCursor{}) && compareAudit(ports.AuditCursorOf(e), page.Before) >= 0
	})
	slices.SortFunc(list, func(x, y core.AuditEvent) int { return compareAudit(ports.AuditCursorOf(y), ports.AuditCursorOf(x)) })
	list = list[:min(max(page.Limit, 0), len(list))]
	for i := range list {
		list[i].Facts = maps.Clone(list[i].Facts)
	}
	return list
}

func compareAudit(x, y ports.AuditCursor) int {
	return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.ID, y.ID))
}
