package sqlite

import (
	"context"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type webhookEvents struct{ t *tx }

// Tell looks who is subscribed when the transaction commits.
func (r webhookEvents) Tell(ctx context.Context, events ...core.WebhookEvent) error {
	const sql = `
INSERT INTO webhook_deliveries (tenant_id, endpoint_id, event_id, type, run_id, at, body, status, claim, tries, due_at, log)
SELECT ?1, endpoint_id, ?2, ?3, ?4, ?5, ?6, 'pending', 0, 0, ?5, '[]'
  FROM webhook_endpoints WHERE tenant_id = ?1 AND collects AND instr(types, ',' || ?3 || ',') > 0
ON CONFLICT DO NOTHING`
	if err := r.t.writable(ctx); err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if err := r.t.write(ofWebhooks, anyNumber, nil, sql, r.t.tenant, e.ID, e.Type, nullText(e.Run), e.At, text(e.Body)); err != nil {
			return err
		}
	}
	return nil
}

func (r webhookEvents) LowCredits(ctx context.Context) (core.LowCredits, error) {
	if a := r.t.account; a != nil {
		return a.low, r.t.usable(ctx)
	}
	const sql = `SELECT low_credits, low_told FROM credits WHERE tenant_id = ?`
	return one(ctx, r.t, ofCredits, scanLowCredits, sql, r.t.tenant)
}

func scanLowCredits(r *row) core.LowCredits {
	return core.LowCredits{Threshold: core.Credits(r.number()), Told: r.number() != 0}
}

const saveLowCredits = `UPDATE credits SET low_credits = ?2, low_told = ?3 WHERE tenant_id = ?1`

func (r webhookEvents) SaveLowCredits(ctx context.Context, low core.LowCredits) error {
	if err := r.t.lock(ctx, locktable.Credits, ""); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	if err := r.t.write(ofCredits, 1, ports.ErrNotFound, saveLowCredits, r.t.tenant, low.Threshold, low.Told); err != nil {
		return err
	}
	if a := r.t.account; a != nil {
		a.low = low
	}
	return nil
}

type webhookEndpoints struct{ t *tx }

const (
	endpointColumns = `tenant_id, endpoint_id, url, description, types, collects, pause, paused_at, secret, old_secret, old_secret_until,
 failing_since, succeeded_at, created_by_subject, created_by_tenant, created_by_role, created_at, updated_at`
	insertEndpoint = `INSERT INTO webhook_endpoints (` + endpointColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func endpointArgs(tenant core.TenantID, e core.WebhookEndpoint) []any {
	types := ","
	for _, t := range e.Types {
		types += string(t) + ","
	}
	return []any{
		tenant, e.ID, e.URL, e.Description, types, e.Collects(), e.Pause, nullTime(e.PausedAt), e.Secret, e.OldSecret, nullTime(e.OldSecretUntil),
		nullTime(e.FailingSince), nullTime(e.SucceededAt), text(e.CreatedBy.Subject), e.CreatedBy.Tenant, e.CreatedBy.Role, e.CreatedAt, e.UpdatedAt,
	}
}

func scanEndpoint(r *row) core.WebhookEndpoint {
	e := core.WebhookEndpoint{Tenant: core.TenantID(r.text()), ID: core.WebhookEndpointID(r.text()), URL: r.text(), Description: r.text()}
	for t := range strings.SplitSeq(strings.Trim(r.text(), ","), ",") {
		e.Types = append(e.Types, core.WebhookEventType(t))
	}
	_ = r.number() // collects follows from what follows
	e.Pause, e.PausedAt = core.EndpointPause(r.text()), r.time()
	e.Secret, e.OldSecret, e.OldSecretUntil = r.text(), r.text(), r.time()
	e.FailingSince, e.SucceededAt = r.time(), r.time()
	e.CreatedBy, e.CreatedAt, e.UpdatedAt = scanActor(r), r.time(), r.time()
	return e
}

func (r webhookEndpoints) Insert(ctx context.Context, e core.WebhookEndpoint) error {
	if err := r.t.lock(ctx, locktable.Webhook, string(e.ID)); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	if err := mustNot(r.there(ctx, e.ID)); err != nil {
		return err
	}
	return r.t.write(ofWebhooks, 1, ports.ErrExists, insertEndpoint, endpointArgs(r.t.tenant, e)...)
}

// there looks each time: unlike other rows endpoints go away.
func (r webhookEndpoints) there(ctx context.Context, id core.WebhookEndpointID) (bool, error) {
	found, err := all(ctx, r.t, ofWebhooks, func(r *row) int64 { return r.number() },
		`SELECT 1 FROM webhook_endpoints WHERE tenant_id = ? AND endpoint_id = ?`, r.t.tenant, findable(id))
	return len(found) > 0, err
}

func (r webhookEndpoints) Get(ctx context.Context, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	const sql = `SELECT ` + endpointColumns + ` FROM webhook_endpoints WHERE tenant_id = ? AND endpoint_id = ?`
	return one(ctx, r.t, ofWebhooks, scanEndpoint, sql, r.t.tenant, findable(id))
}

func (r webhookEndpoints) List(ctx context.Context) ([]core.WebhookEndpoint, error) {
	const sql = `SELECT ` + endpointColumns + ` FROM webhook_endpoints WHERE tenant_id = ? ORDER BY endpoint_id`
	return all(ctx, r.t, ofWebhooks, scanEndpoint, sql, r.t.tenant)
}

func (r webhookEndpoints) Lock(ctx context.Context, wait ports.Wait, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	if wait == ports.SkipLocked {
		if err := r.t.writable(ctx); err != nil {
			return core.WebhookEndpoint{}, err
		}
		if !r.t.tryLock(locktable.Webhook, string(id)) {
			return core.WebhookEndpoint{}, ports.ErrNotFound
		}
	} else if err := r.t.lock(ctx, locktable.Webhook, string(id)); err != nil {
		return core.WebhookEndpoint{}, err
	}
	return r.Get(ctx, id)
}

func (r webhookEndpoints) Save(ctx context.Context, e core.WebhookEndpoint) error {
	const sql = `
UPDATE webhook_endpoints SET url = ?3, description = ?4, types = ?5, collects = ?6, pause = ?7, paused_at = ?8, secret = ?9, old_secret = ?10,
       old_secret_until = ?11, failing_since = ?12, succeeded_at = ?13, created_by_subject = ?14, created_by_tenant = ?15,
       created_by_role = ?16, created_at = ?17, updated_at = ?18
 WHERE tenant_id = ?1 AND endpoint_id = ?2`
	if err := r.t.lock(ctx, locktable.Webhook, string(e.ID)); err != nil {
		return err
	}
	if err := must(r.there(ctx, e.ID)); err != nil {
		return err
	}
	return r.t.write(ofWebhooks, 1, ports.ErrNotFound, sql, endpointArgs(r.t.tenant, e)...)
}

func (r webhookEndpoints) Delete(ctx context.Context, id core.WebhookEndpointID) error {
	if err := r.t.lock(ctx, locktable.Webhook, string(id)); err != nil {
		return err
	}
	if err := must(r.there(ctx, id)); err != nil {
		return err
	}
	return r.t.write(ofWebhooks, 1, ports.ErrNotFound, `DELETE FROM webhook_endpoints WHERE tenant_id = ? AND endpoint_id = ?`, r.t.tenant, id)
}
