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

// Session is that a person is signed in. It is on the server, so that it can be
// revoked on every server at once; the browser holds only a random token, and the
// store only its hash, so that who reads the store cannot sign in with it.
type Session struct {
	ID        string // SessionID of the browser's token
	Actor     core.Actor
	Via       string // how it was made: token, api_key, oidc; 1 to 32 characters
	CreatedAt time.Time
	SeenAt    time.Time
	// ExpiresAt is when it ends unless it is extended. How far it may be extended
	// beyond CreatedAt is the caller's to decide.
	ExpiresAt time.Time
}

// SessionID is the hash under which a session is stored, 64 characters.
func SessionID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Bounds of a session's fields.
const (
	minSessionID = 32 // a hash, not a word
	maxSessionID = 128
	maxVia       = 32
	maxSubject   = 255
)

// Validate says what is wrong with a session that was to be stored; every store
// refuses the same.
func (s Session) Validate() error {
	switch {
	case len(s.ID) < minSessionID || len(s.ID) > maxSessionID:
		return fmt.Errorf("session: the ID has %d bytes and must be a hash of %d to %d", len(s.ID), minSessionID, maxSessionID)
	case !core.ValidText(s.ID) || !core.ValidText(s.Actor.Tenant) || !core.ValidText(s.Actor.Subject) || !core.ValidText(s.Via):
		return errors.New("session: its words must be UTF-8 text without NUL")
	case !s.Actor.Role.Valid():
		return fmt.Errorf("session: %q is no role", s.Actor.Role)
	case s.Actor.Subject == "" || len(s.Actor.Subject) > maxSubject:
		return fmt.Errorf("session: the subject must have 1 to %d bytes", maxSubject)
	case s.Actor.Tenant == "" && s.Actor.Role != core.RolePlatformAdmin || len(s.Actor.Tenant) > core.MaxIDLength:
		return fmt.Errorf("session: role %q needs a tenant of 1 to %d bytes", s.Actor.Role, core.MaxIDLength)
	case s.Via == "" || len(s.Via) > maxVia:
		return fmt.Errorf("session: via must have 1 to %d bytes", maxVia)
	case s.CreatedAt.IsZero() || s.SeenAt.Before(s.CreatedAt) || !s.ExpiresAt.After(s.CreatedAt):
		return errors.New("session: times must be in order: created, then seen, and it must expire after it was created")
	}
	return nil
}

// Sessions are the people who are signed in. They are no tenant's data: a session is
// found by its ID alone, before it is known whose it is. Each method is a
// transaction of its own. Errors besides those named are faults.
type Sessions interface {
	// Insert keeps a new session. ErrExists; an error of Session.Validate.
	Insert(ctx context.Context, s Session) error
	// Get finds a session, also one that has expired: that is for the caller to say.
	// ErrNotFound.
	Get(ctx context.Context, id string) (Session, error)
	// Touch records that a session was used and until when it is good. Neither time
	// ever goes back, so that of two at once the later counts. Call it at most about
	// once a minute for a session: it is a write. ErrNotFound, also when the session
	// was deleted a moment ago: what was revoked stays so.
	Touch(ctx context.Context, id string, seen, expires time.Time) error
	// Delete ends a session. That there is none is no error.
	Delete(ctx context.Context, id string) error
	// DeleteExpired removes up to limit sessions that expired before a time, and says
	// how many. Servers may do so at once.
	DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error)
}

// SessionStore is a store that keeps sessions too.
type SessionStore interface {
	Sessions() Sessions
	// EndSessions deletes all sessions of one subject of one tenant ("" for a platform
	// admin without one), and says how many.
	EndSessions(ctx context.Context, tenant core.TenantID, subject string) (int, error)
}
