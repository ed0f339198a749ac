package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/bulkjson"
	"github.com/redrive/redrive/ports"
)

// BulkContinues implements ports.Store.
func (s *Store) BulkContinues() ports.BulkContinues { return bulkContinues{s} }

type bulkContinues struct{ s *Store }

const bulkColumns = `bulk_id, tenant_id, key, status, created_at, changed_at, lease_until, version, details`

func scanBulk(r *row) core.Bulk {
	b := core.Bulk{
		ID: core.BulkID(r.text()), Tenant: core.TenantID(r.text()), Key: core.Key(r.text()), Status: core.BulkStatus(r.text()), CreatedAt: r.time(),
	}
	r.next++ // changed_at is among the details
	if until := r.number(); until != 0 {
		b.LeaseUntil = time.UnixMicro(until).UTC()
	}
	b.Version = r.number()
	if err := bulkjson.Decode(&b, r.text()); err != nil && r.err == nil {
		r.err = err
	}
	return b
}

func bulkArgs(b core.Bulk) ([]any, error) {
	details, err := bulkjson.Encode(b)
	until := int64(0)
	if !b.LeaseUntil.IsZero() {
		until = b.LeaseUntil.UnixMicro()
	}
	return []any{b.ID, b.Tenant, nullText(b.Key), b.Status, b.CreatedAt, b.ChangedAt, until, b.Version, details}, err
}

const (
	insertBulk       = `INSERT INTO bulk_continues (` + bulkColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	bulkReplyColumns = `key, fingerprint, result, refusal, at`
	insertBulkReply  = `INSERT INTO bulk_replies (` + bulkReplyColumns + `) VALUES (?, ?, ?, ?, ?)`
)

func (x bulkContinues) Insert(ctx context.Context, b core.Bulk, r *core.Reply) error {
	values, err := bulkArgs(b)
	if err != nil {
		return err
	}
	args, err := bind(values)
	if err != nil {
		return err
	}
	statements := []statement{{sql: insertBulk, args: args, rows: 1, otherwise: ports.ErrExists}}
	if r != nil {
		if values, err = replyArgs("", *r); err != nil {
			return err
		}
		if args, err = bind(values[2:]); err != nil {
			return err
		}
		statements = append(statements, statement{sql: insertBulkReply, args: args, rows: 1, otherwise: ports.ErrExists})
	}
	return x.s.writer.do(ctx, &job{statements: statements})
}

func (x bulkContinues) Reply(ctx context.Context, key core.Key) (core.Reply, error) {
	const sql = `SELECT '', '` + string(core.OperationBulkContinue) + `', ` + bulkReplyColumns + ` FROM bulk_replies WHERE key = ?`
	found, err := list(ctx, x.s, scanReply, sql, findable(key))
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return core.Reply{}, err
	}
	return found[0], nil
}

func (x bulkContinues) Refuse(ctx context.Context, r core.Reply) error {
	values, err := replyArgs("", r)
	if err != nil {
		return err
	}
	_, err = x.s.execute(ctx, insertBulkReply, values[2:]...)
	return err
}

func (x bulkContinues) one(ctx context.Context, where string, values ...any) (core.Bulk, error) {
	found, err := list(ctx, x.s, scanBulk, `SELECT `+bulkColumns+` FROM bulk_continues WHERE `+where, values...)
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return core.Bulk{}, err
	}
	return found[0], nil
}

func (x bulkContinues) Get(ctx context.Context, id core.BulkID) (core.Bulk, error) {
	return x.one(ctx, `bulk_id = ?`, findable(id))
}

func (x bulkContinues) Save(ctx context.Context, b core.Bulk) error {
	version := b.Version
	b.Version++
	args, err := bulkArgs(b)
	if err != nil {
		return err
	}
	const sql = `
UPDATE bulk_continues SET tenant_id = ?2, key = ?3, status = ?4, created_at = ?5, changed_at = ?6, lease_until = ?7, version = ?8, details = ?9
 WHERE bulk_id = ?1 AND version = ?10`
	n, err := x.s.execute(ctx, sql, append(args, version)...)
	if err != nil || n > 0 {
		return err
	}
	if _, err := x.Get(ctx, b.ID); err != nil {
		return err
	}
	return ports.ErrBulkChanged
}

func (x bulkContinues) List(ctx context.Context, f ports.BulkFilter) ([]core.Bulk, error) {
	sql := `SELECT ` + bulkColumns + ` FROM bulk_continues WHERE 1`
	var values []any
	if f.Tenant != "" {
		if findable(f.Tenant) != f.Tenant {
			return nil, nil
		}
		sql, values = sql+` AND tenant_id = ?`, append(values, f.Tenant)
	}
	if f.Unended {
		sql += ` AND status IN ('running', 'paused')`
	}
	if f.Before != (ports.BulkCursor{}) {
		sql, values = sql+` AND (created_at, bulk_id) < (?, ?)`, append(values, f.Before.CreatedAt, findable(f.Before.ID))
	}
	return list(ctx, x.s, scanBulk, sql+` ORDER BY created_at DESC, bulk_id DESC LIMIT ?`, append(values, max(f.Limit, 0))...)
}

func (x bulkContinues) Free(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.BulkKey, error) {
	const sql = `SELECT tenant_id, bulk_id FROM bulk_continues WHERE status = 'running' AND (lease_until <= ? OR lease_until > ?) ORDER BY lease_until, bulk_id LIMIT ?`
	return list(ctx, x.s, func(r *row) ports.BulkKey {
		return ports.BulkKey{Tenant: core.TenantID(r.text()), ID: core.BulkID(r.text())}
	}, sql, now, now.Add(horizon), max(limit, 0))
}

func (x bulkContinues) Parts(ctx context.Context, of ports.BulkKey) ([]core.BulkPart, error) {
	const sql = `SELECT ` + bulkPartColumns + ` FROM bulk_parts WHERE bulk_id = ?`
	if of.Tenant != "" {
		return list(ctx, x.s, scanBulkPart, sql+` AND tenant_id = ?`, findable(of.ID), findable(of.Tenant))
	}
	return list(ctx, x.s, scanBulkPart, sql+` ORDER BY tenant_id`, findable(of.ID))
}

func (x bulkContinues) Delete(ctx context.Context, id core.BulkID) error {
	_, err := x.s.execute(ctx, `DELETE FROM bulk_continues WHERE bulk_id = ? AND status IN ('finished', 'aborted')`, findable(id))
	return err
}

func (x bulkContinues) DeleteEnded(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM bulk_continues WHERE bulk_id IN (
    SELECT bulk_id FROM bulk_continues WHERE status IN ('finished', 'aborted') AND changed_at < ? LIMIT ?)`
	n, err := x.s.execute(ctx, sql, before, max(limit, 0))
	return int(n), err
}

func (x bulkContinues) Orphans(ctx context.Context, before time.Time, limit int) ([]ports.BulkPartKey, error) {
	const sql = `
SELECT p.tenant_id, p.bulk_id FROM bulk_parts p
 WHERE p.created_at < ? AND NOT EXISTS (SELECT 1 FROM bulk_continues b WHERE b.bulk_id = p.bulk_id)
   AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = p.tenant_id AND m.closed) LIMIT ?`
	return list(ctx, x.s, func(r *row) ports.BulkPartKey {
		return ports.BulkPartKey{Tenant: core.TenantID(r.text()), Bulk: core.BulkID(r.text())}
	}, sql, before, max(limit, 0))
}
