package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// rollbackTimeout bounds a ROLLBACK.
const rollbackTimeout = 2 * time.Second

// Store is a ports.Store in a Postgres database. It may be used by many
// goroutines at once, and by many processes on the same database.
type Store struct {
	pool   *pgxpool.Pool
	conns  int32 // the most that the pool may have
	cfg    Config
	plain  begins
	spread begins // on Citus
	layout *layout
	again  core.RetryPolicy // of retryable transactions
	roll   func() float64   // jitter
	outbox Outbox           // nil: transactions send nothing
}

var _ ports.Store = (*Store)(nil)

// New makes a store of a database that Migrate has been run on. The pool stays
// the caller's to close.
func New(pool *pgxpool.Pool, c Config) (*Store, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Store{
		pool:   pool,
		conns:  pool.Config().MaxConns,
		cfg:    c,
		plain:  c.begins(),
		spread: c.citusBegins(),
		layout: &layout{},
		again: core.RetryPolicy{
			MaxTries: c.MaxTries, BaseDelay: 5 * time.Millisecond, MaxDelay: 200 * time.Millisecond, Budget: time.Minute,
		},
		roll: rand.Float64,
	}, nil
}

// Ping reports whether the database answers and can be written: nil or
// ports.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	readOnly, err := query(ctx, s, s.readOnly)
	switch {
	case err != nil:
		return err
	case readOnly:
		return fmt.Errorf("%w: the database is read-only", ports.ErrUnavailable)
	}
	return nil
}

