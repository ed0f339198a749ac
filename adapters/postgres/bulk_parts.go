package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/bulkjson"
	"github.com/redrive/redrive/ports"
)

type bulkParts struct{ t *tx }

const (
	bulkPartColumns = `tenant_id, bulk_id, created_at, fence, last_at, totals`
	bulkRunColumns  = `place, run_id, state, open, details`
	// maxBulkChunk is how many runs a statement writes.
	maxBulkChunk = 1_000
)

func scanBulkPart(row pgx.CollectableRow) (p core.BulkPart, err error) {
	var last *time.Time
	var totals string
	if err := row.Scan(&p.Tenant, &p.Bulk, &p.CreatedAt, &p.Fence, &last, &totals); err != nil {
		return p, err
	}
	p.CreatedAt = p.CreatedAt.UTC()
	if last != nil {
		p.LastAt = last.UTC()
	}
	p.Totals, err = bulkjson.DecodeTotals(totals)
	return p, err
}

func scanBulkRun(row pgx.CollectableRow) (r core.BulkRun, err error) {
	var details string
	if err := row.Scan(&r.Place, &r.Run, &r.State, &r.Open, &details); err != nil {
		return r, err
	}
	return r, bulkjson.DecodeRun(&r, details)
}

func (b bulkParts) partArgs(p core.BulkPart) ([]any, error) {
	totals, err := bulkjson.EncodeTotals(p.Totals)
	return []any{b.t.tenant, p.Bulk, p.CreatedAt, p.Fence, nullTime(p.LastAt), totals}, err
}

// runArgs are the columns of runs, as arrays.
func (b bulkParts) runArgs(id core.BulkID, runs []core.BulkRun) ([]any, error) {
	n := len(runs)
	places, ids, states, opens, details := make([]int32, n), make([]string, n), make([]string, n), make([]bool, n), make([]string, n)
	for i, r := range runs {
		var err error
		if details[i], err = bulkjson.EncodeRun(r); err != nil {
			return nil, err
		}
		places[i], ids[i], states[i], opens[i] = int32(r.Place), string(r.Run), string(r.State), r.Open
	}
	return []any{b.t.tenant, id, places, ids, states, opens, details}, nil
}

func (b bulkParts) Insert(ctx context.Context, p core.BulkPart, runs []core.BulkRun) error {
	args, err := b.partArgs(p)
	if err != nil {
		return err
	}
	const part = `INSERT INTO bulk_parts (` + bulkPartColumns + `) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	if err := b.t.insert(ctx, part, args...); err != nil {
		return err
	}
	const sql = `
INSERT INTO bulk_runs (tenant_id, bulk_id, ` + bulkRunColumns + `)
SELECT p.tenant_id, p.bulk_id, v.* FROM bulk_parts p, unnest($3::int[], $4::text[], $5::text[], $6::bool[], $7::text[]) AS v (` + bulkRunColumns + `)
 WHERE p.tenant_id = $1 AND p.bulk_id = $2`
	for chunk := range slices.Chunk(runs, maxBulkChunk) {
		args, err := b.runArgs(p.Bulk, chunk)
		if err != nil {
			return b.t.fail(err)
		}
		if _, err := b.t.exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}

func (b bulkParts) Make(ctx context.Context, row core.Bulk) error {
	if _, err := b.t.Tenants().Get(ctx); err != nil {
		return err // no foreign key asks for it: the row may be of no tenant
	}
	row.Tenant = b.t.tenant
	args, err := bulkArgs(row)
	if err != nil {
		return b.t.fail(err)
	}
	return b.t.insert(ctx, insertBulk+` ON CONFLICT DO NOTHING`, args...)
}

func (b bulkParts) Lock(ctx context.Context, id core.BulkID) (core.BulkPart, error) {
	const sql = `SELECT ` + bulkPartColumns + ` FROM bulk_parts WHERE tenant_id = $1 AND bulk_id = $2 FOR NO KEY UPDATE`
	return oneLocked(ctx, b.t, scanBulkPart, sql, b.t.tenant, findable(id))
}

func (b bulkParts) Save(ctx context.Context, p core.BulkPart, runs ...core.BulkRun) error {
	args, err := b.partArgs(p)
	if err != nil {
		return err
	}
	const part = `UPDATE bulk_parts SET created_at = $3, fence = $4, last_at = $5, totals = $6 WHERE tenant_id = $1 AND bulk_id = $2`
	if err := b.t.overwrite(ctx, part, args...); err != nil || len(runs) == 0 {
		return err
	}
	if args, err = b.runArgs(p.Bulk, runs); err != nil {
		return b.t.fail(err)
	}
	sql := `
UPDATE bulk_runs r SET state = v.state, open = v.open, details = v.details
  FROM (SELECT $1::text AS tenant_id, $2::text AS bulk_id, u.*
          FROM unnest($3::int[], $4::text[], $5::text[], $6::bool[], $7::text[]) AS u (` + bulkRunColumns + `) OFFSET 0) v
 WHERE r.tenant_id = v.tenant_id AND r.bulk_id = v.bulk_id AND r.place = v.place AND r.run_id = v.run_id` + ofTenant(b.t.citus, "r")
	n, err := b.t.exec(ctx, sql, args...)
	if err == nil && n != int64(len(runs)) {
		err = b.t.fail(ports.ErrNotFound)
	}
	return err
}

func (b bulkParts) Runs(ctx context.Context, id core.BulkID, f ports.BulkRunFilter) ([]core.BulkRun, error) {
	sql := `SELECT ` + bulkRunColumns + ` FROM bulk_runs WHERE tenant_id = $1 AND bulk_id = $2 AND place >= $3`
	args := []any{b.t.tenant, findable(id), f.From, max(f.Limit, 0)}
	switch f.State { // as words, so that the indexes of some states are used
	case "":
	case core.BulkRunWaiting:
		sql += ` AND state = 'waiting'`
	case core.BulkRunContinued:
		sql += ` AND state = 'continued'`
	default:
		sql += ` AND state = 'refused'`
	}
	if f.Open {
		sql += ` AND open`
	}
	if f.Run != "" {
		sql, args = sql+` AND run_id = $5`, append(args, findable(f.Run))
	}
	return all(ctx, b.t, scanBulkRun, sql+` ORDER BY place LIMIT $4`, args...)
}

func (b bulkParts) Delete(ctx context.Context, id core.BulkID) error {
	if _, err := b.t.exec(ctx, `DELETE FROM bulk_runs WHERE tenant_id = $1 AND bulk_id = $2`, b.t.tenant, findable(id)); err != nil {
		return err
	}
	_, err := b.t.exec(ctx, `DELETE FROM bulk_parts WHERE tenant_id = $1 AND bulk_id = $2`, b.t.tenant, findable(id))
	return err
}
