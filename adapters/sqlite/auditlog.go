package sqlite

import (
	"context"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/internal/rowtext"
	"github.com/redrive/redrive/ports"
)

type auditLog struct{ t *tx }

const (
	auditColumns = `tenant_id, event_id, at, actor_subject, actor_tenant, actor_role, action, target, facts, request_id`
	insertAudit  = `INSERT INTO audit_log (` + auditColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func (a auditLog) Insert(ctx context.Context, e core.AuditEvent) error {
	if err := a.t.lock(ctx, locktable.Audit, string(e.ID)); err != nil {
		return err
	}
	key := rowKey{kind: locktable.Audit, id: string(e.ID)}
	if err := mustNot(a.t.exists(ctx, key, `SELECT 1 FROM audit_log WHERE tenant_id = ? AND event_id = ?`, a.t.tenant, findable(e.ID))); err != nil {
		return err
	}
	if err := must(a.t.tenantExists(ctx)); err != nil {
		return err
	}
	args, err := auditArgs(a.t.tenant, e)
	if err != nil {
		return err
	}
	if err := a.t.write(ofAudit, 1, ports.ErrExists, insertAudit, args...); err != nil {
		return err
	}
	a.t.isThere(key)
	return nil
}

func (a auditLog) List(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	page.Before.Tenant = ""
	sql, args := listAudit(` WHERE tenant_id = ?`, []any{a.t.tenant}, page)
	return all(ctx, a.t, ofAudit, scanAudit, sql, args...)
}

// AuditEvents implements ports.Store.
func (s *Store) AuditEvents(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	sql, args := listAudit(` WHERE 1`, nil, page)
	return list(ctx, s, scanAudit, sql, args...)
}

func listAudit(where string, args []any, page ports.AuditPage) (string, []any) {
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "$", "?"+strconv.Itoa(len(args)), 1)
		}
		where += ` AND ` + condition
	}
	if !page.From.IsZero() {
		and(`at >= $`, page.From)
	}
	if !page.To.IsZero() {
		and(`at < $`, page.To)
	}
	switch before := page.Before; {
	case before == (ports.AuditCursor{}):
	case before.Tenant == "": // within one tenant, by its own index
		and(`(at, event_id) < ($, $)`, before.At, findable(before.ID))
	default:
		and(`(at, tenant_id, event_id) < ($, $, $)`, before.At, findable(before.Tenant), findable(before.ID))
	}
	order := ` ORDER BY at DESC, tenant_id DESC, event_id DESC LIMIT `
	args = append(args, max(page.Limit, 0))
	return `SELECT ` + auditColumns + ` FROM audit_log` + where + order + `?` + strconv.Itoa(len(args)), args
}

func auditArgs(tenant core.TenantID, e core.AuditEvent) ([]any, error) {
	facts, err := rowtext.Facts(e.Facts)
	if err != nil {
		return nil, err
	}
	return []any{
		tenant, e.ID, e.At, text(e.Actor.Subject), e.Actor.Tenant, e.Actor.Role, e.Action, e.Target, facts, e.RequestID,
	}, nil
}

func scanAudit(r *row) core.AuditEvent {
	e := core.AuditEvent{
		Tenant: core.TenantID(r.text()), ID: core.AuditID(r.text()), At: r.time(), Actor: scanActor(r),
		Action: core.AuditAction(r.text()), Target: r.text(),
	}
	var err error
	if e.Facts, err = rowtext.ParseFacts([]byte(r.text())); err != nil && r.err == nil {
		r.err = err
	}
	e.RequestID = r.text()
	return e
}
