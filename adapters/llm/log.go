package llm

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// warnEvery is how often the same fault of ours is logged as a warning; in between it is
// logged like any other failure.
const warnEvery = time.Minute

// failureLog logs for the operator the details that the tenant does not get.
type failureLog struct {
	log *slog.Logger
	key string
	now func() time.Time

	mu     sync.Mutex
	warned map[string]time.Time // by failure code, of which there are few
}

func newFailureLog(cfg Config) *failureLog {
	return &failureLog{log: cfg.Log, key: cfg.APIKey, now: cfg.Now, warned: map[string]time.Time{}}
}

// redact removes the key from text that may echo a provider. Our own messages do not
// contain it.
func (l *failureLog) redact(s string) string {
	if l.key == "" {
		return s
	}
	return strings.ReplaceAll(s, l.key, "[redacted]")
}

// identifier is a word that may be a key, or part of one.
var identifier = regexp.MustCompile(`[A-Za-z0-9_*.-]{20,}`)

// quote makes a provider's message fit for the log: short, on one line, without
// anything that may be a secret.
func (l *failureLog) quote(s string) string {
	return identifier.ReplaceAllString(sanitize(l.redact(s[:min(len(s), 4*maxReason)])), "[…]")
}

// answered logs a request that did not complete a file.
func (l *failureLog) answered(ctx context.Context, task ports.Task, file ports.TaskFile, a answer, v verdict) {
	attrs := []any{
		"status", a.status, "retry_after", v.RetryAfter,
		"error_code", l.redact(token(v.fault.code)), "error_type", l.redact(token(v.fault.kind)),
	}
	if a.header != nil {
		attrs = append(attrs, "content_type", l.quote(a.header.Get("Content-Type")), "request_id", l.redact(sanitize(a.header.Get("X-Request-Id"))))
	}
	if v.Outcome == core.OutcomeInterrupted && v.fault.message != "" && !v.fault.markup {
		// The operator needs the message to fix the fault. For other failures it is not
		// logged, since it may quote a tenant's file.
		attrs = append(attrs, "provider_says", l.quote(v.fault.message))
	}
	if a.err != nil {
		// Errors of net/http contain the address, but neither headers nor bodies.
		attrs = append(attrs, "error", l.redact(a.err.Error()))
	}
	l.failed(ctx, task, file, v.FileResult, "the provider did not complete a file", attrs...)
}

// failed logs a file's failure. A fault that only the operator can fix is a warning,
// with advice.
func (l *failureLog) failed(ctx context.Context, task ports.Task, file ports.TaskFile, r core.FileResult, message string, attrs ...any) {
	level := slog.LevelInfo
	all := []any{
		"tenant", task.Job.Tenant, "run", task.Job.Run, "job", task.Job.ID, "epoch", task.Job.Epoch, "file", file.Index, "try", task.Try,
		"outcome", r.Outcome, "code", r.Failure.Code,
	}
	if r.Outcome == core.OutcomeInterrupted && l.due(r.Failure.Code) {
		level = slog.LevelWarn
		all = append(all, "advice", advice[r.Failure.Code])
	}
	l.log.Log(ctx, level, message, append(all, attrs...)...)
}

// due reports whether it is time to warn of this again.
func (l *failureLog) due(code string) bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.warned[code]
	// A clock that was set back must not silence the warning.
	if since := now.Sub(last); ok && since >= 0 && since < warnEvery {
		return false
	}
	l.warned[code] = now
	return true
}
