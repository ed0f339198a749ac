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

// Authenticator gives the actor that a token was issued for, and when it expires. It is
// one way to sign in; another one would begin a session with an actor and an end as well.
type Authenticator interface {
	Verify(token string) (core.Actor, time.Time, error)
}

// DemoUser is a user that a visitor of a demo can sign in as with one click.
type DemoUser struct {
	Name  string // the form's value: letters, digits and '-'
	Actor core.Actor
}

// Streams sends server-sent events, of a run and of a tenant. Use the API's, so that its bounds are those
// of the whole server. The actor is the caller, whose permission Streams checks. allowed
// is called from time to time to check that the browser may still read. An error means
// that nothing was written.
type Streams interface {
	Serve(w http.ResponseWriter, r *http.Request, actor core.Actor, run core.RunID, allowed func(context.Context) error) error
	ServeTenant(w http.ResponseWriter, r *http.Request, actor core.Actor, tenant core.TenantID, allowed func(context.Context) error) error
}

// Limits bounds how often requests may come. Use the API's, so that the page and the API
// share them. Admit is called for each request with a session, Refused for each sign-in that
// comes to nothing, and Exchange before an identity provider is asked, with done after it and
// after Refused. They set headers of the answer, and an error is what to answer.
type Limits interface {
	Admit(h http.Header, actor core.Actor) error
	Refused(h http.Header, r *http.Request) error
	Exchange(h http.Header, r *http.Request) (done func(), err error)
}

// Config is what the page needs in addition to the use cases. A zero number means its
// default.
type Config struct {
	Auth     Authenticator  // required
	Sessions ports.Sessions // required
	Log      *slog.Logger   // nil: slog.Default()
	Demo     []DemoUser     // empty: no sign-in without a credential; else on this machine alone

	// Provider lets people sign in with an identity provider, which the page calls
	// ProviderName; nil: it does not.
	Provider     Provider
	ProviderName string

	Streams Streams // nil: pages poll instead

	// SignedIn is called for each request with a session, and Uploads for each permitted
	// upload, so that a server can give them priority and more time than anonymous requests.
	SignedIn, Uploads func(*http.Request)

	Limits     Limits         // nil: there are none
	Operations ReadOperations // nil: the page does not show the state of the server

	// API is the address of the API's own page (httpapi has it at /docs), for people who
	// write programs; empty: pages do not link to it.
	API string

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

// New gives the handler of the page: everything under Prefix, and "/", which redirects
// there. It panics without Auth or Sessions: a page without authentication must not
// start.
func New(svc *app.Service, cfg Config) http.Handler {
	if svc == nil || cfg.Auth == nil || cfg.Sessions == nil {
		panic("webui.New: the service, Config.Auth and Config.Sessions are required")
	}
	u := &ui{svc: svc, cfg: cfg.withDefaults()}
	return u.front(u.routes())
}

func (u *ui) now() time.Time { return u.svc.Clock().Now() }
