package memory

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.SessionStore = (*Store)(nil)

// sessions are kept beside the tenants: they belong to none.
type sessions struct {
	mu   sync.Mutex
	byID map[string]ports.Session
}

// Sessions implements ports.SessionStore.
func (s *Store) Sessions() ports.Sessions { return &s.sessions }

// EndSessions implements ports.SessionStore.
func (s *Store) EndSessions(ctx context.Context, tenant core.TenantID, subject string) (int, error) {
	return s.sessions.deleteIf(ctx, -1, func(x ports.Session) bool {
		return x.Actor.Tenant == tenant && x.Actor.Subject == subject
	})
}

func (s *sessions) Insert(ctx context.Context, x ports.Session) error {
	if err := x.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.byID[x.ID]; taken {
		return ports.ErrExists
	}
	if s.byID == nil {
		s.byID = map[string]ports.Session{}
	}
	s.byID[x.ID] = x
	return nil
}

func (s *sessions) Get(ctx context.Context, id string) (ports.Session, error) {
	if err := ctx.Err(); err != nil {
		return ports.Session{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.byID[id]
	if !ok {
		return ports.Session{}, ports.ErrNotFound
	}
	return x, nil
}

func (s *sessions) Touch(ctx context.Context, id string, seen, expires time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.byID[id]
	if !ok {
		return ports.ErrNotFound
	}
	if seen.After(x.SeenAt) {
		x.SeenAt = seen
	}
	if expires.After(x.ExpiresAt) {
		x.ExpiresAt = expires
	}
	s.byID[id] = x
	return nil
}

func (s *sessions) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
	return nil
}

func (s *sessions) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.deleteIf(ctx, limit, func(x ports.Session) bool { return x.ExpiresAt.Before(before) })
}

// deleteIf deletes up to limit sessions; a limit below 0 is none.
func (s *sessions) deleteIf(ctx context.Context, limit int, wanted func(ports.Session) bool) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, x := range s.byID {
		if n == limit {
			break
		}
		if wanted(x) {
			delete(s.byID, id)
			n++
		}
	}
	return n, nil
}

func (s *sessions) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byID)
}
