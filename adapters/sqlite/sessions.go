package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.SessionStore = (*Store)(nil)

// Sessions implements ports.SessionStore.
func (s *Store) Sessions() ports.Sessions { return sessions{s} }

type sessions struct{ s *Store }

const sessionColumns = `session_id, tenant_id, subject, role, via, created_at, seen_at, expires_at`

func (x sessions) Insert(ctx context.Context, s ports.Session) error {
	if err := s.Validate(); err != nil {
		return err
	}
	const sql = `INSERT INTO sessions (` + sessionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	_, err := x.s.execute(ctx, sql, s.ID, s.Actor.Tenant, s.Actor.Subject, s.Actor.Role, s.Via, s.CreatedAt, s.SeenAt, s.ExpiresAt)
	return err
}

func (x sessions) Get(ctx context.Context, id string) (ports.Session, error) {
	const sql = `SELECT ` + sessionColumns + ` FROM sessions WHERE session_id = ?`
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
UPDATE sessions SET seen_at = max(seen_at, ?2), expires_at = max(expires_at, ?3) WHERE session_id = ?1`
	n, err := x.s.execute(ctx, sql, findable(id), seen, expires)
	if err == nil && n == 0 {
		return ports.ErrNotFound
	}
	return err
}

func (x sessions) Delete(ctx context.Context, id string) error {
	_, err := x.s.execute(ctx, `DELETE FROM sessions WHERE session_id = ?`, findable(id))
	return err
}

func (x sessions) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM sessions WHERE session_id IN (
    SELECT session_id FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`
	n, err := x.s.execute(ctx, sql, before, max(limit, 0))
	return int(n), err
}

// EndSessions implements ports.SessionStore.
func (s *Store) EndSessions(ctx context.Context, tenant core.TenantID, subject string) (int, error) {
	if findable(tenant) != tenant {
		return 0, nil // else it would be taken for the platform admins without a tenant
	}
	n, err := s.execute(ctx, `DELETE FROM sessions WHERE tenant_id = ? AND subject = ?`, tenant, findable(subject))
	return int(n), err
}
