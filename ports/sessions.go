package ports

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// Session is one sign-in of a browser.
type Session struct {
	// ID is a hash of what the browser holds, so that a copy of the store lets in no one.
	ID        string
	Actor     core.Actor
	Via       string // how they signed in: "token", "demo", …
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Sessions keeps the sign-ins of browsers, for every server alike: one that is
// deleted is gone on all of them.
type Sessions interface {
	// Insert keeps a new session. ErrExists.
	Insert(ctx context.Context, s Session) error
	// Get reads a session, expired or not. ErrNotFound.
	Get(ctx context.Context, id string) (Session, error)
	// Touch records when a session was seen and until when it lasts. ErrNotFound.
	Touch(ctx context.Context, id string, seen, expires time.Time) error
	// Delete ends a session; one that is not there is no error.
	Delete(ctx context.Context, id string) error
	// DeleteExpired deletes up to limit sessions that expired before a time, and
	// says how many.
	DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error)
}