// readOnly reports whether a connection of the pool takes no writes: it leads to a
// standby, or was told so. The pool keeps no such connection, because another may
// lead to where writes are taken by now.
func (s *Store) readOnly(ctx context.Context) (readOnly bool, err error) {
	const sql = `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	if err := conn.QueryRow(ctx, sql).Scan(&readOnly); err != nil {
		return false, err
	}
	if readOnly {
		_ = conn.Conn().Close(ctx) // an error is a connection that is gone
	}
	return readOnly, nil
}

// InTx implements ports.Store. The transaction begins with the first statement of fn, which
// therefore is what fails if the database cannot be reached.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	began := time.Now()
	for try := 1; ; try++ {
		err := s.transact(ctx, tenant, fn)
		if !retryable(err) {
			return err
		}
		wait, again := s.again.Delay(try, time.Since(began), 0, s.roll())
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

// transact runs fn in one transaction, once.
func (s *Store) transact(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	citus := s.citus(ctx)
	begin := s.begins(citus)
	options := begin.write
	if ports.IsRelaxed(ctx) {
		options = begin.relax
	}
	t := &tx{session: session{store: s, begin: options}, citus: citus, tenant: findable(tenant), timeout: s.timeout(), outbox: s.outbox}
	committing := false
	defer t.release()
	defer func() {
		if !committing { // fn failed, or panicked, or ended its goroutine
			t.rollback(ctx)
		}
	}()
	defer func() {
		if readOnlyDatabase(t.failed) && t.conn != nil {
			// After a failover, the connections that still lead to the old server
			// must not stay in the pool. An error is a connection that is gone.
			_ = t.conn.Conn().Close(ctx)
		}
	}()
	err := fn(t)
	switch {
	case retryable(t.failed):
		return t.failed // whatever fn made of it
	case err != nil:
		return err
	case t.failed != nil:
		return t.failed // fn looked away; Postgres would roll back
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if len(t.told) > 0 {
		if err := t.batch(ctx, &pgx.Batch{}); err != nil {
			return err
		}
	}
	if t.conn != nil && t.conn.Conn().IsClosed() {
		return fmt.Errorf("%w: the connection was lost before the commit", ports.ErrUnavailable)
	}
	committing = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	err = translateCommit(t.commit(ctx))
	if len(t.sent) > 0 && (err == nil || errors.Is(err, ports.ErrCommitUnknown)) {
		s.outbox.Sent(t.sent)
	}
	return err
}

// View implements ports.Store.
func (s *Store) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	citus := s.citus(ctx)
	t := &tx{session: session{store: s, begin: s.begins(citus).read}, citus: citus, tenant: findable(tenant), timeout: s.timeout(), readOnly: true, outbox: s.outbox}
	defer t.release()
	defer t.rollback(ctx) // there is nothing to commit
	return fn(t)
}

func (s *Store) begins(citus bool) begins {
	if citus {
		return s.spread
	}
	return s.plain
}

// timeout is somewhat longer than Postgres takes to time a statement out itself.
func (s *Store) timeout() time.Duration { return s.cfg.StatementTimeout + 2*time.Second }

// query runs something that may be repeated, on another connection if the one
// that it got is dead. It does not repeat a failure to connect.
func query[T any](ctx context.Context, s *Store, fn func(context.Context) (T, error)) (T, error) {
	for left := s.conns; ; left-- {
		result, err := fn(ctx)
		var connect *pgconn.ConnectError
		if err == nil || left <= 0 || ctx.Err() != nil || !lost(err) || ofNode(err) || errors.As(err, &connect) {
			return result, translate(err)
		}
	}
}

// DueRuns implements ports.Store.
func (s *Store) DueRuns(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.RunKey, error) {
	return across(ctx, s, scanRunKey, func(and string) string {
		return `
SELECT tenant_id, run_id FROM runs
 WHERE status = 'RUNNING' AND (recover_at <= $1 OR recover_at > $3)
   AND NOT EXISTS (SELECT FROM moves m WHERE m.tenant_id = runs.tenant_id AND m.closed` + s.once(ctx) + `)` + of(and, "runs") + `
 ORDER BY recover_at, run_id LIMIT $2`
	}, now, limit, now.Add(horizon))
}

// Ungranted implements ports.Store. Each tenant is looked up by the ledger's unique key:
// OFFSET 0 keeps Postgres from joining, for which it would read the whole ledger.
func (s *Store) Ungranted(ctx context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error) {
	return across(ctx, s, scanTenant, func(and string) string {
		return `
SELECT ` + tenantColumns + ` FROM tenants t
 WHERE tenant_id > $1 AND monthly_allowance > 0
   AND NOT EXISTS (SELECT FROM ledger e WHERE e.tenant_id = t.tenant_id AND e.key = $2` + s.once(ctx) + `)
   AND NOT EXISTS (SELECT FROM moves m WHERE m.tenant_id = t.tenant_id AND m.closed` + s.once(ctx) + `)` + of(and, "t") + `
 ORDER BY tenant_id LIMIT $3`
	}, findable(after), findable(key), limit)
}

// AllTenants implements ports.Store.
func (s *Store) AllTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return across(ctx, s, scanTenant, func(and string) string {
		return `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id > $1` + of(and, "tenants") + ` ORDER BY tenant_id LIMIT $2`
	}, findable(after), limit)
}

// once keeps Postgres from turning a look-up for each row into a join, for which it would
// read a whole table. Citus refuses it in a question over several tenants.
func (s *Store) once(ctx context.Context) string {
	if s.citus(ctx) {
		return ""
	}
	return ` OFFSET 0`
}

// OpenTenants implements ports.Store.
func (s *Store) OpenTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return across(ctx, s, scanTenant, func(and string) string {
		return `
SELECT ` + tenantColumns + ` FROM tenants t
 WHERE tenant_id > $1 AND NOT EXISTS (SELECT FROM moves m WHERE m.tenant_id = t.tenant_id AND m.closed` + s.once(ctx) + `)` + of(and, "t") + `
 ORDER BY tenant_id LIMIT $2`
	}, findable(after), limit)
}

// list runs a query outside any transaction.
func list[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	return query(ctx, s, func(ctx context.Context) ([]T, error) {
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, scan)
	})
}
