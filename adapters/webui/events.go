package webui

import (
	"context"
	"net/http"
	"time"
)

// streamFor is how long a stream of events may last before the browser has to ask
// again, and is asked whether it is still signed in.
const streamFor = 5 * time.Minute

// runEvents is GET /ui/runs/{id}/events: the API's own stream, under the session.
// Where there is none, 204 tells the browser not to ask again.
func (u *ui) runEvents(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	if u.cfg.Events == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	last := min(streamFor, r.session.ExpiresAt.Sub(u.now()))
	ctx, stop := context.WithTimeout(r.Context(), last)
	defer stop()
	u.cfg.Events(w, r.WithContext(ctx), r.actor(), id)
	return nil
}
