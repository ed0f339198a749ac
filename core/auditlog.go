package core

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// AuditID names an event of the audit log within its tenant.
type AuditID string

// AuditAction is what an administrator did, as noun.verb. It is stable, like a Code.
type AuditAction string

const (
	AuditTenantCreated     AuditAction = "tenant.created"
	AuditTenantChanged     AuditAction = "tenant.changed"
	AuditTenantSuspended   AuditAction = "tenant.suspended"
	AuditTenantReopened    AuditAction = "tenant.reopened"
	AuditAllowanceGranted  AuditAction = "credits.allowance_granted"
	AuditCreditsPurchased  AuditAction = "credits.purchased"
	AuditCreditsRefunded   AuditAction = "credits.refunded"
	AuditTemplateCreated   AuditAction = "template.created"
	AuditTemplateChanged   AuditAction = "template.changed"
	AuditTemplatePublished AuditAction = "template.published"
	AuditTemplateDeleted   AuditAction = "template.deleted"
	AuditMaxRetriesRaised  AuditAction = "run.max_retry_count_raised"
	AuditRunCancelled      AuditAction = "run.cancelled"
	AuditBulkCreated       AuditAction = "bulk_continue.created"
	AuditBulkPaused        AuditAction = "bulk_continue.paused"
	AuditBulkResumed       AuditAction = "bulk_continue.resumed" // or its limit was changed
	AuditBulkAborted       AuditAction = "bulk_continue.aborted"
	AuditAPIKeyCreated     AuditAction = "api_key.created"
	AuditAPIKeyRenamed     AuditAction = "api_key.renamed" //nolint:gosec // an action, no credential
	AuditAPIKeyRevoked     AuditAction = "api_key.revoked"
	AuditWebhookCreated    AuditAction = "webhook_endpoint.created"
	AuditWebhookChanged    AuditAction = "webhook_endpoint.changed"
	AuditWebhookRotated    AuditAction = "webhook_endpoint.secret_rotated"
	AuditWebhookRemoved    AuditAction = "webhook_endpoint.removed"
	AuditLowCreditsChanged AuditAction = "credits.low_threshold_changed" //nolint:gosec // an action, no credential
)

// Bounds of an event, so that the log's rows stay small.
const (
	maxAuditActionLength = 64
	maxAuditTargetLength = 300
	maxAuditFacts        = 20
	maxAuditFactName     = 64
	MaxAuditFactLength   = 1000 // characters
)

// AuditFacts are the facts of an event as text, by names in lowerCamelCase. They have no
// secrets and no contents.
type AuditFacts map[string]string

// AuditEvent records one thing that an administrator did to a tenant. It is written in the
// transaction of the deed, and never changed.
type AuditEvent struct {
	Tenant TenantID
	ID     AuditID
	At     time.Time
	Actor  Actor
	Action AuditAction
	// Target is what it was done to: the ID of a run, a template, an API key, a webhook
	// endpoint or a tenant, the key of a ledger entry.
	Target string
	Facts  AuditFacts // nil if there are none
	// RequestID is that of the HTTP request; empty for what was done otherwise.
	RequestID string
}

// NewAuditEvent gives the event to be stored. Facts without a value are left out, and long
// ones are cut. The error is a mistake of the program, and not a refusal.
func NewAuditEvent(e AuditEvent) (AuditEvent, error) {
	if e.RequestID != "" && !ValidID(e.RequestID) {
		e.RequestID = ""
	}
	var facts AuditFacts
	for name, value := range e.Facts {
		if value == "" {
			continue
		}
		if facts == nil {
			facts = make(AuditFacts, len(e.Facts))
		}
		facts[name] = cutText(value, MaxAuditFactLength)
	}
	e.Facts = facts
	switch {
	case !ValidID(e.Tenant) || !ValidID(e.ID):
		return AuditEvent{}, fmt.Errorf("audit event %s: %q of tenant %q is no ID", e.Action, e.ID, e.Tenant)
	case e.Action == "" || len(e.Action) > maxAuditActionLength || !ValidText(e.Action):
		return AuditEvent{}, fmt.Errorf("audit event %s: %q is no action", e.ID, e.Action)
	case e.Target == "" || len(e.Target) > maxAuditTargetLength || !ValidText(e.Target):
		return AuditEvent{}, fmt.Errorf("audit event %s: %q is no target", e.Action, e.Target)
	case len(facts) > maxAuditFacts:
		return AuditEvent{}, fmt.Errorf("audit event %s: %d facts are too many", e.Action, len(facts))
	case e.At.IsZero() || !e.Actor.Role.Valid():
		return AuditEvent{}, fmt.Errorf("audit event %s needs a time and an actor", e.Action)
	}
	for name, value := range facts {
		if name == "" || len(name) > maxAuditFactName || !ValidText(name) || !ValidText(value) {
			return AuditEvent{}, fmt.Errorf("audit event %s: fact %q cannot be stored", e.Action, name)
		}
	}
	return e, nil
}

// cutText gives at most n characters of a text.
func cutText(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// AuditFilter selects events. A zero field leaves nothing out.
type AuditFilter struct {
	Action  AuditAction
	Subject string // of the actor
	Target  string
}

// Selects reports whether the filter selects the event.
func (f AuditFilter) Selects(e AuditEvent) bool {
	return (f.Action == "" || f.Action == e.Action) && (f.Subject == "" || f.Subject == e.Actor.Subject) && (f.Target == "" || f.Target == e.Target)
}
