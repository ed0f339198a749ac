package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/answerjson"
	"github.com/redrive/redrive/ports"
)

type replies struct{ t *tx }

const replyColumns = `tenant_id, operation, key, fingerprint, result, refusal, at`

const insertReply = `INSERT INTO replies (` + replyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`

func (r replies) Get(ctx context.Context, op core.Operation, key core.Key) (core.Reply, error) {
	const sql = `SELECT ` + replyColumns + ` FROM replies WHERE tenant_id = $1 AND operation = $2 AND key = $3`
	return one(ctx, r.t, scanReply, sql, r.t.tenant, findable(op), findable(key))
}

func (r replies) Insert(ctx context.Context, row core.Reply) error {
	args, err := replyArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.insert(ctx, insertReply, args...)
}

func (r replies) Save(ctx context.Context, row core.Reply) error {
	const sql = `
UPDATE replies SET fingerprint = $4, result = $5, refusal = $6, at = $7
 WHERE tenant_id = $1 AND operation = $2 AND key = $3`
	args, err := replyArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.overwrite(ctx, sql, args...)
}

func replyArgs(tenant core.TenantID, r core.Reply) ([]any, error) {
	_, refusal, err := answerjson.Encode(core.Answer{Refusal: r.Refusal})
	if err != nil {
		return nil, err
	}
	return []any{tenant, r.Operation, r.Key, r.Fingerprint, r.Result, refusal, r.At}, nil
}

func scanReply(row pgx.CollectableRow) (r core.Reply, err error) {
	var refusal []byte
	if err := row.Scan(&r.Tenant, &r.Operation, &r.Key, &r.Fingerprint, &r.Result, &refusal, &r.At); err != nil {
		return core.Reply{}, err
	}
	var a core.Answer
	if err := answerjson.Decode(&a, nil, refusal); err != nil {
		return core.Reply{}, err
	}
	r.Refusal, r.At = a.Refusal, r.At.UTC()
	return r, nil
}

// Forget implements ports.Store. It passes over what another server removes at the moment.
// The condition of core.Reply.Forever is that of the index replies_at.
func (s *Store) Forget(ctx context.Context, before time.Time, limit int) (int, error) {
	const (
		oldReplies = `at < $1 AND (operation <> 'bulk_continue' OR refusal IS NOT NULL)`
		oldAnswers = `at < $1 AND run IS NULL`
		ofBulks    = `
WITH old AS MATERIALIZED (
    SELECT key FROM bulk_replies WHERE at < $1 AND refusal IS NOT NULL ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM bulk_replies r USING old WHERE r.key = old.key`
	)
	ofReplies := func(and string) string {
		return `
WITH old AS MATERIALIZED (
    SELECT tenant_id, operation, key FROM replies r
     WHERE ` + oldReplies + s.notMoving(ctx, "r") + of(and, "r") + `
     ORDER BY at LIMIT $2 FOR UPDATE OF r SKIP LOCKED
)
DELETE FROM replies r USING old WHERE r.tenant_id = old.tenant_id AND r.operation = old.operation AND r.key = old.key` + of(and, "r")
	}
	ofAnswers := func(and string) string {
		return `
WITH old AS MATERIALIZED (
    SELECT tenant_id, key FROM answers a
     WHERE ` + oldAnswers + s.notMoving(ctx, "a") + of(and, "a") + `
     ORDER BY at LIMIT $2 FOR UPDATE OF a SKIP LOCKED
)
DELETE FROM answers a USING old WHERE a.tenant_id = old.tenant_id AND a.key = old.key` + of(and, "a")
	}
	having := func(table, old string) func(and string) string {
		return func(and string) string {
			return `SELECT DISTINCT tenant_id FROM ` + table + ` WHERE ` + old + s.notMoving(ctx, table) + of(and, table) + ` LIMIT $2`
		}
	}
	limit = max(limit, 0)
	removed := 0
	var missing error
	for _, sweep := range []func(limit int) (int, error){
		func(limit int) (int, error) {
			return s.sweep(ctx, ofReplies, having("replies", oldReplies), before, limit)
		},
		func(limit int) (int, error) {
			return s.sweep(ctx, ofAnswers, having("answers", oldAnswers), before, limit)
		},
		func(limit int) (int, error) { return s.execute(ctx, ofBulks, before, limit) },
	} {
		n, err := sweep(limit - removed)
		removed += n
		switch {
		case errors.Is(err, ports.ErrIncomplete):
			missing = err
		case err != nil:
			return removed, err
		}
		if removed == limit {
			break
		}
	}
	return removed, missing
}

// RepliesAfter implements ports.Mover.
func (s *Store) RepliesAfter(ctx context.Context, tenant core.TenantID, op core.Operation, key core.Key, limit int) ([]core.Reply, error) {
	const sql = `SELECT ` + replyColumns + ` FROM replies WHERE tenant_id = $1 AND (operation, key) > ($2, $3) ORDER BY operation, key LIMIT $4`
	return list(ctx, s, scanReply, sql, findable(tenant), findable(op), findable(key), max(limit, 0))
}

var _ ports.Replies = replies{}
