package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type webhookEvents struct{ t *tx }

// Tell keeps the events for the transaction's next statement, or for its commit: they take
// no round trip of their own, and one statement for all of them.
func (r webhookEvents) Tell(_ context.Context, events ...core.WebhookEvent) error {
	if err := r.t.writable(); err != nil {
		return err
	}
	r.t.told = append(r.t.told, events...)
	return nil
}

// queueTold queues the statement that writes what was told. For a tenant without endpoints
// it looks at one page of an index.
func (t *tx) queueTold(batch *pgx.Batch) {
	const sql = `
INSERT INTO webhook_deliveries (tenant_id, endpoint_id, event_id, type, run_id, at, body, status, claim, tries, due_at, log)
SELECT e.tenant_id, e.endpoint_id, v.id, v.type, v.run, v.at, v.body, 'pending', 0, 0, v.at, '[]'
  FROM webhook_endpoints e, unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[]) AS v (id, type, run, at, body)
 WHERE e.tenant_id = $1 AND e.collects AND v.type = ANY (e.types)
ON CONFLICT DO NOTHING`
	n := len(t.told)
	id, kind, body, run, at := make([]string, n), make([]string, n), make([]string, n), make([]*string, n), make([]time.Time, n)
	for i := range t.told {
		e := &t.told[i]
		id[i], kind[i], body[i], at[i] = string(e.ID), string(e.Type), text(e.Body), e.At
		if e.Run != "" {
			of := string(e.Run)
			run[i] = &of
		}
	}
	t.told = nil
	batch.Queue(sql, t.tenant, id, kind, run, at, body)
}

func (r webhookEvents) LowCredits(ctx context.Context) (core.LowCredits, error) {
	if a := r.t.account; a != nil {
		return a.low, nil
	}
	const sql = `SELECT low_credits, low_told FROM credits WHERE tenant_id = $1`
	return one(ctx, r.t, func(row pgx.CollectableRow) (low core.LowCredits, err error) {
		err = row.Scan(&low.Threshold, &low.Told)
		return low, err
	}, sql, r.t.tenant)
}

func (r webhookEvents) SaveLowCredits(ctx context.Context, low core.LowCredits) error {
	const sql = `UPDATE credits SET low_credits = $2, low_told = $3 WHERE tenant_id = $1`
	if err := r.t.overwrite(ctx, sql, r.t.tenant, low.Threshold, low.Told); err != nil {
		return err
	}
	if a := r.t.account; a != nil {
		a.low = low
	}
	return nil
}

type webhookEndpoints struct{ t *tx }

const endpointColumns = `tenant_id, endpoint_id, url, description, types, collects, pause, paused_at, secret, old_secret, old_secret_until,
 failing_since, succeeded_at, created_by_subject, created_by_tenant, created_by_role, created_at, updated_at`

func endpointArgs(tenant core.TenantID, e core.WebhookEndpoint) []any {
	types := make([]string, len(e.Types))
	for i, t := range e.Types {
		types[i] = string(t)
	}
	return []any{
		tenant, e.ID, e.URL, e.Description, types, e.Collects(), e.Pause, nullTime(e.PausedAt), e.Secret, e.OldSecret, nullTime(e.OldSecretUntil),
		nullTime(e.FailingSince), nullTime(e.SucceededAt), text(e.CreatedBy.Subject), e.CreatedBy.Tenant, e.CreatedBy.Role, e.CreatedAt, e.UpdatedAt,
	}
}

func scanEndpoint(row pgx.CollectableRow) (e core.WebhookEndpoint, err error) {
	var types []string
	var collects bool
	var paused, old, failing, succeeded pgtype.Timestamptz
	err = row.Scan(&e.Tenant, &e.ID, &e.URL, &e.Description, &types, &collects, &e.Pause, &paused, &e.Secret, &e.OldSecret, &old,
		&failing, &succeeded, &e.CreatedBy.Subject, &e.CreatedBy.Tenant, &e.CreatedBy.Role, &e.CreatedAt, &e.UpdatedAt)
	for _, t := range types {
		e.Types = append(e.Types, core.WebhookEventType(t))
	}
	e.PausedAt, e.OldSecretUntil, e.FailingSince, e.SucceededAt = timeOf(paused), timeOf(old), timeOf(failing), timeOf(succeeded)
	e.CreatedAt, e.UpdatedAt = e.CreatedAt.UTC(), e.UpdatedAt.UTC()
	return e, err
}

// Insert of a tenant that is not there is refused by a look, and not by the foreign key,
// after which the transaction could only be rolled back.
func (r webhookEndpoints) Insert(ctx context.Context, e core.WebhookEndpoint) error {
	const sql = `
INSERT INTO webhook_endpoints (` + endpointColumns + `)
SELECT tenant_id, $2, $3, $4, $5::text[], $6::boolean, $7, $8::timestamptz, $9, $10, $11::timestamptz, $12::timestamptz, $13::timestamptz,
       $14, $15, $16, $17::timestamptz, $18::timestamptz
  FROM tenants WHERE tenant_id = $1
ON CONFLICT DO NOTHING`
	n, err := r.t.exec(ctx, sql, endpointArgs(r.t.tenant, e)...)
	if err != nil || n > 0 {
		return err
	}
	if _, err := tenants(r).Get(ctx); err != nil {
		return err
	}
	return ports.ErrExists
}

func (r webhookEndpoints) Get(ctx context.Context, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	const sql = `SELECT ` + endpointColumns + ` FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2`
	return one(ctx, r.t, scanEndpoint, sql, r.t.tenant, findable(id))
}

func (r webhookEndpoints) List(ctx context.Context) ([]core.WebhookEndpoint, error) {
	const sql = `SELECT ` + endpointColumns + ` FROM webhook_endpoints WHERE tenant_id = $1 ORDER BY endpoint_id`
	return all(ctx, r.t, scanEndpoint, sql, r.t.tenant)
}

func (r webhookEndpoints) Lock(ctx context.Context, wait ports.Wait, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	sql := `SELECT ` + endpointColumns + ` FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2 FOR UPDATE`
	if wait == ports.SkipLocked {
		sql += ` SKIP LOCKED`
	}
	return oneLocked(ctx, r.t, scanEndpoint, sql, r.t.tenant, findable(id))
}

func (r webhookEndpoints) Save(ctx context.Context, e core.WebhookEndpoint) error {
	const sql = `
UPDATE webhook_endpoints SET url = $3, description = $4, types = $5, collects = $6, pause = $7, paused_at = $8, secret = $9, old_secret = $10,
       old_secret_until = $11, failing_since = $12, succeeded_at = $13, created_by_subject = $14, created_by_tenant = $15,
       created_by_role = $16, created_at = $17, updated_at = $18
 WHERE tenant_id = $1 AND endpoint_id = $2`
	return r.t.overwrite(ctx, sql, endpointArgs(r.t.tenant, e)...)
}

func (r webhookEndpoints) Delete(ctx context.Context, id core.WebhookEndpointID) error {
	return r.t.overwrite(ctx, `DELETE FROM webhook_endpoints WHERE tenant_id = $1 AND endpoint_id = $2`, r.t.tenant, findable(id))
}
