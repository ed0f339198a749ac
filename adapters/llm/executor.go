package llm

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Executor is a ports.Executor. It may be used by many goroutines at once.
type Executor struct {
	cfg    Config
	client openai.ChatCompletionService
	own    *http.Transport // nil if Config gave one
}

var _ ports.Executor = (*Executor)(nil)

// New checks the configuration, see Config.Validate, and gives an executor. It
// makes no request. Close it when done.
func New(cfg Config) (*Executor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Executor{cfg: cfg.withDefaults()}
	transport := e.cfg.Transport
	if transport == nil {
		e.own = newTransport()
		transport = e.own
	}
	options := []option.RequestOption{
		option.WithBaseURL(e.cfg.BaseURL),
		option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{
			Transport: boundedTransport{transport, e.cfg.MaxResponseBytes},
			// A redirect is a wrong base URL. Followed, it would carry a tenant's
			// file to a place that nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	}
	if e.cfg.APIKey != "" {
		options = append(options, option.WithAPIKey(e.cfg.APIKey))
	}
	// The service and not openai.NewClient, which reads OPENAI_BASE_URL,
	// OPENAI_ORG_ID, custom headers and more from the environment.
	e.client = openai.NewChatCompletionService(options...)
	return e, nil
}

// Close lets go of idle connections. Work under way is not ended by it.
func (e *Executor) Close() {
	if e.own != nil {
		e.own.CloseIdleConnections()
	}
}

// newTransport differs from http.DefaultTransport in the idle connections that
// it keeps: all requests go to one host, where the default keeps two.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 100,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

// boundedTransport fails the reading of a body after max bytes, so that a
// provider gone mad cannot fill the memory.
type boundedTransport struct {
	next http.RoundTripper
	max  int64 // bytes
}

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, t.max)
	}
	return resp, err
}

// Execute answers for every file of the task, in their order. Its only error is
// ctx's; then no result is given, and no request is left under way.
func (e *Executor) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, len(task.Files))
	forEach(ctx, len(task.Files), e.cfg.Concurrency, func(ctx context.Context, i int) {
		results[i] = e.process(ctx, task, task.Files[i])
		results[i].Index = task.Files[i].Index
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return results, nil
}

// process does one file. If ctx ends meanwhile its result means nothing.
func (e *Executor) process(ctx context.Context, task ports.Task, file ports.TaskFile) core.FileResult {
	log := e.cfg.Log.With("tenant", task.Job.Tenant, "run", task.Job.Run, "job", task.Job.ID,
		"epoch", task.Job.Epoch, "file", file.Index, "try", task.Try)
	text, failed := readText(ctx, file, e.cfg.MaxFileBytes, log)
	if failed != nil {
		return *failed
	}
	r := e.request(ctx, task, file, text)
	if ctx.Err() != nil {
		return core.FileResult{}
	}
	result := classify(r, func(h http.Header) time.Duration { return retryAfter(h, e.cfg.Now(), e.cfg.MaxRetryAfter) })
	result.Failure.Message = e.redact(result.Failure.Message)
	e.logFailure(ctx, log, r, result)
	return result
}

// request asks the provider once.
func (e *Executor) request(ctx context.Context, task ports.Task, file ports.TaskFile, text string) reply {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	var r reply
	// The response is taken aside because the library gives an error without
	// the status when it cannot make sense of an error body.
	r.completion, r.err = e.client.New(ctx, chatParams(e.cfg.Model, task.Template, file.Name, text),
		option.WithResponseInto(&r.response), withIdempotencyKey(idempotencyKey(task.Job, file.Index)))
	r.timedOut = r.err != nil && ctx.Err() != nil
	return r
}

// redact takes the key out of what a provider may have echoed. What we compose
// ourselves does not have it.
func (e *Executor) redact(s string) string {
	if e.cfg.APIKey == "" {
		return s
	}
	return strings.ReplaceAll(s, e.cfg.APIKey, "[redacted]")
}

// logFailure tells the operator what the tenant is not told. What only the
// operator can mend is a warning.
func (e *Executor) logFailure(ctx context.Context, log *slog.Logger, r reply, result core.FileResult) {
	if result.Outcome == core.OutcomeCompleted {
		return
	}
	level := slog.LevelInfo
	switch result.Failure.Code {
	case FailureUnauthorized, FailureMisconfigured, FailureQuota:
		level = slog.LevelWarn
	}
	attrs := []any{
		"outcome", result.Outcome, "code", result.Failure.Code, "status", r.status(), "retry_after", result.RetryAfter,
		"error_code", e.redact(token(r.errorCode())), "error_type", e.redact(token(r.errorType())),
	}
	if r.response != nil {
		attrs = append(attrs, "request_id", e.redact(r.response.Header.Get("X-Request-Id")))
	}
	if r.err != nil {
		// The library's errors have neither headers nor bodies in them.
		attrs = append(attrs, "error", e.redact(r.err.Error()))
	}
	log.Log(ctx, level, "the provider did not complete a file", attrs...)
}
