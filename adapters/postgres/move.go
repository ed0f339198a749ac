package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.Mover = (*Store)(nil)

// closable are the tables whose trigger moved refuses writes for a closed tenant.
var closable = []string{
	"tenants", "credits", "allowances", "templates", "template_versions", "runs", "files", "attempts",
	"attempt_file_rows", "amendments", "ledger", "answers", "replies", "api_keys", "audit_log",
	"webhook_endpoints", "webhook_deliveries", "bulk_parts", "bulk_runs",
}

const (
	// movesLock is the advisory lock under which moves and the state of their triggers change.
	movesLock = 0x7265647269766d76 // "redrivmv"
	// importing is the state of a tenant within the transaction that imports it. No other
	// transaction ever sees it.
	importing = "importing"
)

// notMoving is the condition that a row's tenant is none of ports.MoveState.Moving: a move
// would find less of it than it counted if something was swept. Citus asks for each tenant on
// its own node, or the sweep of one tenant would ask every node.
func (s *Store) notMoving(ctx context.Context, alias string) string {
	const moving = `closed AND state NOT IN ('gone', 'abandoned')`
	if s.citus(ctx) {
		return ` AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = ` + alias + `.tenant_id AND m.` + moving + `)`
	}
	return ` AND ` + alias + `.tenant_id NOT IN (SELECT tenant_id FROM moves WHERE ` + moving + `)`
}

func scanMove(row pgx.CollectableRow) (m ports.Move, err error) {
	err = row.Scan(&m.ID, &m.State, &m.At)
	m.At = m.At.UTC()
	return m, err
}

// MoveOf implements ports.Mover.
func (s *Store) MoveOf(ctx context.Context, tenant core.TenantID) (ports.Move, error) {
	found, err := list(ctx, s, scanMove, `SELECT move_id, state, at FROM moves WHERE tenant_id = $1`, findable(tenant))
	if err != nil || len(found) == 0 {
		return ports.Move{}, err
	}
	return found[0], nil
}

// SetMove implements ports.Mover. To close a tenant, it first has every server's writes look
// whether the tenant is closed, then closes it, and then waits until the transactions that
// wrote something before have ended. It locks no table for longer than it takes to turn a
// trigger on, so the writes of other tenants go on.
func (s *Store) SetMove(ctx context.Context, tenant core.TenantID, was, is ports.Move) (err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Release()
	m := moving{store: s, conn: conn.Conn()}
	if err := m.lock(ctx); err != nil {
		return translate(err)
	}
	defer func() { err = errors.Join(err, m.unlock(ctx)) }()
	if is.State.Closed() {
		if err := m.guard(ctx, true); err != nil {
			return translate(err)
		}
	}
	if err := m.set(ctx, tenant, was, is); err != nil {
		return err
	}
	if is.State.Closed() {
		return m.drain(ctx)
	}
	return translate(m.relax(ctx))
}

// moving changes moves, on a connection of its own.
type moving struct {
	store *Store
	conn  *pgx.Conn
}

// lock waits for others that change moves. They are short.
func (m *moving) lock(ctx context.Context) error {
	_, err := answered(ctx, m.store.timeout(), func(ctx context.Context) (pgconn.CommandTag, error) {
		return m.conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(movesLock))
	})
	return err
}

// unlock ends the connection if it cannot: the lock would stay with the pool.
func (m *moving) unlock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := m.conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(movesLock)); err != nil {
		_ = m.conn.Close(ctx) // the error is one of a connection that is gone
	}
	return nil
}

