// Package webhooks sends events to the endpoints of tenants, as Standard Webhooks say.
//
// Whoever may make an endpoint could otherwise have the server connect to whatever it
// reaches: its own ports, the database, the metadata service of a cloud. So where it
// connects to is decided at each connection, by the address itself and whatever name led
// there (code.dny.dev/ssrf): only public addresses, unless the operator allows others. It
// uses no proxy, follows no redirect, and reads a bounded part of an answer.
package webhooks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/redrive/redrive/ports"
)

// Bounds of one try.
const (
	// DefaultTimeout bounds everything from the look-up of the name to the answer.
	DefaultTimeout = 15 * time.Second

	maxAnswer        = 1 << 10 // bytes of an answer that are kept
	maxAnswerHeaders = 16 << 10
	maxRetryAfter    = 7 * 24 * time.Hour
	userAgent        = "Redrive-Webhooks/1"
)

// publicPorts are where endpoints may listen, but in networks that are allowed.
var publicPorts = []uint16{443, 8443}

// Config is what an operator may set. The zero value is right for a server that strangers
// may make endpoints on.
type Config struct {
	// Allow are networks that are sent to although they are not public, at any port and
	// without TLS too. Whatever listens there can be reached by whoever may make endpoints.
	Allow []netip.Prefix
	// Timeout bounds one try; 0: DefaultTimeout.
	Timeout time.Duration
}

// Sender is a ports.WebhookSender. It may be used by many goroutines at once.
type Sender struct {
	allow   []netip.Prefix
	public  *ssrf.Guardian
	client  *http.Client
	timeout time.Duration
}

var _ ports.WebhookSender = (*Sender)(nil)

// New makes a Sender.
func New(c Config) *Sender {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	s := &Sender{allow: c.Allow, public: ssrf.New(ssrf.WithPorts(publicPorts...)), timeout: c.Timeout}
	dialer := &net.Dialer{Timeout: c.Timeout, ControlContext: s.control}
	s.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // it would connect in our stead, past the control
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // so that a small answer is not a large one
			MaxIdleConns:           100,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    c.Timeout,
			MaxResponseHeaderBytes: maxAnswerHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// Close closes connections that are kept for the next event.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// plainKey marks the context of a request without TLS.
type plainKey struct{}

// errPlain: without TLS only networks that are allowed are sent to.
var errPlain = errors.New("http is for networks that the operator allows; use https")

// What a tenant is told of a name that there is not and of one that leads to an address
// that is not sent to is the same: else the names inside could be found out by trying. The
// same goes for names without TLS, which lead to addresses that are allowed or are refused.
var (
	errNowhere      = errors.New("the host's name leads to no address that webhooks are sent to")
	errPlainNowhere = errors.New("the host's name leads to no address that webhooks are sent to without TLS; use https")
)

// control is asked for every connection, when the address is known and before anything is
// sent to it.
func (s *Sender) control(ctx context.Context, network, address string, c syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err == nil && s.allowed(to.Addr()) && (network == "tcp4" || network == "tcp6") {
		return nil
	}
	if ctx.Value(plainKey{}) != nil {
		return errPlain
	}
	return s.public.Safe(network, address, c)
}

func (s *Sender) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range s.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Send implements ports.WebhookSender.
func (s *Sender) Send(ctx context.Context, r ports.WebhookRequest) (ports.WebhookAnswer, error) {
	if err := s.check(r.URL); err != nil { // the operator may have changed what is allowed
		return ports.WebhookAnswer{}, fmt.Errorf("the address %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if strings.HasPrefix(strings.ToLower(r.URL), "http:") {
		bounded = context.WithValue(bounded, plainKey{}, true)
	}
	req, err := http.NewRequestWithContext(bounded, http.MethodPost, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return ports.WebhookAnswer{}, errors.New("the address is none that can be sent to")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Webhook-Id", string(r.ID))
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(r.At.Unix(), 10))
	req.Header.Set("Webhook-Signature", r.Signature)
	answer, err := s.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ports.WebhookAnswer{}, ctx.Err()
		}
		return ports.WebhookAnswer{}, s.explain(err, bounded.Value(plainKey{}) != nil)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing of it is needed any more
	// What comes late or is cut off is shown as far as it came: the status has decided.
	first, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return ports.WebhookAnswer{
		Status: answer.StatusCode, Body: strings.ToValidUTF8(string(first), "\uFFFD"), RetryAfter: retryAfter(answer.Header.Get("Retry-After"), r.At),
	}, nil
}

func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// explain says why there is no answer, without what the tenant has no business with:
// names inside and their addresses, the resolver, the server's own port.
func (s *Sender) explain(err error, plain bool) error {
	nowhere := errNowhere
	if plain {
		nowhere = errPlainNowhere
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok && wrapped.Timeout() {
		return fmt.Errorf("no answer within %s", s.timeout)
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		if name.IsNotFound {
			return nowhere
		}
		return errors.New("the host's name could not be looked up")
	}
	if wrong, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errors.New(wrong.Error())
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return errors.New(wrong.Error())
	}
	if wrong, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return errors.New(wrong.Error())
	}
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrInvalidHostPort),
		errors.Is(err, errPlain):
		return nowhere
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the connection was refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed before there was an answer")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return errors.New("the host cannot be reached")
	default:
		return errors.New("the request failed before there was an answer")
	}
}
