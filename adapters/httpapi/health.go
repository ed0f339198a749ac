package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/redrive/redrive/ports"
)

// healthz is GET /healthz: the process is alive and answers.
func (a *api) healthz(w http.ResponseWriter, _ *request) error {
	return writeJSON(w, http.StatusOK, healthJSON{Status: "ok"})
}

// readyz is GET /readyz: what the process depends on answers too. It needs no token, so
// concurrent requests share one check, which takes one connection to the store.
func (a *api) readyz(w http.ResponseWriter, r *request) error {
	if a.cfg.Ready != nil {
		checked := a.checks.DoChan("ready", func() (_ any, err error) {
			defer func() { // it is on a goroutine of its own, where a panic ends the process
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readyTimeout)
			defer cancel()
			return nil, a.cfg.Ready(ctx)
		})
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case result := <-checked:
			if result.Err != nil {
				return fmt.Errorf("%w: not ready: %w", ports.ErrUnavailable, result.Err)
			}
		}
	}
	return writeJSON(w, http.StatusOK, healthJSON{Status: "ready"})
}
