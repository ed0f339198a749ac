package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/rowtext"
	"github.com/redrive/redrive/ports"
)

type webhookDeliveries struct{ t *tx }

const deliveryColumns = `tenant_id, endpoint_id, event_id, type, run_id, at, body, status, claim, tries, due_at, log`

func deliveryArgs(tenant core.TenantID, d core.WebhookDelivery) ([]any, error) {
	log, err := rowtext.Tries(d.Log)
	if err != nil {
		return nil, fmt.Errorf("delivery %s: %w", d.Event.ID, err)
	}
	return []any{
		tenant, d.Endpoint, d.Event.ID, d.Event.Type, nullText(d.Event.Run), d.Event.At, text(d.Event.Body),
		d.Status, d.Claim, d.Tries, nullTime(d.DueAt), log,
	}, nil
}

func scanDelivery(row pgx.CollectableRow) (d core.WebhookDelivery, err error) {
	var run pgtype.Text
	var due pgtype.Timestamptz
	var log []byte
	if err := row.Scan(&d.Tenant, &d.Endpoint, &d.Event.ID, &d.Event.Type, &run, &d.Event.At, &d.Event.Body,
		&d.Status, &d.Claim, &d.Tries, &due, &log); err != nil {
		return d, err
	}
	d.Event.Run, d.Event.At, d.DueAt = core.RunID(run.String), d.Event.At.UTC(), timeOf(due)
	d.Log, err = rowtext.ParseTries(log)
	return d, err
}

func (r webhookDeliveries) Insert(ctx context.Context, list ...core.WebhookDelivery) error {
	const sql = `
INSERT INTO webhook_deliveries (` + deliveryColumns + `)
SELECT tenant_id, $2, $3, $4, $5, $6::timestamptz, $7, $8, $9::integer, $10::integer, $11::timestamptz, $12::jsonb
  FROM tenants WHERE tenant_id = $1
ON CONFLICT DO NOTHING`
	for _, d := range list {
		args, err := deliveryArgs(r.t.tenant, d)
		if err != nil {
			return err
		}
		n, err := r.t.exec(ctx, sql, args...)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if _, err := tenants(r).Get(ctx); err != nil {
			return err
		}
		return r.breaks(ports.ErrExists)
	}
	return nil
}

// breaks: after it the transaction can only be rolled back.
func (r webhookDeliveries) breaks(err error) error {
	if r.t.failed == nil && !errors.Is(err, ports.ErrReadOnly) {
		r.t.failed = err
	}
	return err
}

func (r webhookDeliveries) Get(ctx context.Context, to core.WebhookEndpointID, id core.WebhookEventID) (core.WebhookDelivery, error) {
	const sql = `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND event_id = $3`
	return one(ctx, r.t, scanDelivery, sql, r.t.tenant, findable(to), findable(id))
}

func (r webhookDeliveries) Save(ctx context.Context, list ...core.WebhookDelivery) error {
	const sql = `
UPDATE webhook_deliveries SET status = $4, claim = $5, tries = $6, due_at = $7, log = $8
 WHERE tenant_id = $1 AND endpoint_id = $2 AND event_id = $3`
	for _, d := range list {
		args, err := deliveryArgs(r.t.tenant, d)
		if err != nil {
			return err
		}
		if err := r.t.overwrite(ctx, sql, append(args[:3:3], args[7:]...)...); err != nil {
			return r.breaks(err)
		}
	}
	return nil
}

func (r webhookDeliveries) Due(ctx context.Context, to core.WebhookEndpointID, now time.Time, limit int) ([]core.WebhookDelivery, error) {
	const sql = `
SELECT ` + deliveryColumns + ` FROM webhook_deliveries
 WHERE tenant_id = $1 AND endpoint_id = $2 AND status = 'pending' AND due_at <= $3 ORDER BY due_at, event_id LIMIT $4`
	return all(ctx, r.t, scanDelivery, sql, r.t.tenant, findable(to), now, max(limit, 0))
}

// List of a status that few have goes by an index of its own, which has the condition on
// it: else the whole log of the endpoint would be read for them.
func (r webhookDeliveries) List(ctx context.Context, filter ports.DeliveryFilter) ([]core.WebhookDelivery, error) {
	sql := `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2`
	args := []any{r.t.tenant, findable(filter.Endpoint), max(filter.Limit, 0)}
	if filter.Status != "" {
		sql += ` AND status = $4`
		args = append(args, findable(filter.Status))
		if filter.Status != core.DeliveryDelivered {
			sql += ` AND status <> 'delivered'`
		}
	}
	if filter.Before != (ports.DeliveryCursor{}) {
		n := len(args)
		sql += fmt.Sprintf(` AND (at, event_id) < ($%d, $%d)`, n+1, n+2)
		args = append(args, filter.Before.At, findable(filter.Before.ID))
	}
	return all(ctx, r.t, scanDelivery, sql+` ORDER BY at DESC, event_id DESC LIMIT $3`, args...)
}

func scanEndpointKey(row pgx.CollectableRow) (k ports.EndpointKey, err error) {
	err = row.Scan(&k.Tenant, &k.Endpoint)
	return k, err
}

// DueEndpoints implements ports.AllWebhooks. Each endpoint is one look into the index of
// what is pending: OFFSET 0 keeps Postgres from joining, for which it would read all of it. Citus
// joins, and asks only nodes of the tenants that are named for both tables.
func (s *Store) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	return across(ctx, s, scanEndpointKey, func(and string) string {
		return `
SELECT tenant_id, endpoint_id FROM webhook_endpoints e
 WHERE pause = '' AND (tenant_id, endpoint_id) > ($2, $3)
   AND EXISTS (SELECT FROM webhook_deliveries d
                WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.endpoint_id AND d.status = 'pending' AND d.due_at <= $1` + of(and, "d") + s.once(ctx) + `)
   AND NOT EXISTS (SELECT FROM moves m WHERE m.tenant_id = e.tenant_id AND m.closed` + s.once(ctx) + `)` + of(and, "e") + `
 ORDER BY tenant_id, endpoint_id LIMIT $4`
	}, now, findable(after.Tenant), findable(after.Endpoint), max(limit, 0))
}

// SweepDeliveries implements ports.AllWebhooks. It passes over what another server sweeps
// or changes at the moment. As a subquery, what is old could be looked for once for each row,
// and each time past those that were taken before, up to the limit.
func (s *Store) SweepDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.sweep(ctx, func(and string) string {
		return `
WITH old AS MATERIALIZED (
    SELECT tenant_id, endpoint_id, event_id FROM webhook_deliveries w
     WHERE at < $1` + s.notMoving(ctx, "w") + of(and, "w") + `
     ORDER BY at LIMIT $2 FOR UPDATE OF w SKIP LOCKED
)
DELETE FROM webhook_deliveries d USING old
 WHERE d.tenant_id = old.tenant_id AND d.endpoint_id = old.endpoint_id AND d.event_id = old.event_id` + of(and, "d")
	}, func(and string) string {
		return `
SELECT DISTINCT w.tenant_id FROM webhook_deliveries w WHERE w.at < $1` + s.notMoving(ctx, "w") + of(and, "w") + ` LIMIT $2`
	}, before, max(limit, 0))
}