// in runs fn in a transaction with the store's timeouts.
func (m *moving) in(ctx context.Context, fn func(pgx.Tx) error) error {
	o := pgx.TxOptions{BeginQuery: fmt.Sprintf("begin isolation level read committed; set local lock_timeout = %d; set local statement_timeout = %d",
		m.store.cfg.LockTimeout.Milliseconds(), m.store.cfg.StatementTimeout.Milliseconds())}
	began := time.Now()
	for try := 1; ; try++ {
		err := translate(pgx.BeginTxFunc(ctx, m.conn, o, fn))
		if !retryable(err) && !errors.Is(err, ports.ErrLockTimeout) {
			return err
		}
		wait, again := m.store.again.Delay(try, time.Since(began), 0, m.store.roll())
		if !again {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// guard turns the triggers on or off, each table by itself: ALTER TABLE waits for the
// table's writers, and they wait for it.
func (m *moving) guard(ctx context.Context, on bool) error {
	state, turn := "A", "ENABLE ALWAYS"
	if !on {
		state, turn = "D", "DISABLE"
	}
	for _, table := range closable {
		var is string
		const sql = `SELECT tgenabled::text FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = 'moved'`
		if err := m.conn.QueryRow(ctx, sql, table).Scan(&is); err != nil {
			return fmt.Errorf("trigger of table %s: %w", table, err)
		}
		if is == state {
			continue
		}
		if err := m.in(ctx, func(pg pgx.Tx) error {
			_, err := pg.Exec(ctx, `ALTER TABLE `+table+` `+turn+` TRIGGER moved`)
			return err
		}); err != nil {
			return fmt.Errorf("trigger of table %s: %w", table, err)
		}
	}
	return nil
}

// relax turns the triggers off when no tenant is closed any more.
func (m *moving) relax(ctx context.Context) error {
	var any bool
	if err := m.conn.QueryRow(ctx, `SELECT count(*) > 0 FROM moves WHERE closed`).Scan(&any); err != nil || any {
		return err
	}
	return m.guard(ctx, false)
}

func (m *moving) set(ctx context.Context, tenant core.TenantID, was, is ports.Move) error {
	changed := false
	err := m.in(ctx, func(pg pgx.Tx) (err error) {
		changed, err = setMove(ctx, func(ctx context.Context, sql string, args ...any) (int64, error) {
			tag, err := pg.Exec(ctx, sql, args...)
			return tag.RowsAffected(), err
		}, tenant, was, is, string(is.State))
		return err
	})
	if err == nil && !changed {
		err = ports.ErrMoveChanged
	}
	return err
}

// setMove reports whether the move was as it is said to be. as is the state that is written.
func setMove(ctx context.Context, exec func(context.Context, string, ...any) (int64, error), tenant core.TenantID, was, is ports.Move, as string) (bool, error) {
	sql := `UPDATE moves SET move_id = $4, state = $5, closed = $6, at = $7 WHERE tenant_id = $1 AND move_id = $2 AND state = $3`
	args := []any{tenant, was.ID, was.State, is.ID, as, as != importing && ports.MoveState(as).Closed(), is.At}
	switch {
	case was.ID == "" && is.ID == "":
		return true, nil
	case is.ID == "":
		sql, args = `DELETE FROM moves WHERE tenant_id = $1 AND move_id = $2 AND state = $3`, args[:3]
	case was.ID == "":
		sql = `INSERT INTO moves (tenant_id, move_id, state, closed, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`
		args = append(args[:1], args[3:]...)
	}
	n, err := exec(ctx, sql, args...)
	return n == 1, err
}

// drain waits until every transaction that may not have seen that a tenant is closed has
// ended: those that have begun to write to a table hold its lock, and those that come later
// see it. Each table is locked by itself and let go at once, so nobody waits for this who
// holds something that it waits for.
func (m *moving) drain(ctx context.Context) error {
	for _, table := range closable {
		if err := m.in(ctx, func(pg pgx.Tx) error {
			_, err := pg.Exec(ctx, `LOCK TABLE `+table+` IN SHARE MODE`)
			return err
		}); err != nil {
			return fmt.Errorf("waiting for what writes to table %s (pg_stat_activity shows it): %w", table, err)
		}
	}
	return nil
}

// Import implements ports.Mover.
func (s *Store) Import(ctx context.Context, tenant core.TenantID, was, is ports.Move, records iter.Seq2[ports.Record, error]) error {
	changed := false
	err := s.transact(ctx, tenant, func(p ports.Tx) error {
		in := importer{t: p.(*tx)}
		// Only this transaction sees that the tenant is open.
		ok, err := setMove(ctx, in.t.exec, tenant, was, is, importing)
		if err != nil {
			return err
		}
		if !ok {
			return ports.ErrMoveChanged
		}
		for record, err := range records {
			if err == nil {
				err = in.write(ctx, record)
			}
			if err != nil {
				return err
			}
		}
		now := ports.Move{ID: is.ID, State: importing}
		changed, err = setMove(ctx, in.t.exec, tenant, now, is, string(is.State))
		return err
	})
	if err == nil && !changed {
		err = errors.New("postgres: the move changed within its transaction")
	}
	return err
}

// importer writes the records of one tenant.
type importer struct {
	t    *tx
	run  core.Run
	long core.AttemptNumber // of the run, whose files come
	last int64              // Seq of the last entry
}

func (in *importer) write(ctx context.Context, record ports.Record) error {
	t := in.t
	switch r := record.(type) {
	case core.Tenant:
		return t.Tenants().Insert(ctx, r)
	case core.Template:
		return t.Templates().Insert(ctx, r)
	case core.TemplateVersion:
		return t.TemplateVersions().Insert(ctx, r)
	case []core.APIKey:
		for _, k := range r {
			if err := t.APIKeys().Insert(ctx, k); err != nil {
				return err
			}
		}
		return nil
	case core.Run:
		in.run = r
		return t.Runs().Insert(ctx, r, nil)
	case []core.File:
		_, err := t.exec(ctx, insertAnyFiles, append([]any{t.tenant, in.run.ID, in.run.MaxRetryCount}, fileArgs(r)...)...)
		return err
	case core.Attempt:
		return t.Attempts().Insert(ctx, r)
	case ports.LongAttempt:
		in.long = r.Number
		return t.insert(ctx, insertAttempt, append(attemptArgs(t.tenant, r.Attempt), pgtype.Int4{Int32: int32(r.All), Valid: r.All > 0})...)
	case []core.AttemptFile:
		_, err := t.exec(ctx, insertFilesOfAttempt, append([]any{t.tenant, in.run.ID, in.long}, attemptFileArgs(r)...)...)
		return err
	case core.Amendment:
		return t.Amendments().Insert(ctx, r)
	case []core.Entry:
		batch := &pgx.Batch{}
		for _, e := range r {
			batch.Queue(insertEntry, entryArgs(e)...)
			in.last = e.Seq
		}
		return t.batch(ctx, batch)
	case []core.Balance:
		return in.balances(ctx, r)
	case []core.Answer:
		return insertAll(ctx, t, insertAnswer, answerArgs, r)
	case []core.Reply:
		return insertAll(ctx, t, insertReply, replyArgs, r)
	case []core.AuditEvent:
		return insertAll(ctx, t, insertAudit, auditArgs, r)
	case core.LowCredits:
		return t.WebhookEvents().SaveLowCredits(ctx, r)
	case core.WebhookEndpoint:
		return t.WebhookEndpoints().Insert(ctx, r)
	case []core.WebhookDelivery:
		return t.WebhookDeliveries().Insert(ctx, r...)
	default:
		return fmt.Errorf("postgres: %T is no record of a tenant", record)
	}
}

// insertAll inserts rows in one round trip.
func insertAll[T any](ctx context.Context, t *tx, sql string, args func(core.TenantID, T) ([]any, error), list []T) error {
	batch := &pgx.Batch{}
	for _, row := range list {
		values, err := args(t.tenant, row)
		if err != nil {
			return err
		}
		batch.Queue(sql, values...)
	}
	return t.batch(ctx, batch)
}

func (in *importer) balances(ctx context.Context, list []core.Balance) error {
	if len(list) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE credits SET purchased = $2, last_seq = $3 WHERE tenant_id = $1`, in.t.tenant, list[0].Purchased, in.last)
	for _, b := range list {
		batch.Queue(`INSERT INTO allowances (tenant_id, period, monthly_left) VALUES ($1, $2, $3)`, in.t.tenant, b.Period.String(), b.Monthly)
	}
	return in.t.batch(ctx, batch)
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
	const sql = `SELECT ` + answerColumns + ` FROM answers WHERE tenant_id = $1 AND key > $2 ORDER BY key LIMIT $3`
	return list(ctx, s, scanAnswer, sql, findable(tenant), after, max(limit, 0))
}
