package webui

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/redrive/redrive/core/app"
)

// contentPolicy allows only the page's own assets: no inline script or style, no foreign
// address, no frame.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxFormBytes bounds every body but an upload. The longest are a template's
// instructions, 100,000 bytes that a form may escape to three times as many.
const (
	maxFormBytes = 512 << 10
	// maxAnonymousBytes bounds the body of a request without a session: a token and an
	// address.
	maxAnonymousBytes = 16 << 10
)

// front wraps the routes with security headers, the refusal of cross-origin POSTs, the
// access log, and recovery from panics.
func (u *ui) front(next http.Handler) http.Handler {
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(u.serve(func(w http.ResponseWriter, r *request) error {
		return u.renderStatus(w, r, http.StatusForbidden, "foreign")
	}, false))
	next = foreign.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w, id: rand.Text()}
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Request-Id", rec.id)
		defer func() {
			u.cfg.Log.LogAttrs(req.Context(), slog.LevelInfo, "page", slog.String("request_id", rec.id),
				slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Int("status", rec.status),
				slog.Int64("bytes", rec.bytes), slog.Duration("took", time.Since(began)),
				slog.String("subject", rec.subject), slog.String("tenant", rec.tenant))
		}()
		req = req.WithContext(app.WithRequestID(req.Context(), rec.id))
		defer u.recovered(rec, req)
		next.ServeHTTP(rec, req)
	})
}

// recovered answers a panic. Once an answer has begun, the connection is closed instead,
// so that a partial page or download is not taken for a complete one.
func (u *ui) recovered(rec *recorder, req *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	u.cfg.Log.Error("page panicked", "request_id", rec.id, "method", req.Method, "path", req.URL.Path,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if rec.status != 0 {
		panic(http.ErrAbortHandler)
	}
	http.Error(rec, "Something went wrong on our side. Request "+rec.id, http.StatusInternalServerError)
}

// recorder notes the answer and the caller for the log.
type recorder struct {
	http.ResponseWriter
	id, subject, tenant string
	status              int // 0 until the answer has begun
	bytes               int64
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find what the server's own writer can do.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
