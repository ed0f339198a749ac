package llm

import (
	"bytes"
	"context"
	"crypto/rand"
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

// answer is the response to one request. It is read here and not by a client library:
// those refuse some content types, drop the body of an unknown error, and take a
// truncated answer for a complete one.
type answer struct {
	status   int // 0 if there was no response
	header   http.Header
	body     []byte // complete unless err is set; of an error answer at most maxErrorBody
	err      error  // there was no answer, or it broke off
	timedOut bool   // err is because Config.Timeout has passed
	tooLong  bool   // the body has more than Config.MaxResponseBytes
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
	// A redirect means a wrong base URL. Following it would send a tenant's file to a
	// server that the operator did not configure.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// newTransport differs from http.DefaultTransport in the number of idle connections: all
// requests go to one host, for which the default keeps two.
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

// proxyRefusal is the error that a proxy refuses the connection to the provider.
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
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails
	if trace := ports.TraceOf(ctx).Span(span); trace != "" {
		req.Header.Set("Traceparent", string(trace))
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() {
		// An error of Close does not matter if the body was read completely.
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

// unreached decides whose fault it was that there was no answer. Wrong settings are a
// host name that does not exist, a certificate of another host, TLS on a port without
// it, and a proxy that refuses the connection. All else is transient.
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
