package ports

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// AuditLog is what administrators did to the tenant; append-only.
type AuditLog interface {
	// Insert writes an event. ErrExists if its ID is there, ErrNotFound if there is no such
	// tenant.
	Insert(ctx context.Context, e core.AuditEvent) error
	// List gives events, the latest first.
	List(ctx context.Context, page AuditPage) ([]core.AuditEvent, error)
}

// AuditTrail reads the audit log of all tenants.
type AuditTrail interface {
	// AuditEvents gives events of all tenants, the latest first. ErrIncomplete as AcrossTenants.
	AuditEvents(ctx context.Context, page AuditPage) ([]core.AuditEvent, error)
}

// AuditPage selects a page of the audit log. A zero field leaves nothing out.
type AuditPage struct {
	From   time.Time   // then or later
	To     time.Time   // before
	Before AuditCursor // those that come after it in the list; zero: from the latest. Of one tenant, Before.Tenant does not matter
	Limit  int         // 1 or more
}

// AuditCursor is a place in the order of events: by At, then Tenant, then ID, all descending.
type AuditCursor struct {
	At     time.Time
	Tenant core.TenantID
	ID     core.AuditID
}

// AuditCursorOf is the place of an event.
func AuditCursorOf(e core.AuditEvent) AuditCursor {
	return AuditCursor{At: e.At, Tenant: e.Tenant, ID: e.ID}
}
