package llm

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// answer is what came back for one request. It is read here and not by the client
// library, which refuses some content types, gives no body of an error that it
// does not understand, and takes the beginning of an answer for the whole.
type answer struct {
	status   int // 0 if none came
	header   http.Header
	body     []byte // whole unless err; of an error answer at most maxErrorBody
	err      error  // no answer, or it broke off
	timedOut bool   // because the request's own time was up
	tooLong  bool   // because it has more than Config.MaxResponseBytes
}

// maxErrorBody is how much of an error answer is read, in bytes.
const maxErrorBody = 256 << 10

// client makes requests to one endpoint.
type client struct {
	http    http.Client
	url     string
	key     string
	model   string
	timeout time.Duration
	max     int64           // bytes of an answer
	own     *http.Transport // nil if Config gave one
}

func newClient(cfg Config) *client {
	c := &client{
		url: strings.TrimRight(cfg.BaseURL, "/") + "/chat/completions", key: cfg.APIKey, model: cfg.Model,
		timeout: cfg.Timeout, max: cfg.MaxResponseBytes,
	}
	c.http.Transport = cfg.Transport
	if cfg.Transport == nil {
		c.own = newTransport()
		c.http.Transport = c.own
	}
	// A redirect is a wrong base URL. Followed, it would carry a tenant's file to a
	// place that the operator did not name.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
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
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			return proxyRefusal{resp.StatusCode}
		},
	}
}

// proxyRefusal is a proxy that does not let us through to the provider.
type proxyRefusal struct{ status int }

func (p proxyRefusal) Error() string {
	return fmt.Sprintf("the proxy answered CONNECT with HTTP %d", p.status)
}

// ask makes one request, which may take as long as Config.Timeout.
func (c *client) ask(ctx context.Context, task ports.Task, file ports.TaskFile, text string) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a := c.send(ctx, task, file, text)
	a.timedOut = a.err != nil && ctx.Err() != nil
	return a
}

func (c *client) send(ctx context.Context, task ports.Task, file ports.TaskFile, text string) (a answer) {
	body, err := json.Marshal(newChatRequest(c.model, task.Template, file.Name, text))
	if err != nil {
		return answer{err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "redrive")
	req.Header[idempotencyHeader] = []string{idempotencyKey(task.Job, file.Index)}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() {
		// What was read whole stands, however the closing went.
		if closeErr := resp.Body.Close(); a.err == nil && a.body == nil {
			a.err = closeErr
		}
	}()
	a = answer{status: resp.StatusCode, header: resp.Header}
	limit := c.max
	if !succeeded(a.status) {
		limit = min(limit, maxErrorBody)
	}
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(a.body)) > limit {
		a.body = a.body[:limit]
		a.tooLong = succeeded(a.status)
	}
	return a
}

func succeeded(status int) bool { return status >= 200 && status < 300 }

// unreached decides whose fault it was that no answer came: a name that does not
// exist, a certificate of another host, TLS spoken to a port without it and a
// proxy that refuses us are wrong settings, all else passes.
func unreached(a answer) core.FileResult {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var proxy proxyRefusal
	switch {
	case a.timedOut:
		return transient(FailureTimeout, messages[FailureTimeout], 0)
	case errors.As(a.err, &dns) && dns.IsNotFound,
		errors.As(a.err, &cert), errors.As(a.err, &notTLS), errors.Is(a.err, http.ErrSchemeMismatch),
		errors.As(a.err, &proxy) && proxy.status < 500:
		return ours(FailureMisconfigured)
	default:
		return transient(FailureUnreachable, messages[FailureUnreachable], 0)
	}
}
