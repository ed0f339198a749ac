package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Who decides where a tenant's events go is in the audit log, without what an address or a
// secret lets one do.
func TestWebhooksAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seeded := len(w.deeds())
	spec := core.WebhookSpec{URL: "https://example.com/capability-1", Description: "ours", Types: []core.WebhookEventType{core.EventRunClosed}}
	e, err := w.svc.CreateWebhookEndpoint(w.ctx, admin, acme, spec)
	require.NoError(t, err)
	secret := e.Secret
	change := func(c app.WebhookChange) {
		t.Helper()
		_, err := w.svc.UpdateWebhookEndpoint(w.ctx, admin, acme, e.ID, c)
		require.NoError(t, err)
	}
	other, near, paused, enabled := "https://example.org:8443/capability-2", "https://example.org:8443/capability-3", true, false
	types := []core.WebhookEventType{core.EventCreditsLow, core.EventRunClosed}
	for range 2 { // what changes nothing is not recorded
		change(app.WebhookChange{URL: &other, Types: types})
		change(app.WebhookChange{Paused: &paused})
	}
	change(app.WebhookChange{Paused: &enabled})
	change(app.WebhookChange{URL: &near})
	rotated, err := w.svc.RotateWebhookSecret(w.ctx, platform, acme, e.ID)
	require.NoError(t, err)
	_, err = w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)
	require.NoError(t, err)
	for range 2 {
		_, err := w.svc.SetLowCredits(w.ctx, admin, acme, 25)
		require.NoError(t, err)
	}
	for _, err := range []error{
		errorOf(w.svc.UpdateWebhookEndpoint(w.ctx, user, acme, e.ID, app.WebhookChange{Paused: &paused})),
		errorOf(w.svc.SetLowCredits(w.ctx, user, acme, 3)),
		w.svc.DeleteWebhookEndpoint(w.ctx, user, acme, e.ID),
	} {
		require.ErrorIs(t, err, core.ErrRoleNotAllowed)
	}
	require.NoError(t, w.svc.DeleteWebhookEndpoint(w.ctx, admin, acme, e.ID))

	type deed struct {
		Action core.AuditAction
		Actor  core.Actor
		Target string
		Facts  core.AuditFacts
	}
	id := string(e.ID)
	want := []deed{ // the latest first
		{core.AuditWebhookRemoved, admin, id, core.AuditFacts{"host": "example.org:8443", "description": "ours", "events": "credits.low, run.closed"}},
		{core.AuditLowCreditsChanged, admin, string(acme), core.AuditFacts{"from": "0", "to": "25"}},
		{core.AuditWebhookRotated, platform, id, nil},
		{core.AuditWebhookChanged, admin, id, core.AuditFacts{"hostFrom": "example.org:8443", "hostTo": "example.org:8443"}},
		{core.AuditWebhookChanged, admin, id, core.AuditFacts{"paused": "false"}},
		{core.AuditWebhookChanged, admin, id, core.AuditFacts{"paused": "true"}},
		{core.AuditWebhookChanged, admin, id, core.AuditFacts{
			"hostFrom": "example.com", "hostTo": "example.org:8443", "eventsFrom": "run.closed", "eventsTo": "credits.low, run.closed",
		}},
		{core.AuditWebhookCreated, admin, id, core.AuditFacts{"host": "example.com", "description": "ours", "events": "run.closed"}},
	}
	log := w.deeds()
	var got []deed
	for _, e := range log[:len(log)-seeded] {
		got = append(got, deed{e.Action, e.Actor, e.Target, e.Facts})
		for _, fact := range e.Facts {
			for _, hidden := range []string{secret, rotated.Secret, "capability"} {
				require.NotContains(t, fact, hidden)
			}
		}
	}
	require.ElementsMatch(t, want, got)
}

// deeds is the audit log of the tenant.
func (w *world) deeds() []core.AuditEvent {
	w.t.Helper()
	log, err := w.svc.AuditLog(w.ctx, admin, app.AuditRequest{Tenant: acme, Page: ports.AuditPage{Limit: 100}})
	require.NoError(w.t, err)
	return log.Events
}
