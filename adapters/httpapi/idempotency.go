package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// replayedHeader is in an answer that is the first one to a repeated request.
const replayedHeader = "Idempotency-Replayed"

// keptDetail is added to a refusal that is kept under an idempotency key and that time, or
// somebody, can cure.
const keptDetail = "; this stays the answer under this Idempotency-Key: to try again, use a new one"

// markRepeats gives a POST's Idempotency-Key to its use case, and lets the answer say whether
// it is a repeat's. So a handler has nothing to do for it but to go through a use case that
// has its effect once per key (app.Idempotency).
func (r *request) markRepeats(w http.ResponseWriter, x *exchange) error {
	key, err := r.idempotencyKey()
	if err != nil || key == "" {
		return err
	}
	r.Request = r.WithContext(app.WithIdempotency(r.Context(), app.Idempotency{
		Key:      key,
		Replayed: func() { w.Header().Set(replayedHeader, "true") },
		Kept:     func() { x.kept = true },
	}))
	return nil
}

// curable reports whether a request that was refused with this code may succeed later as it
// is: credits are bought, a price is accepted, a run ends.
func curable(code core.Code) bool {
	switch code {
	case core.CodeInsufficientCredits, core.CodePriceChanged, core.CodeRunAlreadyRunning, core.CodeNothingToRetry,
		core.CodeMaxRetryCountExceeded, core.CodeEnqueueFailed, core.CodeTenantSuspended, core.CodeTemplateNotFound, core.CodeTemplateNotPublished,
		core.CodeBulkNotFound, core.CodeBulkEmpty, core.CodeBulkTooLarge, core.CodeBulkTooManyNow,
		core.CodeSecretNotRepeated:
		return true
	default:
		return false
	}
}
