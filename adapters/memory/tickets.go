package memory

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/ports"
)

var _ ports.TicketStore = (*Store)(nil)

// tickets are kept beside the tenants: they belong to none.
type tickets struct {
	mu   sync.Mutex
	byID map[string]ports.Ticket
}

// Tickets implements ports.TicketStore.
func (s *Store) Tickets() ports.Tickets { return &s.tickets }

func (s *tickets) Insert(ctx context.Context, t ports.Ticket, most ports.TicketBounds) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.byID[t.ID]; taken {
		return ports.ErrExists
	}
	ofTenant, ofSubject := 0, 0
	for _, other := range s.byID {
		if other.Actor.Tenant == t.Actor.Tenant && other.ExpiresAt.After(t.CreatedAt) {
			ofTenant++
			if other.Actor.Subject == t.Actor.Subject {
				ofSubject++
			}
		}
	}
	if ofTenant >= most.OfTenant || ofSubject >= most.OfSubject {
		return ports.ErrTooManyTickets
	}
	if s.byID == nil {
		s.byID = map[string]ports.Ticket{}
	}
	s.byID[t.ID] = t
	return nil
}

func (s *tickets) Take(ctx context.Context, id string) (ports.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return ports.Ticket{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.byID[id]
	if !ok {
		return ports.Ticket{}, ports.ErrNotFound
	}
	delete(s.byID, id)
	return t, nil
}

func (s *tickets) DeleteExpired(ctx context.Context, before time.Time, limit int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.byID {
		if n >= limit {
			break
		}
		if t.ExpiresAt.Before(before) {
			delete(s.byID, id)
			n++
		}
	}
	return n, nil
}

func (s *tickets) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byID)
}
