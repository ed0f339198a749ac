package oidc_test

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/oidc"
	"github.com/redrive/redrive/internal/testkit/idp"
	"github.com/redrive/redrive/ports"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logs is what was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// world is a provider and this service's view of it.
type world struct {
	idp   *idp.Provider
	clock *clock
	log   *logs
	p     *oidc.Provider
}

func newWorld(t *testing.T, keys ...idp.Key) *world {
	w := &world{idp: idp.Start(t, keys...), clock: newClock(), log: &logs{}}
	var err error
	w.p, err = oidc.New(oidc.Config{Issuer: w.idp.URL, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	require.NoError(t, err)
	return w
}

func (w *world) key(t *testing.T, kid, alg string) (crypto.PublicKey, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return w.p.Key(ctx, kid, alg)
}

func TestKeysAreFetchedOnceAndKept(t *testing.T) {
	t.Parallel()
	one, two := idp.EC(t, "one"), idp.Ed(t, "two")
	w := newWorld(t, one, two)
	require.Zero(t, w.idp.Fetches(), "nothing is fetched before it is needed")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := w.key(t, "one", "ES256")
			if err != nil || fmt.Sprint(got) != fmt.Sprint(one.Private.Public()) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	wg.Wait()
	got, err := w.key(t, "two", "EdDSA")
	require.NoError(t, err)
	require.Equal(t, two.Private.Public(), got)
	require.Equal(t, 1, w.idp.Fetches())

	for _, c := range [][2]string{{"one", "EdDSA"}, {"two", "ES256"}, {"one", "RS256"}, {"one", "HS256"}, {"secret", "HS256"}, {"secret", "ES256"}, {"private-one", "ES256"}} {
		got, err := w.key(t, c[0], c[1])
		require.NoError(t, err)
		require.Nil(t, got, "%v: a key is for its own algorithm, and a secret is no public key", c)
	}
}

// A token that names no key is checked with the only one that it can be.
func TestKeyWithoutAName(t *testing.T) {
	t.Parallel()
	one := idp.EC(t, "one")
	w := newWorld(t, one, idp.Ed(t, "two"))
	got, err := w.key(t, "", "ES256")
	require.NoError(t, err)
	require.Equal(t, one.Private.Public(), got)
	w.idp.Add(idp.EC(t, "three"), false)
	w.clock.advance(16 * time.Minute)
	require.Eventually(t, func() bool {
		got, err := w.key(t, "", "ES256")
		return err == nil && got == nil
	}, 10*time.Second, time.Millisecond, "with two it is not known which")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idp.EC(t, "old"))
	_, err := w.key(t, "old", "ES256")
	require.NoError(t, err)

	w.idp.Add(idp.EC(t, "new"), false)
	got, err := w.key(t, "new", "ES256")
	require.NoError(t, err)
	require.NotNil(t, got, "a new key is known at its first token")

	w.idp.Remove("old")
	w.clock.advance(16 * time.Minute)
	require.Eventually(t, func() bool {
		got, err := w.key(t, "old", "ES256")
		return err == nil && got == nil
	}, 10*time.Second, time.Millisecond, "a key that was taken back is refused after a while")
}

// However many forged tokens come, the provider is asked at most once in ten seconds.
func TestForgedTokensDoNotAskTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idp.EC(t, "one"))
	_, err := w.key(t, "one", "ES256")
	require.NoError(t, err)
	for n := range 300 {
		got, err := w.key(t, fmt.Sprint("forged-", n), "ES256")
		require.NoError(t, err)
		require.Nil(t, got)
	}
	require.Equal(t, 2, w.idp.Fetches(), "the burst")
	w.clock.advance(11 * time.Second)
	for n := range 300 {
		_, err := w.key(t, fmt.Sprint("forged-", n), "ES256")
		require.NoError(t, err)
	}
	require.Equal(t, 3, w.idp.Fetches())
}

