package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/bulkjson"
	"github.com/redrive/redrive/ports"
)

// BulkContinues implements ports.Store.
func (s *Store) BulkContinues() ports.BulkContinues { return bulkContinues{s} }

type bulkContinues struct{ s *Store }

const bulkColumns = `bulk_id, tenant_id, key, status, created_at, changed_at, lease_until, version, details`

func scanBulk(row pgx.CollectableRow) (b core.Bulk, err error) {
	var key *string
	var until *time.Time
	var changed time.Time // among the details too
	var details string
	if err := row.Scan(&b.ID, &b.Tenant, &key, &b.Status, &b.CreatedAt, &changed, &until, &b.Version, &details); err != nil {
		return b, err
	}
	b.CreatedAt = b.CreatedAt.UTC()
	if key != nil {
		b.Key = core.Key(*key)
	}
	if until != nil {
		b.LeaseUntil = until.UTC()
	}
	return b, bulkjson.Decode(&b, details)
}

func bulkArgs(b core.Bulk) ([]any, error) {
	details, err := bulkjson.Encode(b)
	return []any{b.ID, b.Tenant, nullText(b.Key), b.Status, b.CreatedAt, b.ChangedAt, nullTime(b.LeaseUntil), b.Version, details}, err
}

const insertBulk = `INSERT INTO bulk_continues (` + bulkColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// Insert is not repeated on another connection, unlike the others: a repeat after a
// lost answer would find its own row. So is Refuse.
func (x bulkContinues) Insert(ctx context.Context, b core.Bulk, r *core.Reply) error {
	args, err := bulkArgs(b)
	if err != nil {
		return err
	}
	sql := insertBulk
	if r != nil {
		reply, err := replyArgs("", *r)
		if err != nil {
			return err
		}
		args = append(args, reply[2:]...)
		sql = `WITH claimed AS (INSERT INTO bulk_replies (` + bulkReplyColumns + `) VALUES ($10, $11, $12, $13, $14)) ` + insertBulk
	}
	_, err = x.s.executeOnce(ctx, sql, args...)
	return err
}

const bulkReplyColumns = `key, fingerprint, result, refusal, at`

func (x bulkContinues) Reply(ctx context.Context, key core.Key) (core.Reply, error) {
	const sql = `SELECT '', '` + string(core.OperationBulkContinue) + `', ` + bulkReplyColumns + ` FROM bulk_replies WHERE key = $1`
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
	args, err := replyArgs("", r)
	if err != nil {
		return err
	}
	_, err = x.s.executeOnce(ctx, `INSERT INTO bulk_replies (`+bulkReplyColumns+`) VALUES ($1, $2, $3, $4, $5)`, args[2:]...)
	return err
}

func (x bulkContinues) one(ctx context.Context, where string, args ...any) (core.Bulk, error) {
	found, err := list(ctx, x.s, scanBulk, `SELECT `+bulkColumns+` FROM bulk_continues WHERE `+where, args...)
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return core.Bulk{}, err
	}
	return found[0], nil
}

func (x bulkContinues) Get(ctx context.Context, id core.BulkID) (core.Bulk, error) {
	return x.one(ctx, `bulk_id = $1`, findable(id))
}

// Save may be repeated: a repeat finds the version that it wrote, and says that it was changed.
func (x bulkContinues) Save(ctx context.Context, b core.Bulk) error {
	version := b.Version
	b.Version++
	args, err := bulkArgs(b)
	if err != nil {
		return err
	}
	const sql = `
UPDATE bulk_continues SET tenant_id = $2, key = $3, status = $4, created_at = $5, changed_at = $6, lease_until = $7, version = $8, details = $9
 WHERE bulk_id = $1 AND version = $10`
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
	sql, args := `SELECT `+bulkColumns+` FROM bulk_continues WHERE true`, []any{max(f.Limit, 0)}
	if f.Tenant != "" {
		if findable(f.Tenant) != f.Tenant {
			return nil, nil
		}
		args = append(args, f.Tenant)
		sql += fmt.Sprintf(` AND tenant_id = $%d`, len(args))
	}
	if f.Unended {
		sql += ` AND status IN ('running', 'paused')`
	}
	if f.Before != (ports.BulkCursor{}) {
		args = append(args, f.Before.CreatedAt, findable(f.Before.ID))
		sql += fmt.Sprintf(` AND (created_at, bulk_id) < ($%d, $%d)`, len(args)-1, len(args))
	}
	return list(ctx, x.s, scanBulk, sql+` ORDER BY created_at DESC, bulk_id DESC LIMIT $1`, args...)
}

