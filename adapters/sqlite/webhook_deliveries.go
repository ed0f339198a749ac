package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type webhookDeliveries struct{ t *tx }

const (
	deliveryColumns = `tenant_id, endpoint_id, event_id, type, run_id, at, body, status, claim, tries, due_at, log`
	insertDelivery  = `INSERT INTO webhook_deliveries (` + deliveryColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func deliveryArgs(tenant core.TenantID, d core.WebhookDelivery) ([]any, error) {
	log := append([]core.DeliveryTry{}, d.Log...) // no null, and not the caller's
	for i := range log {
		log[i].Error, log[i].Answer = text(log[i].Error), text(log[i].Answer)
	}
	tries, err := json.Marshal(log)
	if err != nil {
		return nil, fmt.Errorf("delivery %s: %w", d.Event.ID, err)
	}
	return []any{
		tenant, d.Endpoint, d.Event.ID, d.Event.Type, nullText(d.Event.Run), d.Event.At, text(d.Event.Body),
		d.Status, d.Claim, d.Tries, nullTime(d.DueAt), string(tries),
	}, nil
}

func scanDelivery(r *row) core.WebhookDelivery {
	d := core.WebhookDelivery{Tenant: core.TenantID(r.text()), Endpoint: core.WebhookEndpointID(r.text())}
	d.Event = core.WebhookEvent{
		ID: core.WebhookEventID(r.text()), Type: core.WebhookEventType(r.text()), Run: core.RunID(r.text()), At: r.time(), Body: r.text(),
	}
	d.Status, d.Claim, d.Tries, d.DueAt = core.DeliveryStatus(r.text()), r.int(), r.int(), r.time()
	if err := json.Unmarshal([]byte(r.text()), &d.Log); err != nil && r.err == nil {
		r.err = fmt.Errorf("sqlite: delivery %s: %w", d.Event.ID, err)
	}
	if len(d.Log) == 0 {
		d.Log = nil
	}
	return d
}

func (r webhookDeliveries) there(ctx context.Context, d *core.WebhookDelivery) (bool, error) {
	found, err := all(ctx, r.t, ofWebhooks, func(r *row) int64 { return r.number() },
		`SELECT 1 FROM webhook_deliveries WHERE tenant_id = ? AND endpoint_id = ? AND event_id = ?`,
		r.t.tenant, findable(d.Endpoint), findable(d.Event.ID))
	return len(found) > 0, err
}

func (r webhookDeliveries) Insert(ctx context.Context, list ...core.WebhookDelivery) error {
	for i := range list {
		d := &list[i]
		if err := r.t.lock(ctx, locktable.Webhook, string(d.Endpoint)); err != nil {
			return err
		}
		if err := must(r.t.tenantExists(ctx)); err != nil {
			return err
		}
		if err := mustNot(r.there(ctx, d)); err != nil {
			return r.t.breaks(err)
		}
		args, err := deliveryArgs(r.t.tenant, *d)
		if err != nil {
			return err
		}
		if err := r.t.write(ofWebhooks, 1, ports.ErrExists, insertDelivery, args...); err != nil {
			return err
		}
	}
	return nil
}

func (r webhookDeliveries) Get(ctx context.Context, to core.WebhookEndpointID, id core.WebhookEventID) (core.WebhookDelivery, error) {
	const sql = `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE tenant_id = ? AND endpoint_id = ? AND event_id = ?`
	return one(ctx, r.t, ofWebhooks, scanDelivery, sql, r.t.tenant, findable(to), findable(id))
}

func (r webhookDeliveries) Save(ctx context.Context, list ...core.WebhookDelivery) error {
	const sql = `
UPDATE webhook_deliveries SET status = ?4, claim = ?5, tries = ?6, due_at = ?7, log = ?8
 WHERE tenant_id = ?1 AND endpoint_id = ?2 AND event_id = ?3`
	for i := range list { // before anything is written, or each look would be dear
		if err := r.t.lock(ctx, locktable.Webhook, string(list[i].Endpoint)); err != nil {
			return err
		}
		if err := must(r.there(ctx, &list[i])); err != nil {
			return r.t.breaks(err)
		}
	}
	for _, d := range list {
		args, err := deliveryArgs(r.t.tenant, d)
		if err != nil {
			return err
		}
		if err := r.t.write(ofWebhooks, 1, ports.ErrNotFound, sql, append(args[:3:3], args[7:]...)...); err != nil {
			return err
		}
	}
	return nil
}

func (r webhookDeliveries) Due(ctx context.Context, to core.WebhookEndpointID, now time.Time, limit int) ([]core.WebhookDelivery, error) {
	const sql = `
SELECT ` + deliveryColumns + ` FROM webhook_deliveries
 WHERE tenant_id = ? AND endpoint_id = ? AND status = 'pending' AND due_at <= ? ORDER BY due_at, event_id LIMIT ?`
	return all(ctx, r.t, ofWebhooks, scanDelivery, sql, r.t.tenant, findable(to), now, max(limit, 0))
}

// List of a status that few have goes by an index of its own, which has the condition on
// it: else the whole log of the endpoint would be read for them.
func (r webhookDeliveries) List(ctx context.Context, filter ports.DeliveryFilter) ([]core.WebhookDelivery, error) {
	sql := `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE tenant_id = ?1 AND endpoint_id = ?2`
	args := []any{r.t.tenant, findable(filter.Endpoint), max(filter.Limit, 0)}
	if filter.Status != "" {
		sql += ` AND status = ?4`
		args = append(args, findable(filter.Status))
		if filter.Status != core.DeliveryDelivered {
			sql += ` AND status <> 'delivered'`
		}
	}
	if filter.Before != (ports.DeliveryCursor{}) {
		n := len(args)
		sql += fmt.Sprintf(` AND (at, event_id) < (?%d, ?%d)`, n+1, n+2)
		args = append(args, filter.Before.At, findable(filter.Before.ID))
	}
	return all(ctx, r.t, ofWebhooks, scanDelivery, sql+` ORDER BY at DESC, event_id DESC LIMIT ?3`, args...)
}

// DueEndpoints implements ports.AllWebhooks.
func (s *Store) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	const sql = `
SELECT tenant_id, endpoint_id FROM webhook_endpoints e
 WHERE pause = '' AND (tenant_id, endpoint_id) > (?2, ?3)
   AND EXISTS (SELECT 1 FROM webhook_deliveries d
                WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.endpoint_id AND d.status = 'pending' AND d.due_at <= ?1)
   AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = e.tenant_id AND m.closed)
 ORDER BY tenant_id, endpoint_id LIMIT ?4`
	return list(ctx, s, func(r *row) ports.EndpointKey {
		return ports.EndpointKey{Tenant: core.TenantID(r.text()), Endpoint: core.WebhookEndpointID(r.text())}
	}, sql, now, findable(after.Tenant), findable(after.Endpoint), max(limit, 0))
}

// SweepDeliveries implements ports.AllWebhooks.
func (s *Store) SweepDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM webhook_deliveries WHERE rowid IN (
    SELECT rowid FROM webhook_deliveries w
     WHERE at < ? AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = w.tenant_id AND m.closed)
     ORDER BY at LIMIT ?)`
	n, err := s.execute(ctx, sql, before, max(limit, 0))
	return int(n), err
}
