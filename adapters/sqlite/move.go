package sqlite

import (
	"context"
	"fmt"
	"iter"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.Mover = (*Store)(nil)

const moveColumns = `move_id, state, at`

func scanMove(r *row) ports.Move {
	return ports.Move{ID: r.text(), State: ports.MoveState(r.text()), At: r.time()}
}

const getMove = `SELECT ` + moveColumns + ` FROM moves WHERE tenant_id = ?`

// movingTenants selects those of ports.MoveState.Moving: a move would find less of them than it
// counted if something was swept.
const movingTenants = `SELECT tenant_id FROM moves WHERE closed AND state NOT IN ('gone', 'abandoned')`

// MoveOf implements ports.Mover.
func (s *Store) MoveOf(ctx context.Context, tenant core.TenantID) (ports.Move, error) {
	found, err := list(ctx, s, scanMove, getMove, findable(tenant))
	if err != nil || len(found) == 0 {
		return ports.Move{}, err
	}
	return found[0], nil
}

// SetMove implements ports.Mover. What closes a tenant is kept by the writer, which commits
// one transaction after the other: there is none to wait for.
func (s *Store) SetMove(ctx context.Context, tenant core.TenantID, was, is ports.Move) error {
	return s.writer.do(ctx, &job{
		alone: func(c *conn) error { return setMove(c, tenant, was, is) },
		after: func(err error) { s.writer.setClosed(tenant, is.State.Closed(), err) },
	})
}

// setMove is a part of a transaction of SQLite.
func setMove(c *conn, tenant core.TenantID, was, is ports.Move) error {
	var now ports.Move
	args, err := bind([]any{tenant})
	if err != nil {
		return err
	}
	if err := c.query(getMove, args, func(r *row) { now = scanMove(r) }); err != nil {
		return err
	}
	if now.ID != was.ID || now.State != was.State {
		return ports.ErrMoveChanged
	}
	if is == (ports.Move{}) {
		_, err := c.exec(`DELETE FROM moves WHERE tenant_id = ?`, args)
		return err
	}
	args, err = bind([]any{tenant, is.ID, string(is.State), is.State.Closed(), is.At})
	if err != nil {
		return err
	}
	_, err = c.exec(`
INSERT INTO moves (tenant_id, move_id, state, closed, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant_id) DO UPDATE SET move_id = excluded.move_id, state = excluded.state, closed = excluded.closed, at = excluded.at`, args)
	return err
}

// closedTenants reads which tenants take no writes. A file whose schema is older has none.
func closedTenants(c *conn) (map[core.TenantID]bool, error) {
	closed, tables := map[core.TenantID]bool{}, 0
	err := c.query(`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'moves'`, nil, func(r *row) { tables = r.int() })
	if err == nil && tables > 0 {
		err = c.query(`SELECT tenant_id FROM moves WHERE closed`, nil, func(r *row) { closed[core.TenantID(r.text())] = true })
	}
	return closed, translate(err)
}

// Import implements ports.Mover. It has the writing connection for itself until it has
// ended: what others want to commit waits for that long. Nothing of what it writes is kept in
// memory; it goes to the write-ahead log, which is as large as the tenant for a while.
func (s *Store) Import(ctx context.Context, tenant core.TenantID, was, is ports.Move, records iter.Seq2[ports.Record, error]) error {
	return s.writer.do(ctx, &job{
		alone: func(c *conn) error {
			if err := setMove(c, tenant, was, is); err != nil {
				return err
			}
			in := importing{c: c, t: &tx{store: s, tenant: tenant}}
			for record, err := range records {
				if err == nil {
					err = ctx.Err()
				}
				if err == nil {
					err = in.write(record)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
		after: func(err error) { s.writer.setClosed(tenant, is.State.Closed(), err) },
	})
}

// importing writes the records of one tenant, by the statements of its transactions.
type importing struct {
	c    *conn
	t    *tx // for its statements, which are carried out at once
	run  core.Run
	long core.AttemptNumber // of the run, whose files come
	last int64              // Seq of the last entry
}

func (in *importing) write(record ports.Record) error {
	if err := in.state(record); err != nil {
		return err
	}
	err := apply(in.c, in.t.statements)
	clear(in.t.statements)
	in.t.statements, in.t.files = in.t.statements[:0], nil // it knows of no more than of one record
	return err
}

// state states what writes a record.
func (in *importing) state(record ports.Record) error {
	t := in.t
	switch r := record.(type) {
	case core.Tenant:
		if err := t.write(ofTenants, 1, ports.ErrExists, insertTenant, tenantArgs(t.tenant, r)...); err != nil {
			return err
		}
		return t.write(ofCredits, 1, ports.ErrExists, insertCredits, t.tenant)
	case core.Template:
		return t.write(ofTemplates, 1, ports.ErrExists, insertTemplate, templateArgs(t.tenant, r)...)
	case core.TemplateVersion:
		return t.write(ofVersions, 1, ports.ErrExists, insertVersion,
			t.tenant, r.Template, r.Number, r.Instructions, text(r.By.Subject), r.By.Tenant, r.By.Role, r.At)
	case []core.APIKey:
		for _, k := range r {
			if err := t.write(ofAPIKeys, 1, ports.ErrExists, insertAPIKey, apiKeyArgs(t.tenant, k)...); err != nil {
				return err
			}
		}
		return nil
	case core.Run:
		in.run = r
		if err := t.write(ofRuns, 1, ports.ErrExists, insertOwner, r.ID, t.tenant); err != nil {
			return err
		}
		return t.write(ofRuns, 1, ports.ErrExists, insertRun, append(runArgs(t.tenant, r), r.Tally.Total())...)
	case []core.File:
		return files{t}.insert(&in.run, r)
	case core.Attempt:
		return attempts{t}.insert(&r)
	case ports.LongAttempt:
		in.long = r.Number
		if r.All > 0 {
			return attempts{t}.insertRow(&r.Attempt, r.All)
		}
		return attempts{t}.insertRow(&r.Attempt, nil)
	case []core.AttemptFile:
		return attempts{t}.insertFiles(in.run.ID, in.long, r)
	case core.Amendment:
		return t.write(ofAmendments, 1, ports.ErrExists, insertAmendment,
			t.tenant, r.Run, text(r.By.Subject), r.By.Tenant, r.By.Role, r.At, r.MaxRetryCountFrom, r.MaxRetryCountTo)
	case []core.Entry:
		for i := range r {
			if err := t.write(ofLedger, 1, ports.ErrExists, insertEntry, entryArgs(&r[i])...); err != nil {
				return err
			}
			in.last = r[i].Seq
		}
		return nil
	case []core.Balance:
		return in.balances(r)
	case []core.Answer:
		return insertAll(t, ofAnswers, insertAnswer, answerArgs, r)
	case []core.Reply:
		return insertAll(t, ofReplies, insertReply, replyArgs, r)
	case core.LowCredits:
		return t.write(ofCredits, 1, ports.ErrNotFound, saveLowCredits, t.tenant, r.Threshold, r.Told)
	case core.WebhookEndpoint:
		return t.write(ofWebhooks, 1, ports.ErrExists, insertEndpoint, endpointArgs(t.tenant, r)...)
	case []core.WebhookDelivery:
		return insertAll(t, ofWebhooks, insertDelivery, deliveryArgs, r)
	case []core.AuditEvent:
		return insertAll(t, ofAudit, insertAudit, auditArgs, r)
	default:
		return fmt.Errorf("sqlite: %T is no record of a tenant", record)
	}
}

// insertAll states what inserts rows.
func insertAll[T any](t *tx, of tables, sql string, args func(core.TenantID, T) ([]any, error), list []T) error {
	for _, row := range list {
		values, err := args(t.tenant, row)
		if err != nil {
			return err
		}
		if err := t.write(of, 1, ports.ErrExists, sql, values...); err != nil {
			return err
		}
	}
	return nil
}

func (in *importing) balances(list []core.Balance) error {
	if len(list) == 0 {
		return nil
	}
	if err := in.t.write(ofCredits, 1, ports.ErrNotFound, saveCredits, in.t.tenant, list[0].Purchased, in.last); err != nil {
		return err
	}
	for _, b := range list {
		if err := in.t.write(ofCredits, 1, ports.ErrNotFound, saveAllowance, in.t.tenant, b.Period.String(), b.Monthly); err != nil {
			return err
		}
	}
	return nil
}

// AttemptFrom implements ports.Mover.
func (s *Store) AttemptFrom(ctx context.Context, tenant core.TenantID, run core.RunID, n core.AttemptNumber, from, limit int) (found core.Attempt, err error) {
	err = s.View(ctx, tenant, func(p ports.Tx) (err error) {
		found, err = attempts{p.(*tx)}.from(ctx, run, n, from, limit)
		return err
	})
	return found, err
}

// AnswersAfter implements ports.Mover.
func (s *Store) AnswersAfter(ctx context.Context, tenant core.TenantID, after core.Key, limit int) ([]core.Answer, error) {
	var found []core.Answer
	err := s.View(ctx, tenant, func(p ports.Tx) (err error) {
		const sql = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = ? AND key > ? ORDER BY key LIMIT ?`
		t := p.(*tx)
		found, err = all(ctx, t, ofAnswers, scanAnswer, sql, t.tenant, after, max(limit, 0))
		return err
	})
	return found, err
}
