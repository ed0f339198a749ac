package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/rowtext"
	"github.com/redrive/redrive/ports"
)

type auditLog struct{ t *tx }

const (
	auditColumns = `tenant_id, event_id, at, actor_subject, actor_tenant, actor_role, action, target, facts, request_id`
	insertAudit  = `INSERT INTO audit_log (` + auditColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`
)

func (a auditLog) Insert(ctx context.Context, e core.AuditEvent) error {
	args, err := auditArgs(a.t.tenant, e)
	if err != nil {
		return err
	}
	return a.t.insert(ctx, insertAudit, args...)
}

func (a auditLog) List(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	page.Before.Tenant = ""
	sql, args := listAudit(` WHERE tenant_id = $1`, []any{a.t.tenant}, page)
	return all(ctx, a.t, scanAudit, sql, planned(args)...)
}

// AuditEvents implements ports.Store.
func (s *Store) AuditEvents(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	_, args := listAudit(` WHERE true`, nil, page)
	return across(ctx, s, scanAudit, func(and string) string {
		sql, _ := listAudit(` WHERE true`+of(and, "audit_log"), nil, page)
		return sql
	}, planned(args)...)
}

func listAudit(where string, args []any, page ports.AuditPage) (string, []any) {
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where += ` AND ` + condition
	}
	if !page.From.IsZero() {
		and(`at >= ?`, page.From)
	}
	if !page.To.IsZero() {
		and(`at < ?`, page.To)
	}
	switch before := page.Before; {
	case before == (ports.AuditCursor{}):
	case before.Tenant == "": // within one tenant, by its own index
		and(`(at, event_id) < (?, ?)`, before.At, findable(before.ID))
	default:
		and(`(at, tenant_id, event_id) < (?, ?, ?)`, before.At, findable(before.Tenant), findable(before.ID))
	}
	order := ` ORDER BY at DESC, tenant_id DESC, event_id DESC LIMIT `
	args = append(args, max(page.Limit, 0))
	return `SELECT ` + auditColumns + ` FROM audit_log` + where + order + `$` + strconv.Itoa(len(args)), args
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

func scanAudit(row pgx.CollectableRow) (e core.AuditEvent, err error) {
	var facts []byte
	err = row.Scan(&e.Tenant, &e.ID, &e.At, &e.Actor.Subject, &e.Actor.Tenant, &e.Actor.Role, &e.Action, &e.Target, &facts, &e.RequestID)
	if err != nil {
		return e, err
	}
	e.At = e.At.UTC()
	e.Facts, err = rowtext.ParseFacts(facts)
	return e, err
}
