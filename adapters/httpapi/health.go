package httpapi

import (
	"context"
	_ "embed" // the OpenAPI document
	"fmt"
	"net/http"

	"github.com/redrive/redrive/ports"
)

//go:embed openapi.json
var openAPIDocument []byte

// OpenAPI gives the OpenAPI document that GET /openapi.json serves.
func OpenAPI() []byte { return append([]byte(nil), openAPIDocument...) }

// openAPI is GET /openapi.json.
func (a *api) openAPI(w http.ResponseWriter, _ *request) error {
	write(w, http.StatusOK, "application/json", openAPIDocument)
	return nil
}

// healthz is GET /healthz: the process is alive and answers.
func (a *api) healthz(w http.ResponseWriter, _ *request) error {
	return writeJSON(w, http.StatusOK, healthJSON{Status: "ok"})
}

// readyz is GET /readyz: what the process depends on answers too.
func (a *api) readyz(w http.ResponseWriter, r *request) error {
	if a.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := a.cfg.Ready(ctx); err != nil {
			return fmt.Errorf("%w: not ready: %w", ports.ErrUnavailable, err)
		}
	}
	return writeJSON(w, http.StatusOK, healthJSON{Status: "ready"})
}
