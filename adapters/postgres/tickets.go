package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/ports"
)

var _ ports.TicketStore = (*Store)(nil)

// Tickets implements ports.TicketStore.
func (s *Store) Tickets() ports.Tickets { return tickets{s} }

type tickets struct{ s *Store }

const ticketColumns = `ticket_id, tenant_id, subject, role, created_at, expires_at`

func scanTicket(row pgx.CollectableRow) (x ports.Ticket, err error) {
	err = row.Scan(&x.ID, &x.Actor.Tenant, &x.Actor.Subject, &x.Actor.Role, &x.CreatedAt, &x.ExpiresAt)
	x.CreatedAt, x.ExpiresAt = x.CreatedAt.UTC(), x.ExpiresAt.UTC()
	return x, err
}

// Insert is not repeated on another connection, unlike the others: a repeat after a lost
// answer would find its own row.
func (x tickets) Insert(ctx context.Context, t ports.Ticket, most ports.TicketBounds) error {
	if err := t.Validate(); err != nil {
		return err
	}
	const sql = `
INSERT INTO event_tickets (` + ticketColumns + `) SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) < $7 AND count(*) FILTER (WHERE subject = $3) < $8 FROM event_tickets WHERE tenant_id = $2 AND expires_at > $5)
   OR EXISTS (SELECT FROM event_tickets WHERE ticket_id = $1)`
	n, err := x.s.executeOnce(ctx, sql, t.ID, t.Actor.Tenant, t.Actor.Subject, t.Actor.Role, t.CreatedAt, t.ExpiresAt, most.OfTenant, most.OfSubject)
	if err == nil && n == 0 {
		return ports.ErrTooManyTickets
	}
	return err
}

// Take is not repeated either: a repeat after a lost answer would find nothing.
func (x tickets) Take(ctx context.Context, id string) (ports.Ticket, error) {
	const sql = `DELETE FROM event_tickets WHERE ticket_id = $1 RETURNING ` + ticketColumns
	found, err := once(ctx, x.s, func(ctx context.Context, conn *pgxpool.Conn) ([]ports.Ticket, error) {
		rows, err := conn.Query(ctx, sql, findable(id))
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, scanTicket)
	})
	if err == nil && len(found) == 0 {
		return ports.Ticket{}, ports.ErrNotFound
	}
	if err != nil {
		return ports.Ticket{}, err
	}
	return found[0], nil
}

// DeleteExpired passes over what another server sweeps at the moment.
func (x tickets) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	const sql = `
DELETE FROM event_tickets WHERE ticket_id = ANY (ARRAY(
    SELECT ticket_id FROM event_tickets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`
	return x.s.execute(ctx, sql, before, max(limit, 0))
}
