package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// The codes that only an HTTP server needs. They are as stable as core's.
const (
	codeUnauthenticated  core.Code = "unauthenticated"
	codeNotFound         core.Code = "not_found"
	codeMethodNotAllowed core.Code = "method_not_allowed"
	codeRequestTimeout   core.Code = "request_timeout"
	codePayloadTooLarge            = core.CodePayloadTooLarge
	codeUnsupportedMedia core.Code = "unsupported_media_type"
	codeNotAcceptable    core.Code = "not_acceptable"
	codeInternal                   = core.CodeInternal
	// codeOutcomeUnknown is not a refusal: the answer to the commit was lost.
	codeOutcomeUnknown core.Code = "outcome_unknown"
	// codeUnavailable: the request had no effect and may be tried again.
	codeUnavailable core.Code = "unavailable"
	// codeStorageFull: the request had no effect; the storage for files is full until the
	// operator makes room.
	codeStorageFull core.Code = "storage_full"
)

const internalDetail = "something went wrong on our side; if it happens again, give the operator the requestId"

// refused makes a refusal of this package's own.
func refused(code core.Code, format string, args ...any) *core.Error {
	return &core.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFoundAt(path string) *core.Error {
	if len(path) > 1 && strings.HasSuffix(path, "/") {
		return refused(codeNotFound, "there is nothing at this path; paths do not end in a slash here")
	}
	return refused(codeNotFound, "there is nothing at this path; GET /openapi.json lists what there is")
}

// fail answers an error. An error that is not a refusal is logged here, once, and the
// client learns no more of it than the request's ID.
func (a *api) fail(w http.ResponseWriter, req *http.Request, err error) {
	refusal, cause := refusalOf(err)
	rec, _ := w.(*recorder)
	begun := rec != nil && rec.status != 0
	if cause != nil && (!begun || rec.err == nil) { // else the client has disconnected, which the access log says
		level := a.cfg.Log.ErrorContext
		if refusal.Code == codeUnavailable || req.Context().Err() != nil {
			level = a.cfg.Log.WarnContext // a dependency is down, or the client has disconnected: no bug
		}
		level(req.Context(), "request failed", "request_id", exchangeOf(req.Context()).id, "trace_id", exchangeOf(req.Context()).trace.ID(), "method", cut(req.Method, maxLogged),
			"path", cut(req.URL.Path, maxLogged), "code", refusal.Code, "error", cut(cause.Error(), maxLoggedError))
	}
	if begun {
		exchangeOf(req.Context()).code = refusal.Code
		panic(http.ErrAbortHandler) // closes the connection: the answer must not look complete
	}
	a.writeProblem(w, req, refusal)
}

// refusalOf gives the refusal that the client gets for an error; cause is not nil if err
// is a fault that the operator has to know of.
func refusalOf(err error) (refusal *core.Error, cause error) {
	if e, ok := errors.AsType[*core.Error](err); ok {
		if _, known := problems[e.Code]; known {
			return e, nil
		}
		return refused(codeInternal, internalDetail), err
	}
	switch {
	case errors.Is(err, ports.ErrCommitUnknown):
		return refused(codeOutcomeUnknown,
			"this may or may not have taken effect; look before you repeat it, or repeat it under the same Idempotency-Key"), err
	case errors.Is(err, ports.ErrFull):
		return refused(codeStorageFull, "there is no room left to store files; nothing was stored or charged, and the fault was logged for the operator"), err
	case errors.Is(err, ports.ErrMoved):
		return refused(codeUnavailable, "this tenant is being moved to another database, or lives there by now; nothing was changed here, try again in a moment"), err
	case errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrLockTimeout),
		errors.Is(err, ports.ErrDeadlock), errors.Is(err, ports.ErrSerialization):
		return refused(codeUnavailable, "nothing was changed; try again in a moment"), err
	case errors.Is(err, context.Canceled):
		return refused(codeInternal, "the request ended before it was answered"), err
	default:
		return refused(codeInternal, internalDetail), err
	}
}

// writeProblem writes application/problem+json (RFC 9457).
func (a *api) writeProblem(w http.ResponseWriter, req *http.Request, e *core.Error) {
	x := exchangeOf(req.Context())
	x.code = e.Code
	to := problems[e.Code]
	if to.waits && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	p := toProblem(e, to, a.cfg.Prefix, instanceOf(req.URL), x.id)
	if x.kept && curable(e.Code) {
		p.Detail += keptDetail
		p.NewKey = true
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	write(w, to.status, "application/problem+json", line(body))
}

// writeJSON answers with a value. It is encoded before anything is written, so that the
// client gets either a complete answer or an error.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	write(w, status, "application/json", line(body))
	return nil
}

// line ends a body with a line break, for terminals.
func line(body []byte) []byte { return append(body, '\n') }

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// An error means that the client has disconnected; it cannot be answered.
	_, _ = w.Write(body)
}
