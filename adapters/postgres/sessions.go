package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.SessionStore = (*Store)(nil)

// Sessions implements ports.SessionStore.
func (s *Store) Sessions() ports.Sessions { return sessions{s} }

type sessions struct{ s *Store }

const sessionColumns = `session_id, tenant_id, subject, role, via, created_at, seen_at, expires_at`

func scanSession(row pgx.CollectableRow) (x ports.Session, err error) {
	err = row.Scan(&x.ID, &x.Actor.Tenant, &x.Actor.Subject, &x.Actor.Role, &x.Via, &x.CreatedAt, &x.SeenAt, &x.ExpiresAt)
	x.CreatedAt, x.SeenAt, x.ExpiresAt = x.CreatedAt.UTC(), x.SeenAt.UTC(), x.ExpiresAt.UTC()
	return x, err
}

// Insert is not repeated on another connection, unlike the others: a repeat after a
// lost answer would find its own row.
func (x sessions) Insert(ctx context.Context, s ports.Session) error {
	if err := s.Validate(); err != nil {
		return err
	}
	const sql = `INSERT INTO sessions (` + sessionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	n, err := x.s.executeOnce(ctx, sql, s.ID, s.Actor.Tenant, s.Actor.Subject, s.Actor.Role, s.Via, s.CreatedAt, s.SeenAt, s.ExpiresAt)
	if err == nil && n == 0 {
		return ports.ErrExists
	}
	return err
}

func (x sessions) Get(ctx context.Context, id string) (ports.Session, error) {
	const sql = `SELECT ` + sessionColumns + ` FROM sessions WHERE session_id = $1`
	found, err := list(ctx, x.s, scanSession, sql, findable(id))
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return ports.Session{}, err
	}
	return found[0], nil
}

func (x sessions) Touch(ctx context.Context, id string, seen, expires time.Time) error {
	const sql = `
UPDATE sessions SET seen_at = greatest(seen_at, $2), expires_at = greatest(expires_at, $3) WHERE session_id = $1`
	n, err := x.s.execute(ctx, sql, findable(id), seen, expires)
	if err == nil && n == 0 {
		return ports.ErrNotFound
	}
	return err
}

func (x sessions) Delete(ctx context.Context, id string) error {
	_, err := x.s.execute(ctx, `DELETE FROM sessions WHERE session_id = $1`, findable(id))
	return err
}

// DeleteExpired passes over what another server sweeps at the moment.
func (x sessions) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM sessions WHERE session_id = ANY (ARRAY(
    SELECT session_id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`
	return x.s.execute(ctx, sql, before, max(limit, 0))
}

// EndSessions implements ports.SessionStore.
func (s *Store) EndSessions(ctx context.Context, tenant core.TenantID, subject string) (int, error) {
	if findable(tenant) != tenant {
		return 0, nil // else it would be taken for the platform admins without a tenant
	}
	return s.execute(ctx, `DELETE FROM sessions WHERE tenant_id = $1 AND subject = $2`, tenant, findable(subject))
}

// executeOnce runs a statement that must not be repeated, outside any transaction, and gives
// the number of rows it wrote. Its answer is that of a commit: if it is lost, or does not come
// in time, the error is ports.ErrCommitUnknown.
func (s *Store) executeOnce(ctx context.Context, sql string, args ...any) (int, error) {
	tag, err := once(ctx, s, func(ctx context.Context, conn *pgxpool.Conn) (pgconn.CommandTag, error) {
		return conn.Exec(ctx, sql, args...)
	})
	return int(tag.RowsAffected()), err
}

// once is executeOnce of what gives more than a number.
func once[T any](ctx context.Context, s *Store, fn func(context.Context, *pgxpool.Conn) (T, error)) (result T, err error) {
	timed, cancel := context.WithTimeout(ctx, s.timeout()) // Postgres gives up first, and says so
	defer cancel()
	conn, err := s.pool.Acquire(timed)
	if err != nil { // nothing was sent
		if timed.Err() != nil && ctx.Err() == nil {
			return result, fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
		}
		return result, translate(err)
	}
	defer conn.Release()
	result, err = fn(timed, conn)
	return result, translateCommit(err)
}

// execute runs a statement that may be repeated, outside any transaction, and gives
// the number of rows it wrote.
func (s *Store) execute(ctx context.Context, sql string, args ...any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	return query(ctx, s, func(ctx context.Context) (int, error) {
		tag, err := s.pool.Exec(ctx, sql, args...)
		return int(tag.RowsAffected()), err
	})
}
