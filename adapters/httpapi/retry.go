package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core/app"
)

// retryFailed is POST /workflow-runs/{id}/retry-failed: Continue.
func (a *api) retryFailed(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	most, err := r.maxPrice()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	run, err := a.svc.RetryFailed(r.Context(), r.actor, id, app.RetryRequest{IdempotencyKey: key, MaxPrice: most})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.answeredRun(r, run))
}

// previewRetry is GET /workflow-runs/{id}/retry-failed: what Continue would do.
func (a *api) previewRetry(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	preview, err := a.svc.PreviewRetry(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toPreview(preview))
}
