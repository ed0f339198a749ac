package ports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

// Ticket opens one event stream for a caller whose client cannot send headers, such as a
// browser's EventSource. It is good once, for a short time, and on every server. The
// client holds a random token, and the store only its hash.
type Ticket struct {
	ID        string // TicketID of the client's token
	Actor     core.Actor
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TicketID is the hash under which a ticket is stored, 64 characters.
func TicketID(token string) string {
	sum := sha256.Sum256([]byte("event ticket\x00" + token))
	return hex.EncodeToString(sum[:])
}

// Validate says what is wrong with a ticket that was to be stored; every store refuses
// the same.
func (t Ticket) Validate() error {
	switch {
	case len(t.ID) < minSessionID || len(t.ID) > maxSessionID:
		return fmt.Errorf("ticket: the ID has %d bytes and must be a hash of %d to %d", len(t.ID), minSessionID, maxSessionID)
	case !core.ValidText(t.ID) || !core.ValidText(t.Actor.Tenant) || !core.ValidText(t.Actor.Subject):
		return errors.New("ticket: its words must be UTF-8 text without NUL")
	case !t.Actor.Role.Valid():
		return fmt.Errorf("ticket: %q is no role", t.Actor.Role)
	case t.Actor.Subject == "" || len(t.Actor.Subject) > maxSubject:
		return fmt.Errorf("ticket: the subject must have 1 to %d bytes", maxSubject)
	case t.Actor.Tenant == "" && t.Actor.Role != core.RolePlatformAdmin || len(t.Actor.Tenant) > core.MaxIDLength:
		return fmt.Errorf("ticket: role %q needs a tenant of 1 to %d bytes", t.Actor.Role, core.MaxIDLength)
	case t.CreatedAt.IsZero() || !t.ExpiresAt.After(t.CreatedAt):
		return errors.New("ticket: it must expire after it was created")
	}
	return nil
}

// TicketBounds is how many tickets there may be that are good.
type TicketBounds struct {
	OfTenant  int // all of them; of "" for platform admins without a tenant
	OfSubject int // of one subject of the tenant, so that one caller does not take the others'
}

// ErrTooManyTickets is that a tenant, or a subject of it, has as many unused tickets as it may
// have.
var ErrTooManyTickets = errors.New("ports: there are too many tickets")

// Tickets are those that have not been used. They are no tenant's data: a ticket is found
// by its ID alone, before it is known whose it is. Each method is a transaction of its
// own. Errors besides those named are faults.
type Tickets interface {
	// Insert keeps a new ticket. ErrExists; ErrTooManyTickets if its tenant or its subject has
	// as many as it may have that are good at CreatedAt, or a few more if several are inserted
	// at once; an error of Ticket.Validate.
	Insert(ctx context.Context, t Ticket, most TicketBounds) error
	// Take finds a ticket, also one that has expired, and removes it: of several who take it
	// at once one gets it. ErrNotFound. After any other error it may be gone.
	Take(ctx context.Context, id string) (Ticket, error)
	// DeleteExpired removes up to limit tickets that expired before a time, and says how
	// many. Servers may do so at once.
	DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error)
}

// TicketStore is a store that keeps tickets too.
type TicketStore interface {
	Tickets() Tickets
}