func (x bulkContinues) Free(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.BulkKey, error) {
	const sql = `
SELECT tenant_id, bulk_id FROM bulk_continues WHERE status = 'running' AND (lease_until IS NULL OR lease_until <= $1 OR lease_until > $2)
 ORDER BY lease_until NULLS FIRST, bulk_id LIMIT $3`
	return list(ctx, x.s, pgx.RowToStructByPos[ports.BulkKey], sql, now, now.Add(horizon), max(limit, 0))
}

func (x bulkContinues) Parts(ctx context.Context, key ports.BulkKey) ([]core.BulkPart, error) {
	const sql = `SELECT ` + bulkPartColumns + ` FROM bulk_parts WHERE bulk_id = $1`
	if key.Tenant != "" {
		return list(ctx, x.s, scanBulkPart, sql+` AND tenant_id = $2`, findable(key.ID), findable(key.Tenant))
	}
	return across(ctx, x.s, scanBulkPart, func(and string) string {
		return sql + of(and, "bulk_parts") + ` ORDER BY tenant_id`
	}, findable(key.ID))
}

func (x bulkContinues) Delete(ctx context.Context, id core.BulkID) error {
	_, err := x.s.execute(ctx, `DELETE FROM bulk_continues WHERE bulk_id = $1 AND status IN ('finished', 'aborted')`, findable(id))
	return err
}

// DeleteEnded passes over what another server sweeps at the moment.
func (x bulkContinues) DeleteEnded(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM bulk_continues WHERE bulk_id = ANY (ARRAY(
    SELECT bulk_id FROM bulk_continues WHERE status IN ('finished', 'aborted') AND changed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`
	return x.s.execute(ctx, sql, before, max(limit, 0))
}

func (x bulkContinues) Orphans(ctx context.Context, before time.Time, limit int) ([]ports.BulkPartKey, error) {
	if x.s.citus(ctx) {
		return x.orphansOnCitus(ctx, before, max(limit, 0))
	}
	const sql = `
SELECT p.tenant_id, p.bulk_id FROM bulk_parts p
 WHERE p.created_at < $1 AND NOT EXISTS (SELECT FROM bulk_continues b WHERE b.bulk_id = p.bulk_id)
   AND NOT EXISTS (SELECT FROM moves m WHERE m.tenant_id = p.tenant_id AND m.closed OFFSET 0) LIMIT $2`
	return list(ctx, x.s, pgx.RowToStructByPos[ports.BulkPartKey], sql, before, max(limit, 0))
}

// orphansOnCitus reads the old parts, of the nodes, and leaves out those whose bulk continue
// is there, on the coordinator. Bulk continues are few, and swept themselves.
func (x bulkContinues) orphansOnCitus(ctx context.Context, before time.Time, limit int) ([]ports.BulkPartKey, error) {
	there, err := list(ctx, x.s, pgx.RowTo[string], `SELECT bulk_id FROM bulk_continues`)
	if err != nil {
		return nil, err
	}
	return across(ctx, x.s, pgx.RowToStructByPos[ports.BulkPartKey], func(and string) string {
		return `SELECT p.tenant_id, p.bulk_id FROM bulk_parts p WHERE p.created_at < $1 AND p.bulk_id <> ALL ($3::text[])` + of(and, "p") + ` LIMIT $2`
	}, before, limit, there)
}