func TestProviderIsDown(t *testing.T) {
	t.Parallel()
	t.Run("FromTheBeginning", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, idp.EC(t, "one"))
		w.idp.Down(true)
		for range 10 {
			_, err := w.key(t, "one", "ES256")
			require.ErrorIs(t, err, ports.ErrUnavailable, "which is not that the token is wrong")
		}
		require.Equal(t, 1, strings.Count(w.log.String(), "for=keys"), "%s", w.log)
		w.idp.Down(false)
		_, err := w.key(t, "one", "ES256")
		require.ErrorIs(t, err, ports.ErrUnavailable, "it is not asked again at once")
		w.clock.advance(11 * time.Second)
		got, err := w.key(t, "one", "ES256")
		require.NoError(t, err)
		require.NotNil(t, got)
		require.Contains(t, w.log.String(), "can be asked again")
	})
	t.Run("Later", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, idp.EC(t, "one"))
		_, err := w.key(t, "one", "ES256")
		require.NoError(t, err)
		w.idp.Down(true)
		w.clock.advance(23 * time.Hour)
		got, err := w.key(t, "one", "ES256")
		require.NoError(t, err)
		require.NotNil(t, got, "a known key stays good")
		require.Eventually(t, func() bool {
			_, err := w.key(t, "new", "ES256")
			return err != nil
		}, 10*time.Second, time.Millisecond)
		_, err = w.key(t, "new", "ES256")
		require.ErrorIs(t, err, ports.ErrUnavailable, "it may have begun to sign with this one")
		w.clock.advance(2 * time.Hour)
		_, err = w.key(t, "one", "ES256")
		require.ErrorIs(t, err, ports.ErrUnavailable, "but not for ever")
	})
}

// A provider that hangs holds up nobody whose key is known.
func TestProviderHangs(t *testing.T) {
	t.Parallel()
	one := idp.EC(t, "one")
	inner := idp.Start(t, one)
	hang, release := make(chan struct{}), make(chan struct{})
	var hangs sync.Once
	c := newClock()
	p, err := oidc.New(oidc.Config{Issuer: inner.URL, JWKS: inner.URL + "/keys", Now: c.Now, Transport: transport(func(req *http.Request) (*http.Response, error) {
		select {
		case <-hang:
			select {
			case <-release:
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		default:
		}
		return http.DefaultTransport.RoundTrip(req)
	})})
	require.NoError(t, err)
	t.Cleanup(func() { close(release) })
	_, err = p.Key(t.Context(), "one", "ES256")
	require.NoError(t, err)
	hangs.Do(func() { close(hang) })
	c.advance(time.Hour)
	for range 100 {
		began := time.Now()
		got, err := p.Key(t.Context(), "one", "ES256")
		require.NoError(t, err)
		require.NotNil(t, got)
		require.Less(t, time.Since(began), 2*time.Second)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestBadSetsOfKeys(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"NoJSON": "<html>", "Empty": `{"keys":[]}`, "None": `{}`, "SecretsOnly": `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`,
		"Endless":         `{"keys":[` + strings.Repeat(" ", 2<<20) + `]}`,
		"TooMany":         `{"keys":[` + strings.Repeat(`{"kty":"x"},`, 200) + `{}]}`,
		"PointOffTheLine": `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`,
		"ForEncryption":   `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"enc","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			t.Cleanup(server.Close)
			p, err := oidc.New(oidc.Config{JWKS: server.URL, Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			_, err = p.Key(t.Context(), "a", "EdDSA")
			require.ErrorIs(t, err, ports.ErrUnavailable)
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"https://idp.example": true, "https://idp.example/realms/a": true, "http://127.0.0.1:1": true, "http://localhost:8080/x": true, "http://[::1]:1": true,
		"http://idp.example": false, "http://10.0.0.1": false, "ftp://127.0.0.1": false, "idp.example": false, "https://": false, "https://u:p@idp.example": false,
		"https://idp.example/#x": false, "http://localhost.evil.example": false, ":": false,
	} {
		require.Equal(t, good, oidc.CheckAddress(address) == nil, address)
	}
	_, err := oidc.New(oidc.Config{})
	require.Error(t, err)
}

// A provider's document that names another issuer, or keys that anybody could replace, is
// not believed.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	const insecure = "must begin with https://"
	for name, c := range map[string]struct {
		change func(string) string
		says   string
	}{
		"AnotherIssuer": {func(s string) string { return strings.Replace(s, `"issuer":"`, `"issuer":"x`, 1) }, "issuer"},
		"KeysByHTTP":    {func(s string) string { return strings.Replace(s, `KEYS`, `http://keys.example`, 1) }, insecure},
		"TokensByHTTP":  {func(s string) string { return strings.Replace(s, `TOKENS`, `http://tokens.example`, 1) }, insecure},
		"Nothing":       {func(string) string { return `{}` }, "issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var url string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				document := c.change(`{"issuer":"` + url + `","jwks_uri":"KEYS","authorization_endpoint":"https://a.example","token_endpoint":"TOKENS"}`)
				_, _ = w.Write([]byte(strings.NewReplacer("KEYS", "https://k.example", "TOKENS", "https://t.example").Replace(document)))
			}))
			t.Cleanup(server.Close)
			url = server.URL
			p, err := oidc.New(oidc.Config{Issuer: url, Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			_, err = p.Key(t.Context(), "a", "ES256")
			require.ErrorIs(t, err, ports.ErrUnavailable)
			require.ErrorContains(t, err, c.says)
		})
	}
}
