package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

const (
	defaultAuditPage = 100
	maxAuditPage     = 500
	maxAuditFilter   = 300 // bytes of a target
)

func (a *api) auditRoutes() []route {
	return []route{
		get("/audit-log", onQueryOrAll(core.ActionReadAuditLog), a.listAuditLog),
	}
}

// listAuditLog is GET /audit-log: what administrators did, the latest first.
func (a *api) listAuditLog(w http.ResponseWriter, r *request) error {
	req, err := auditRequest(r)
	if err != nil {
		return err
	}
	list, err := a.listing(r, "audit log", req.Tenant, "action", "actor", "target", "from", "to")
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	if req.Page.Before, err = parseAuditPlace(place); err != nil {
		return err
	}
	found, err := a.svc.AuditLog(r.Context(), r.actor, req)
	missing, err := list.incompletePage(err)
	if err != nil {
		return err
	}
	page := auditPageJSON{Events: make([]auditEventJSON, len(found.Events)), Incomplete: missing}
	for i, e := range found.Events {
		page.Events[i] = auditEventJSON{
			ID: string(e.ID), Tenant: string(e.Tenant), At: e.At, Actor: toActor(e.Actor), Action: string(e.Action),
			Target: e.Target, Facts: e.Facts, RequestID: e.RequestID,
		}
		if e.Facts == nil {
			page.Events[i].Facts = core.AuditFacts{}
		}
	}
	if found.Next != (ports.AuditCursor{}) {
		page.NextCursor = list.next(w, auditPlace(found.Next))
	}
	return writeTagged(w, r, page)
}

// auditRequest reads tenant, filter and page. A platform admin that names no tenant asks for
// all of them.
func auditRequest(r *request) (app.AuditRequest, error) {
	var req app.AuditRequest
	var err error
	if req.Tenant, err = r.queryTenantOrAll(); err != nil {
		return req, err
	}
	limit, err := r.queryInt("limit", defaultAuditPage, 1, maxAuditPage)
	if err != nil {
		return req, err
	}
	req.Page.Limit = int(limit)
	text := func(to *string) func(string) string {
		return func(v string) string {
			*to = v
			return mistakeIf(len(v) > maxAuditFilter || strings.ContainsFunc(v, isControl), "must have at most 300 characters without control characters")
		}
	}
	err = r.readFilter([]parameter{
		{"action", text((*string)(&req.Filter.Action))},
		{"actor", text(&req.Filter.Subject)},
		{"target", text(&req.Filter.Target)},
		{"from", func(v string) string { return readTime(v, &req.Page.From) }},
		{"to", func(v string) string { return readTime(v, &req.Page.To) }},
	})
	if err == nil {
		err = inOrder(req.Page.From, req.Page.To)
	}
	return req, err
}

func auditPlace(at ports.AuditCursor) string {
	return strconv.FormatInt(at.At.UnixNano(), 10) + "/" + string(at.Tenant) + "/" + string(at.ID)
}

// parseAuditPlace reads a place in the audit log; an empty one is the latest event.
func parseAuditPlace(place string) (ports.AuditCursor, error) {
	if place == "" {
		return ports.AuditCursor{}, nil
	}
	parts := strings.Split(place, "/")
	if len(parts) != 3 || !core.ValidID(parts[1]) || !core.ValidID(parts[2]) {
		return ports.AuditCursor{}, badCursor()
	}
	nanos, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return ports.AuditCursor{}, badCursor()
	}
	return ports.AuditCursor{At: time.Unix(0, nanos).UTC(), Tenant: core.TenantID(parts[1]), ID: core.AuditID(parts[2])}, nil
}

type auditEventJSON struct {
	ID        string          `json:"id"`
	Tenant    string          `json:"tenant"`
	At        time.Time       `json:"at"`
	Actor     actorJSON       `json:"actor"`
	Action    string          `json:"action"`
	Target    string          `json:"target"`
	Facts     core.AuditFacts `json:"facts"`
	RequestID string          `json:"requestId,omitempty"`
}

type auditPageJSON struct {
	Events     []auditEventJSON `json:"events"`
	NextCursor string           `json:"nextCursor,omitempty"`
	Incomplete *incompleteJSON  `json:"incomplete,omitempty"`
}
