package webui

import (
	"context"
	"errors"
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// errSessionEnded ends a stream; the page then leads to the sign-in.
var errSessionEnded = &core.Error{Code: "unauthenticated", Message: "the session has ended; sign in again"}

// runEvents is GET /ui/runs/{id}/events: the API's own stream, under the session.
// Where there is none, 204 tells the browser not to ask again.
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

// stillSignedIn asks the store, so that a session that was revoked on any server ends
// the streams of all.
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
