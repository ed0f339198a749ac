package webui

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Authenticator says whom a token is for and when it expires. It is one way to sign
// in; others make a session of an actor and an end in the same way.
type Authenticator interface {
	Verify(token string) (core.Actor, time.Time, error)
}

// DemoUser is someone as whom a visitor of a demo may sign in with one click.
type DemoUser struct {
	Name  string // stands in the form's value: letters, digits and '-'
	Actor core.Actor
}

// Streams sends a run's server-sent events; the API's own do, so that their bounds
// are those of the server. The actor is who asks, and nothing was checked yet. allowed
// is asked from time to time whether the browser still may read. An error means that
// nothing was written.
type Streams interface {
	Serve(w http.ResponseWriter, r *http.Request, actor core.Actor, run core.RunID, allowed func(context.Context) error) error
}

// Config is what the page needs besides the use cases. A zero number means its default.
type Config struct {
	Auth     Authenticator  // required
	Sessions ports.Sessions // required
	Log      *slog.Logger   // nil: slog.Default()
	Demo     []DemoUser     // empty: no sign-in without a credential
	Streams  Streams        // nil: pages ask every two seconds instead

	// SignedIn is told of each request with a session, and Uploads of each upload that
	// is allowed, so that a server can give them more room than it gives to strangers.
	SignedIn, Uploads func(*http.Request)

	Operations ReadOperations // nil: what a server knows of itself is not shown

	MaxFileBytes   int64 // of one uploaded file; default 16 MiB
	MaxUploadBytes int64 // of one upload altogether; default 1 GiB

	// SessionLifetime is the longest that a session lasts, and SessionIdle how long it
	// lasts unused; never longer than its token. Default 12 h and 2 h.
	SessionLifetime, SessionIdle time.Duration
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.MaxFileBytes <= 0 {
		c.MaxFileBytes = 16 << 20
	}
	if c.MaxUploadBytes <= 0 {
		c.MaxUploadBytes = 1 << 30
	}
	if c.SessionLifetime <= 0 {
		c.SessionLifetime = 12 * time.Hour
	}
	if c.SessionIdle <= 0 {
		c.SessionIdle = 2 * time.Hour
	}
	if c.SignedIn == nil {
		c.SignedIn = func(*http.Request) {}
	}
	if c.Uploads == nil {
		c.Uploads = func(*http.Request) {}
	}
	return c
}

// ui is the handlers with what they need. It keeps no state between requests.
type ui struct {
	svc *app.Service
	cfg Config
}

// New gives the handler of the page: everything under Prefix, and "/", which leads
// there. It panics without Auth or Sessions: a page that lets everyone in must not
// start.
func New(svc *app.Service, cfg Config) http.Handler {
	if svc == nil || cfg.Auth == nil || cfg.Sessions == nil {
		panic("webui.New: the service, Config.Auth and Config.Sessions are required")
	}
	u := &ui{svc: svc, cfg: cfg.withDefaults()}
	return u.front(u.routes())
}

func (u *ui) now() time.Time { return u.svc.Clock().Now() }
