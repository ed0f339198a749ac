package ports

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// APIKeys are the tenant's API keys, those that have ended included. Who writes holds the
// lock of the tenant's credits, so that their number can be bounded.
type APIKeys interface {
	// Insert writes a new key. ErrExists.
	Insert(ctx context.Context, k core.APIKey) error
	// Get reads one key. ErrNotFound.
	Get(ctx context.Context, id core.APIKeyID) (core.APIKey, error)
	// Save overwrites the name and RevokedAt of a key; nothing else of it ever changes, but
	// for what TouchAPIKey does. ErrNotFound.
	Save(ctx context.Context, k core.APIKey) error
	// List gives all keys ascending by ID.
	List(ctx context.Context) ([]core.APIKey, error)
}

// APIKeyUses is what a store does for those who come with a key. Each method is a
// transaction of its own.
type APIKeyUses interface {
	// APIKey finds a key by its primary key, also one that has ended: that is for the
	// caller to say. It is asked for each request with a key, and what was committed is seen
	// by the next one. ErrNotFound; ErrMoved if the tenant lives in another database, where
	// its keys may have been revoked.
	APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error)
	// TouchAPIKey notes a use of a key. The time never goes back, so that of two at once
	// the later counts. ErrNotFound; ErrMoved if the tenant is closed.
	TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error
	// SweepAPIKeys removes the tenant's keys that were revoked or expired before a time,
	// and says how many; none of a tenant that is Moving (MoveState).
	SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (int, error)
}
