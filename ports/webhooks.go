package ports

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// WebhookEvents is the outbox of a tenant's events: what is told is written by the
// transaction that does it, and lost with it.
type WebhookEvents interface {
	// Tell writes a delivery of each event for each endpoint that is subscribed to its type
	// and collects events (core.WebhookEndpoint.Collects) at that moment or when the
	// transaction commits, and nothing for a tenant without. An event that an endpoint has,
	// by its ID, is left as it is. It waits for nobody, and no endpoint that is changed or
	// removed meanwhile makes the transaction fail. For a tenant that is not there it does
	// nothing. A store may write it together with the next statement or the commit, so that
	// it takes no round trip of its own.
	Tell(ctx context.Context, events ...core.WebhookEvent) error
	// LowCredits reads when the tenant is warned; for a transaction that has the lock of
	// Ledger.BalanceForUpdate this costs nothing. ErrNotFound if there is no such tenant.
	LowCredits(ctx context.Context) (core.LowCredits, error)
	// SaveLowCredits overwrites it. The caller holds the lock of Ledger.BalanceForUpdate.
	// ErrNotFound.
	SaveLowCredits(ctx context.Context, low core.LowCredits) error
}

// WebhookEndpoints are the tenant's endpoints.
type WebhookEndpoints interface {
	WebhookEndpointReader
	// Insert writes a new endpoint. ErrExists.
	Insert(ctx context.Context, e core.WebhookEndpoint) error
	// Lock locks an endpoint, with its deliveries, and reads it afresh. ErrNotFound; with
	// SkipLocked also if another transaction holds it.
	Lock(ctx context.Context, wait Wait, id core.WebhookEndpointID) (core.WebhookEndpoint, error)
	// Save overwrites an endpoint. The caller holds its lock. ErrNotFound.
	Save(ctx context.Context, e core.WebhookEndpoint) error
	// Delete removes an endpoint. Its deliveries stay until they are swept, and are due no
	// more. The caller holds its lock. ErrNotFound.
	Delete(ctx context.Context, id core.WebhookEndpointID) error
}

// WebhookEndpointReader reads endpoints without locking them.
type WebhookEndpointReader interface {
	// Get reads an endpoint. ErrNotFound.
	Get(ctx context.Context, id core.WebhookEndpointID) (core.WebhookEndpoint, error)
	// List gives all endpoints, ascending by ID.
	List(ctx context.Context) ([]core.WebhookEndpoint, error)
}

// WebhookDeliveries are the events on their way to the tenant's endpoints.
type WebhookDeliveries interface {
	// Insert writes new deliveries. ErrExists if one is there; the transaction can then
	// only be rolled back.
	Insert(ctx context.Context, list ...core.WebhookDelivery) error
	// Get reads one. ErrNotFound.
	Get(ctx context.Context, to core.WebhookEndpointID, id core.WebhookEventID) (core.WebhookDelivery, error)
	// Save overwrites deliveries but for their events. The caller holds the endpoint's lock.
	// ErrNotFound; the transaction can then only be rolled back.
	Save(ctx context.Context, list ...core.WebhookDelivery) error
	// Due reads up to limit deliveries to an endpoint that are pending and due, by (DueAt, ID).
	Due(ctx context.Context, to core.WebhookEndpointID, now time.Time, limit int) ([]core.WebhookDelivery, error)
	// List gives a page of the deliveries to an endpoint, newest first.
	List(ctx context.Context, filter DeliveryFilter) ([]core.WebhookDelivery, error)
}

// DeliveryFilter selects a page of the deliveries to one endpoint.
type DeliveryFilter struct {
	Endpoint core.WebhookEndpointID
	Status   core.DeliveryStatus // empty: every status
	// Before continues after the last delivery of the page before: events that are older
	// than it by (At, ID). Zero: from the newest.
	Before DeliveryCursor
	Limit  int // 1 or more
}

// DeliveryCursor is a place in the order of an endpoint's deliveries.
type DeliveryCursor struct {
	At time.Time
	ID core.WebhookEventID
}

// EndpointKey names an endpoint with its tenant.
type EndpointKey struct {
	Tenant   core.TenantID
	Endpoint core.WebhookEndpointID
}

// AllWebhooks is what a store answers of the webhooks of all tenants, outside any
// transaction.
type AllWebhooks interface {
	// DueEndpoints lists up to limit enabled endpoints after the given one, ascending by
	// (tenant, ID), to which a delivery is due, but for those of closed tenants (Mover). It
	// takes no locks: look again under the endpoint's lock. An endpoint costs the same
	// however many deliveries wait for it.
	DueEndpoints(ctx context.Context, now time.Time, after EndpointKey, limit int) ([]EndpointKey, error)
	// SweepDeliveries removes up to limit deliveries of events before a time, whatever
	// became of them, of all tenants but those that are Moving (MoveState), and says how many.
	// Servers may do so at once.
	SweepDeliveries(ctx context.Context, before time.Time, limit int) (int, error)
}

// WebhookSender sends webhooks. Everything that it is asked to send to was entered by
// tenants, so it decides where it connects to.
type WebhookSender interface {
	// Check says in a sentence for the tenant why it would never send to an address; nil if
	// it may. It looks nothing up: what a name resolves to is checked at each connection.
	Check(url string) error
	// Send posts a request and gives the answer, whatever its status. An error says, in
	// words that the tenant may read, why there is none.
	Send(ctx context.Context, r WebhookRequest) (WebhookAnswer, error)
}

// WebhookRequest is what is posted to an endpoint.
type WebhookRequest struct {
	URL       string
	ID        core.WebhookEventID
	At        time.Time // of this try: what was signed
	Signature string    // of core.SignWebhook
	Body      string
}

// WebhookAnswer is what an endpoint answered.
type WebhookAnswer struct {
	Status     int
	Body       string        // the first bytes, as text
	RetryAfter time.Duration // that it asks for; 0 if it does not
}
