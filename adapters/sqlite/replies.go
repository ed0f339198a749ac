package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/answerjson"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type replies struct{ t *tx }

var _ ports.Replies = replies{}

const (
	replyColumns = `tenant_id, operation, key, fingerprint, result, refusal, at`
	insertReply  = `INSERT INTO replies (` + replyColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

// replyRow names a reply's row. No operation has a slash in its name.
func replyRow(op core.Operation, key core.Key) rowKey {
	return rowKey{kind: locktable.Reply, id: string(op) + "/" + string(key)}
}

func (r replies) exists(ctx context.Context, op core.Operation, key core.Key) (bool, error) {
	return r.t.exists(ctx, replyRow(op, key),
		`SELECT 1 FROM replies WHERE tenant_id = ? AND operation = ? AND key = ?`, r.t.tenant, findable(op), findable(key))
}

func (r replies) Get(ctx context.Context, op core.Operation, key core.Key) (core.Reply, error) {
	const sql = `SELECT ` + replyColumns + ` FROM replies WHERE tenant_id = ? AND operation = ? AND key = ?`
	return one(ctx, r.t, ofReplies, scanReply, sql, r.t.tenant, findable(op), findable(key))
}

func (r replies) Insert(ctx context.Context, row core.Reply) error {
	name := replyRow(row.Operation, row.Key)
	if err := r.t.lock(ctx, locktable.Reply, name.id); err != nil {
		return err
	}
	if err := mustNot(r.exists(ctx, row.Operation, row.Key)); err != nil {
		return err
	}
	if err := must(r.t.tenantExists(ctx)); err != nil {
		return err
	}
	args, err := replyArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	if err := r.t.write(ofReplies, 1, ports.ErrExists, insertReply, args...); err != nil {
		return err
	}
	r.t.isThere(name)
	return nil
}

func (r replies) Save(ctx context.Context, row core.Reply) error {
	const sql = `
UPDATE replies SET fingerprint = ?4, result = ?5, refusal = ?6, at = ?7
 WHERE tenant_id = ?1 AND operation = ?2 AND key = ?3`
	if err := r.t.lock(ctx, locktable.Reply, replyRow(row.Operation, row.Key).id); err != nil {
		return err
	}
	if err := must(r.exists(ctx, row.Operation, row.Key)); err != nil {
		return err
	}
	args, err := replyArgs(r.t.tenant, row)
	if err != nil {
		return err
	}
	return r.t.write(ofReplies, 1, ports.ErrNotFound, sql, args...)
}

func replyArgs(tenant core.TenantID, r core.Reply) ([]any, error) {
	_, refusal, err := answerjson.Encode(core.Answer{Refusal: r.Refusal})
	if err != nil {
		return nil, err
	}
	return []any{tenant, r.Operation, r.Key, r.Fingerprint, nullText(string(r.Result)), nullText(string(refusal)), r.At}, nil
}

func scanReply(r *row) core.Reply {
	x := core.Reply{Tenant: core.TenantID(r.text()), Operation: core.Operation(r.text()), Key: core.Key(r.text()), Fingerprint: r.text()}
	var a core.Answer
	x.Result = jsonOf(r)
	refusal := jsonOf(r)
	x.At = r.time()
	if err := answerjson.Decode(&a, nil, refusal); err != nil && r.err == nil {
		r.err = err
	}
	x.Refusal = a.Refusal
	return x
}

// Forget implements ports.Store. The condition of core.Reply.Forever is that of the index
// replies_at.
func (s *Store) Forget(ctx context.Context, before time.Time, limit int) (int, error) {
	const (
		ofReplies = `
DELETE FROM replies WHERE rowid IN (
    SELECT rowid FROM replies WHERE at < ? AND (operation <> 'bulk_continue' OR refusal IS NOT NULL) AND tenant_id NOT IN (` + movingTenants + `) ORDER BY at LIMIT ?)`
		ofAnswers = `
DELETE FROM answers WHERE rowid IN (
    SELECT rowid FROM answers WHERE at < ? AND run IS NULL AND tenant_id NOT IN (` + movingTenants + `) ORDER BY at LIMIT ?)`
		ofBulks = `
DELETE FROM bulk_replies WHERE rowid IN (
    SELECT rowid FROM bulk_replies WHERE at < ? AND refusal IS NOT NULL ORDER BY at LIMIT ?)`
	)
	limit = max(limit, 0)
	removed := 0
	for _, sql := range []string{ofReplies, ofAnswers, ofBulks} {
		n, err := s.execute(ctx, sql, before, limit-removed)
		if removed += int(n); err != nil || removed == limit {
			return removed, err
		}
	}
	return removed, nil
}

// RepliesAfter implements ports.Mover.
func (s *Store) RepliesAfter(ctx context.Context, tenant core.TenantID, op core.Operation, key core.Key, limit int) ([]core.Reply, error) {
	const sql = `SELECT ` + replyColumns + ` FROM replies WHERE tenant_id = ? AND (operation, key) > (?, ?) ORDER BY operation, key LIMIT ?`
	return list(ctx, s, scanReply, sql, findable(tenant), findable(op), findable(key), max(limit, 0))
}
