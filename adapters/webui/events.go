package webui

import (
	"context"
	"errors"
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// errSessionEnded ends a stream; the script then loads the page, which redirects to the
// sign-in.
var errSessionEnded = &core.Error{Code: "unauthenticated", Message: "the session has ended; sign in again"}

// runEvents is GET /ui/runs/{id}/events: the API's stream, authenticated by the session.
// If the server has no streams, 204 keeps the browser from connecting again.
func (u *ui) runEvents(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	if u.cfg.Streams == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return u.cfg.Streams.Serve(w, r.Request, r.actor(), id, func(ctx context.Context) error {
		return u.stillSignedIn(ctx, r.session.ID)
	})
}

// tenantEvents is GET /ui/events: the API's stream of a tenant, for the list of its runs.
func (u *ui) tenantEvents(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	if u.cfg.Streams == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return u.cfg.Streams.ServeTenant(w, r.Request, r.actor(), tenant, func(ctx context.Context) error {
		return u.stillSignedIn(ctx, r.session.ID)
	})
}

// stillSignedIn reads the session from the store, so that a session that was revoked on
// one server ends its streams on every server.
func (u *ui) stillSignedIn(ctx context.Context, id string) error {
	s, err := u.cfg.Sessions.Get(ctx, id)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		return errSessionEnded
	case err != nil:
		return err
	case !u.now().Before(s.ExpiresAt):
		return errSessionEnded
	}
	return nil
}
