package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/ports"
)

var _ ports.TicketStore = (*Store)(nil)

// Tickets implements ports.TicketStore.
func (s *Store) Tickets() ports.Tickets { return tickets{s} }

type tickets struct{ s *Store }

const ticketColumns = `ticket_id, tenant_id, subject, role, created_at, expires_at`

func (x tickets) get(ctx context.Context, id string) (ports.Ticket, error) {
	found, err := list(ctx, x.s, scanTicket, `SELECT `+ticketColumns+` FROM event_tickets WHERE ticket_id = ?`, findable(id))
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return ports.Ticket{}, err
	}
	return found[0], nil
}

func (x tickets) Insert(ctx context.Context, t ports.Ticket, most ports.TicketBounds) error {
	if err := t.Validate(); err != nil {
		return err
	}
	const sql = `
INSERT INTO event_tickets (` + ticketColumns + `) SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE (SELECT count(*) < ?7 AND count(*) FILTER (WHERE subject = ?3) < ?8 FROM event_tickets WHERE tenant_id = ?2 AND expires_at > ?5)
  OR EXISTS (SELECT 1 FROM event_tickets WHERE ticket_id = ?1)`
	n, err := x.s.execute(ctx, sql, t.ID, t.Actor.Tenant, t.Actor.Subject, t.Actor.Role, t.CreatedAt, t.ExpiresAt, most.OfTenant, most.OfSubject)
	if err == nil && n == 0 {
		return ports.ErrTooManyTickets
	}
	return err
}

// Take reads and then deletes: who deletes has it.
func (x tickets) Take(ctx context.Context, id string) (ports.Ticket, error) {
	t, err := x.get(ctx, id)
	if err != nil {
		return ports.Ticket{}, err
	}
	n, err := x.s.execute(ctx, `DELETE FROM event_tickets WHERE ticket_id = ?`, findable(id))
	if err == nil && n == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return ports.Ticket{}, err
	}
	return t, nil
}

func (x tickets) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM event_tickets WHERE ticket_id IN (
    SELECT ticket_id FROM event_tickets WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`
	n, err := x.s.execute(ctx, sql, before, max(limit, 0))
	return int(n), err
}
