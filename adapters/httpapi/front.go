package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bunrouter"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// front stands before the router, where it sees every request and every panic:
// request ID, security headers, access log, recovery, and the paths that the
// router must not see.
type front struct {
	api  *api
	next http.Handler
}

// exchange collects what the logs say about one request and its answer.
type exchange struct {
	id    string
	route string     // the pattern; empty if there was none
	actor core.Actor // zero if it is not known
	code  core.Code  // of the problem; empty if there was none
	kept  bool       // the refusal stays the answer under the request's idempotency key
	raw   http.ResponseWriter
	body  *body
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// ServeHTTP answers one request.
func (f *front) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	in := newBody(w, req, f.api.cfg.Pace)
	x := &exchange{id: requestID(req.Header), raw: w, body: in}
	rec := &recorder{ResponseWriter: w, body: in, timeout: f.api.cfg.Pace.Write}
	req = req.WithContext(app.WithRequestID(context.WithValue(req.Context(), exchangeKey{}, x), x.id))
	req.Body = in
	defer in.leave()

	h := w.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")

	defer func() { f.logAccess(req, rec, x, began) }()
	defer f.recovered(rec, req)

	path, ok := routablePath(req)
	if !ok {
		f.api.fail(rec, req, notFoundAt(req.URL.Path))
		return
	}
	url := *req.URL
	url.Path, url.RawPath = path, "" // parameters arrive decoded
	req.URL = &url                   // req is our own copy
	f.next.ServeHTTP(rec, req)
}

// recovered answers a panic with a 500. Once an answer has begun, the connection is
// closed instead, so that the client does not take a partial answer for a complete one.
func (f *front) recovered(rec *recorder, req *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	x := exchangeOf(req.Context())
	f.api.cfg.Log.Error("handler panicked", "request_id", x.id, "method", cut(req.Method, maxLogged), "path", cut(req.URL.Path, maxLogged),
		"panic", cut(fmt.Sprint(p), maxLoggedError), "stack", cut(string(debug.Stack()), maxLoggedStack))
	if rec.status != 0 {
		panic(http.ErrAbortHandler)
	}
	f.api.writeProblem(rec, req, refused(codeInternal, internalDetail))
}

// logAccess writes one line for each request. Neither the query nor any header
// is in it: they may hold secrets.
func (f *front) logAccess(req *http.Request, rec *recorder, x *exchange, began time.Time) {
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("method", cut(req.Method, maxLogged)), slog.String("path", cut(req.URL.Path, maxLogged)),
		slog.String("route", x.route), slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes),
		slog.Duration("took", time.Since(began)),
	}
	if x.code != "" {
		attrs = append(attrs, slog.String("code", string(x.code)))
	}
	if rec.err != nil { // the client has disconnected, or does not read
		attrs = append(attrs, slog.String("write_error", cut(rec.err.Error(), maxLoggedError)))
	}
	if x.actor.Subject != "" {
		attrs = append(attrs, slog.String("subject", x.actor.Subject), slog.String("tenant", string(x.actor.Tenant)),
			slog.String("role", string(x.actor.Role)))
	}
	f.api.cfg.Log.LogAttrs(req.Context(), slog.LevelInfo, "request", attrs...)
}

// routablePath gives the decoded path if the router handles it correctly. It would
// redirect a path that is not clean, which turns a POST into a GET. It would take an
// encoded slash for a real one, and it panics on control characters.
func routablePath(req *http.Request) (string, bool) {
	path, raw := req.URL.Path, req.URL.RawPath
	if raw != "" && strings.Count(raw, "/") != strings.Count(path, "/") {
		return "", false
	}
	if path == "" || path[0] != '/' || !utf8.ValidString(path) || strings.ContainsFunc(path, isControl) {
		return "", false
	}
	if bunrouter.CleanPath(path) != path || len(path) > 1 && strings.HasSuffix(path, "/") {
		return "", false
	}
	return path, true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// requestID takes the caller's own ID, so that its logs and ours can be joined,
// if it is harmless in a log; else it makes one.
func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if core.ValidID(id) {
		return id
	}
	return rand.Text()
}
