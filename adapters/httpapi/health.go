package httpapi

import (
	"bytes"
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

// openAPIAt is the document of an API under a prefix.
func openAPIAt(prefix string) []byte {
	if prefix == "" {
		return openAPIDocument
	}
	const root = `"servers": [{"url": "/"}]`
	return bytes.Replace(openAPIDocument, []byte(root), fmt.Appendf(nil, `"servers": [{"url": %q}]`, prefix), 1)
}

// openAPI is GET /openapi.json.
func (a *api) openAPI(w http.ResponseWriter, _ *request) error {
	write(w, http.StatusOK, "application/json", a.openAPIDocument)
	return nil
}

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
