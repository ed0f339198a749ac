package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/redrive/redrive/core"
)

// Authenticator says who sends a request: Auth by its bearer token, or an embedder's own
// by whatever his users have signed in with.
type Authenticator interface {
	// Authenticate gives the caller. It refuses with *Unauthenticated; any other error is
	// a fault, which is logged and answered with 503 if it wraps ports.ErrUnavailable and
	// else with 500. It must not read the body. While a request's event stream goes on it
	// is called again every few seconds, and ends it if the caller is another or none. Safe
	// for use by many goroutines.
	Authenticate(r *http.Request) (core.Actor, error)
}

// Unauthenticated refuses a request: its caller is not known.
type Unauthenticated struct {
	Challenge string // the WWW-Authenticate header, such as `Bearer realm="acme"`; empty: none
	Message   string // for the client: what to do
}

// Error implements error.
func (u *Unauthenticated) Error() string { return "unauthenticated: " + u.Message }

// actorOf gives the caller of a request, or the refusal or fault to be answered, with the
// challenge for WWW-Authenticate.
func (a *api) actorOf(r *http.Request) (actor core.Actor, challenge string, err error) {
	actor, err = a.cfg.Auth.Authenticate(r)
	if u, ok := errors.AsType[*Unauthenticated](err); ok {
		return core.Actor{}, u.Challenge, refused(codeUnauthenticated, "%s", u.Message)
	}
	if err != nil {
		return core.Actor{}, "", fmt.Errorf("httpapi: Config.Auth: %w", err)
	}
	if err := checkActor(actor); err != nil { // not the client's fault, and nobody to be let in
		return core.Actor{}, "", fmt.Errorf("httpapi: Config.Auth let in who cannot be: %w", err)
	}
	return actor, "", nil
}
