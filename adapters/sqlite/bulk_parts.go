package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/bulkjson"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type bulkParts struct{ t *tx }

const (
	bulkPartColumns = `tenant_id, bulk_id, created_at, fence, last_at, totals`
	insertBulkPart  = `INSERT INTO bulk_parts (` + bulkPartColumns + `) VALUES (?, ?, ?, ?, ?, ?)`
	saveBulkPart    = `UPDATE bulk_parts SET created_at = ?3, fence = ?4, last_at = ?5, totals = ?6 WHERE tenant_id = ?1 AND bulk_id = ?2`
	insertBulkRun   = `INSERT INTO bulk_runs (tenant_id, bulk_id, place, run_id, state, open, details) VALUES (?, ?, ?, ?, ?, ?, ?)`
	saveBulkRun     = `UPDATE bulk_runs SET state = ?5, open = ?6, details = ?7 WHERE tenant_id = ?1 AND bulk_id = ?2 AND place = ?3 AND run_id = ?4`
)

func scanBulkPart(r *row) core.BulkPart {
	p := core.BulkPart{Tenant: core.TenantID(r.text()), Bulk: core.BulkID(r.text()), CreatedAt: r.time(), Fence: r.number(), LastAt: r.time()}
	var err error
	if p.Totals, err = bulkjson.DecodeTotals(r.text()); err != nil && r.err == nil {
		r.err = err
	}
	return p
}

func scanBulkRun(r *row) core.BulkRun {
	x := core.BulkRun{Place: r.int(), Run: core.RunID(r.text()), State: core.BulkRunState(r.text()), Open: r.number() != 0}
	if err := bulkjson.DecodeRun(&x, r.text()); err != nil && r.err == nil {
		r.err = err
	}
	return x
}

func (b bulkParts) partArgs(p core.BulkPart) ([]any, error) {
	totals, err := bulkjson.EncodeTotals(p.Totals)
	return []any{b.t.tenant, p.Bulk, p.CreatedAt, p.Fence, nullTime(p.LastAt), totals}, err
}

func (b bulkParts) runArgs(id core.BulkID, r core.BulkRun) ([]any, error) {
	details, err := bulkjson.EncodeRun(r)
	return []any{b.t.tenant, id, r.Place, r.Run, r.State, r.Open, details}, err
}

func (b bulkParts) exists(ctx context.Context, id core.BulkID) (bool, error) {
	return b.t.exists(ctx, rowKey{kind: locktable.Bulk, id: string(id)},
		`SELECT 1 FROM bulk_parts WHERE tenant_id = ? AND bulk_id = ?`, b.t.tenant, findable(id))
}

func (b bulkParts) Insert(ctx context.Context, p core.BulkPart, runs []core.BulkRun) error {
	if err := b.t.lock(ctx, locktable.Bulk, string(p.Bulk)); err != nil {
		return err
	}
	if err := mustNot(b.exists(ctx, p.Bulk)); err != nil {
		return err
	}
	if err := must(b.t.tenantExists(ctx)); err != nil {
		return err
	}
	args, err := b.partArgs(p)
	if err != nil {
		return b.t.fail(err)
	}
	if err := b.t.write(ofBulks, 1, ports.ErrExists, insertBulkPart, args...); err != nil {
		return err
	}
	for _, r := range runs {
		if err := b.write(p.Bulk, r, ports.ErrExists, insertBulkRun); err != nil {
			return err
		}
	}
	b.t.isThere(rowKey{kind: locktable.Bulk, id: string(p.Bulk)})
	return nil
}

