package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is the connection of one transaction. It is acquired for the first statement,
// and the transaction is begun in one round trip with it.
type session struct {
	store *Store
	begin []string      // the statements that begin the transaction
	conn  *pgxpool.Conn // nil before the first statement
}

// send runs queued queries in one round trip. Connections that are found dead before the
// transaction has begun are dropped from the pool, at most all of them: nothing is done
// twice.
func (s *session) send(ctx context.Context, b *pgx.Batch) error {
	if s.conn != nil {
		return s.conn.SendBatch(ctx, b).Close()
	}
	for left := s.store.conns; ; left-- {
		err := s.first(ctx, b)
		var connect *pgconn.ConnectError
		if err == nil || s.conn != nil || left <= 0 || ctx.Err() != nil || !lost(err) || errors.As(err, &connect) {
			return err
		}
	}
}

// first begins the transaction and runs its first queries. There is no connection
// afterwards if it was not begun.
func (s *session) first(ctx context.Context, b *pgx.Batch) error {
	conn, err := s.store.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	all := &pgx.Batch{}
	all.Queue(s.begin[0]).Exec(func(pgconn.CommandTag) error {
		s.conn = conn
		return nil
	})
	for _, setting := range s.begin[1:] {
		all.Queue(setting)
	}
	for _, q := range b.QueuedQueries { // a query that was sent knows the connection that prepared it
		all.QueuedQueries = append(all.QueuedQueries, &pgx.QueuedQuery{SQL: q.SQL, Arguments: q.Arguments, Fn: q.Fn})
	}
	err = conn.SendBatch(ctx, all).Close()
	if s.conn == nil {
		conn.Release() // which throws it away unless it is idle
	}
	return err
}

// query runs a query in a mode of its own, which a batch cannot.
func (s *session) query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if s.conn == nil {
		if err := s.send(ctx, &pgx.Batch{}); err != nil {
			return nil, err
		}
	}
	return s.conn.Query(ctx, sql, args...)
}

// commit gives the error of the commit as it is.
func (s *session) commit(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	tag, err := s.conn.Exec(ctx, "commit")
	if err == nil && tag.String() == "ROLLBACK" {
		return pgx.ErrTxCommitRollback
	}
	return err
}

// rollback rolls back what was not committed. If it is not answered in time the connection
// is closed, which rolls back as well.
func (s *session) rollback(ctx context.Context) {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	// An error means that the connection is lost or closed, and the pool throws it away.
	_, _ = s.conn.Exec(ctx, "rollback")
}

func (s *session) release() {
	if s.conn != nil {
		s.conn.Release()
		s.conn = nil
	}
}
