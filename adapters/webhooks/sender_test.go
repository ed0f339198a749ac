package webhooks_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/webhooks"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func sender(t *testing.T, c webhooks.Config) *webhooks.Sender {
	t.Helper()
	s := webhooks.New(c)
	t.Cleanup(s.Close)
	return s
}

func request(t *testing.T, url string, secrets ...string) ports.WebhookRequest {
	t.Helper()
	r := ports.WebhookRequest{URL: url, ID: "evt_1", At: time.Now(), Body: `{"type":"run.closed","data":{"text":"ü"}}`}
	var err error
	r.Signature, err = core.SignWebhook(secrets, r.ID, r.At, r.Body)
	require.NoError(t, err)
	return r
}

func secret(t *testing.T, of byte) string {
	t.Helper()
	s, err := core.WebhookSecret([]byte(strings.Repeat(string(of), 32)))
	require.NoError(t, err)
	return s
}

// What is sent is taken by the library of Standard Webhooks, by the new secret and by the
// one of before.
func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	next, before := secret(t, 'n'), secret(t, 'o')
	var body []byte
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(strings.Repeat("a", 5000)))
	}))
	t.Cleanup(server.Close)
	r := request(t, server.URL+"/hooks?key=1", next, before)
	answer, err := sender(t, webhooks.Config{Allow: loopback}).Send(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, ports.WebhookAnswer{Status: http.StatusAccepted, Body: strings.Repeat("a", 1024), RetryAfter: 7 * time.Second}, answer)
	require.Equal(t, r.Body, string(body))
	require.Equal(t, "application/json", header.Get("Content-Type"))
	for _, s := range []string{next, before} {
		verifier, err := standard.NewWebhook(s)
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(body, header))
		require.Error(t, verifier.Verify(append(body, ' '), header))
		theirs, err := verifier.Sign(string(r.ID), r.At, body)
		require.NoError(t, err)
		require.Contains(t, r.Signature, theirs)
	}
	stranger, err := standard.NewWebhook(secret(t, 's'))
	require.NoError(t, err)
	require.Error(t, stranger.Verify(body, header))
}

// A server that listens where webhooks are not sent to is never connected to.
func TestPrivateAddressesAreNotConnectedTo(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	s := sender(t, webhooks.Config{})
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "0x7f.1", "2130706433", "017700000001"} {
		for _, url := range []string{"https://" + host + ":" + port, "https://" + host, "http://" + host + ":" + port} {
			_, err := s.Send(t.Context(), request(t, url, secret(t, 'a')))
			require.Error(t, err, url)
		}
	}
	require.Zero(t, asked.Load())

	// Other networks than the one that is allowed are refused as before.
	elsewhere := sender(t, webhooks.Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}})
	_, err = elsewhere.Send(t.Context(), request(t, "https://localhost:"+port, secret(t, 'a')))
	require.EqualError(t, err, "the host's name leads to no address that webhooks are sent to")
	_, err = elsewhere.Send(t.Context(), request(t, "http://localhost:"+port, secret(t, 'a')))
	require.ErrorContains(t, err, "use https")
	require.Zero(t, asked.Load())
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	answer, err := sender(t, webhooks.Config{Allow: loopback}).Send(t.Context(), request(t, server.URL, secret(t, 'a')))
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, answer.Status)
	require.EqualValues(t, 1, asked.Load())
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hangs) })
	s := sender(t, webhooks.Config{Allow: loopback, Timeout: 100 * time.Millisecond})
	_, err := s.Send(t.Context(), request(t, server.URL, secret(t, 'a')))
	require.EqualError(t, err, "no answer within 100ms")

	s = sender(t, webhooks.Config{Allow: loopback}) // of which the rest needs no part
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Send(ctx, request(t, server.URL, secret(t, 'a')))
	require.ErrorIs(t, err, context.Canceled, "whoever stops is told that he did")

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = s.Send(t.Context(), request(t, "http://"+listener.Addr().String(), secret(t, 'a')))
	require.EqualError(t, err, "the connection was refused")

	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	_, err = s.Send(t.Context(), request(t, untrusted.URL, secret(t, 'a')))
	require.ErrorContains(t, err, "certificate signed by unknown authority")

	_, err = s.Send(t.Context(), request(t, "https://no-such-host.invalid", secret(t, 'a')))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "127.0.0", "the resolver's address is nobody's business")
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for header, want := range map[string]time.Duration{
		"": 0, "-5": 0, "x": 0, "120": 2 * time.Minute, "99999999999": 7 * 24 * time.Hour,
		now.Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		answer, err := sender(t, webhooks.Config{Allow: loopback}).Send(t.Context(), request(t, server.URL, secret(t, 'a')))
		server.Close()
		require.NoError(t, err)
		require.Equal(t, want, answer.RetryAfter, header)
	}
}