// Make fails at the commit if the ID or the key was used before, unless that is found here.
func (b bulkParts) Make(ctx context.Context, made core.Bulk) error {
	if err := b.t.writable(ctx); err != nil {
		return err
	}
	if err := must(b.t.tenantExists(ctx)); err != nil {
		return err
	}
	made.Tenant = b.t.tenant
	used, err := list(ctx, b.t.store, func(r *row) int { return r.int() },
		`SELECT 1 FROM bulk_continues WHERE bulk_id = ? UNION ALL SELECT 1 FROM bulk_continues WHERE tenant_id = ? AND key = ?`,
		made.ID, made.Tenant, nullText(made.Key))
	if err != nil {
		return b.t.fail(err)
	}
	if len(used) > 0 {
		return ports.ErrExists
	}
	args, err := bulkArgs(made)
	if err != nil {
		return b.t.fail(err)
	}
	return b.t.write(ofBulks, 1, ports.ErrExists, insertBulk, args...)
}

func (b bulkParts) write(id core.BulkID, r core.BulkRun, otherwise error, sql string) error {
	args, err := b.runArgs(id, r)
	if err != nil {
		return b.t.fail(err)
	}
	return b.t.write(ofBulks, 1, otherwise, sql, args...)
}

func (b bulkParts) Lock(ctx context.Context, id core.BulkID) (core.BulkPart, error) {
	if err := b.t.lock(ctx, locktable.Bulk, string(id)); err != nil {
		return core.BulkPart{}, err
	}
	const sql = `SELECT ` + bulkPartColumns + ` FROM bulk_parts WHERE tenant_id = ? AND bulk_id = ?`
	return one(ctx, b.t, ofBulks, scanBulkPart, sql, b.t.tenant, findable(id))
}

func (b bulkParts) Save(ctx context.Context, p core.BulkPart, runs ...core.BulkRun) error {
	if err := b.t.lock(ctx, locktable.Bulk, string(p.Bulk)); err != nil {
		return err
	}
	if err := must(b.exists(ctx, p.Bulk)); err != nil {
		return b.t.breaks(err)
	}
	args, err := b.partArgs(p)
	if err != nil {
		return b.t.fail(err)
	}
	if err := b.t.write(ofBulks, 1, ports.ErrNotFound, saveBulkPart, args...); err != nil {
		return err
	}
	for _, r := range runs {
		if err := b.write(p.Bulk, r, ports.ErrNotFound, saveBulkRun); err != nil {
			return err
		}
	}
	return nil
}

func (b bulkParts) Runs(ctx context.Context, id core.BulkID, f ports.BulkRunFilter) ([]core.BulkRun, error) {
	// Of each combination that is asked for there is an index; a word of its own in each
	// keeps SQLite from another.
	sql := `SELECT place, run_id, state, open, details FROM bulk_runs WHERE tenant_id = ? AND bulk_id = ? AND place >= ?`
	values := []any{b.t.tenant, findable(id), f.From}
	switch f.State {
	case "":
	case core.BulkRunWaiting:
		sql += ` AND state = 'waiting'`
	default:
		sql, values = sql+` AND state = ?`, append(values, f.State)
	}
	if f.Open {
		sql += ` AND open = 1`
	}
	if f.Run != "" {
		sql, values = sql+` AND run_id = ?`, append(values, findable(f.Run))
	}
	return all(ctx, b.t, ofBulks, scanBulkRun, sql+` ORDER BY place LIMIT ?`, append(values, max(f.Limit, 0))...)
}

func (b bulkParts) Delete(ctx context.Context, id core.BulkID) error {
	if err := b.t.lock(ctx, locktable.Bulk, string(id)); err != nil {
		return err
	}
	if err := b.t.write(ofBulks, anyNumber, nil, `DELETE FROM bulk_runs WHERE tenant_id = ? AND bulk_id = ?`, b.t.tenant, findable(id)); err != nil {
		return err
	}
	delete(b.t.there, rowKey{kind: locktable.Bulk, id: string(id)})
	return b.t.write(ofBulks, anyNumber, nil, `DELETE FROM bulk_parts WHERE tenant_id = ? AND bulk_id = ?`, b.t.tenant, findable(id))
}
