package httpapi_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// limitedClock is a clock that a test moves.
type limitedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *limitedClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *limitedClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newLimitedWorld(t *testing.T, limits httpapi.RateLimits) (*world, *limitedClock, *httpapi.Limiter) {
	t.Helper()
	clock := &limitedClock{now: startOfTest}
	limiter := httpapi.NewLimiter(limits.WithClock(clock.time))
	return newWorld(t, func(o *options) { o.api.Limiter = limiter }), clock, limiter
}

func perMinute(n int) httpapi.Rate { return httpapi.Rate{Requests: n, Window: time.Minute} }

// limitedOut requires a refusal that says when to come back.
func (w *world) limitedOut(a answer, retryAfter string) answer {
	w.t.Helper()
	require.Equal(w.t, http.StatusTooManyRequests, a.status, a.text())
	require.Equal(w.t, "rate_limited", a.str("code"))
	require.Equal(w.t, retryAfter, a.header.Get("Retry-After"))
	return a
}

func TestRateLimitOfACredential(t *testing.T) {
	t.Parallel()
	w, clock, _ := newLimitedWorld(t, httpapi.RateLimits{Credential: perMinute(3)})
	for left := 2; left >= 0; left-- {
		got := w.get(w.user, "/balance")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, `"credential";q=3;w=60`, got.header.Get("RateLimit-Policy"))
		require.Equal(t, fmt.Sprintf(`"credential";r=%d;t=%d`, left, 60-20*left), got.header.Get("RateLimit"))
	}
	before := w.state()
	for range 3 { // a refusal takes nothing
		got := w.limitedOut(w.post(w.user, "/workflow-runs", inline("summarise", "a")), "20")
		require.Equal(t, `"credential";r=0;t=60`, got.header.Get("RateLimit"))
	}
	require.Equal(t, before, w.state())
	// Another token of the same caller is no new one, and others are not concerned.
	w.limitedOut(w.get(w.token(core.Actor{Subject: "ulf", Tenant: acme, Role: core.RoleCustomerUser}), "/balance"), "20")
	require.Equal(t, http.StatusOK, w.get(w.admin, "/balance").status)
	clock.advance(19 * time.Second)
	w.limitedOut(w.get(w.user, "/balance"), "1")
	clock.advance(time.Second)
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status)
	w.limitedOut(w.get(w.user, "/balance"), "20")
	clock.advance(time.Hour)
	for range 3 {
		require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status)
	}
	w.limitedOut(w.get(w.user, "/balance"), "20")
	for range 10 { // what is public has no caller
		require.Equal(t, http.StatusOK, w.get("", "/healthz").status)
	}
}

func TestRateLimitOfATenant(t *testing.T) {
	t.Parallel()
	w, _, _ := newLimitedWorld(t, httpapi.RateLimits{Credential: perMinute(2), Tenant: perMinute(3)})
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status)
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status)
	got := w.limitedOut(w.get(w.user, "/balance"), "30")
	require.Contains(t, got.str("detail"), "you have sent")
	require.Equal(t, `"credential";q=2;w=60, "tenant";q=3;w=60`, got.header.Get("RateLimit-Policy"))
	require.Equal(t, `"credential";r=0;t=60, "tenant";r=1;t=40`, got.header.Get("RateLimit"))
	require.Equal(t, http.StatusOK, w.get(w.admin, "/balance").status)
	got = w.limitedOut(w.get(w.admin, "/balance"), "20")
	require.Contains(t, got.str("detail"), "of this tenant")
	require.Equal(t, `"credential";r=1;t=30, "tenant";r=0;t=60`, got.header.Get("RateLimit"), "a refusal takes nothing from the caller either")
	require.Equal(t, http.StatusOK, w.get(w.stranger, "/balance").status, "of another tenant")
	require.Equal(t, http.StatusOK, w.get(w.platform, "/balance?tenant=acme").status, "a platform admin is of none")
}

// Credentials that are not valid are bounded by address. Who has a valid one is let in all
// the same, who has none or an expired one learns that he needs one, and other addresses
// are not concerned.
func TestRateLimitOfGuesses(t *testing.T) {
	t.Parallel()
	w, clock, _ := newLimitedWorld(t, httpapi.RateLimits{
		Failed: perMinute(2), Address: httpapi.ClientAddress([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}),
	})
	expired, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "ulf", "tenant": "acme", "role": "customer_user", "exp": time.Now().Add(-time.Hour).Unix(),
	}).SignedString([]byte(testSecret))
	require.NoError(t, err)
	from := func(address string) option { return header("X-Forwarded-For", address) }
	for range 2 {
		require.Equal(t, http.StatusUnauthorized, w.get("guess", "/balance", from("192.0.2.1")).status)
	}
	for range 2 {
		got := w.limitedOut(w.get("guess", "/balance", from("192.0.2.1")), "30")
		require.Empty(t, got.header.Get("RateLimit"))
	}
	require.Equal(t, http.StatusUnauthorized, w.get("guess", "/balance", from("192.0.2.2")).status)
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance", from("192.0.2.1")).status)
	require.Equal(t, http.StatusUnauthorized, w.get("", "/balance", from("192.0.2.1")).status)
	require.Equal(t, http.StatusUnauthorized, w.get(expired, "/balance", from("192.0.2.1")).status)
	for range 2 {
		require.Equal(t, http.StatusUnauthorized, w.get("guess", "/balance", from("2001:db8::1")).status)
	}
	w.limitedOut(w.get("guess", "/balance", from("2001:db8::ffff")), "30")
	require.Equal(t, http.StatusUnauthorized, w.get("guess", "/balance", from("2001:db8:0:1::1")).status)
	clock.advance(30 * time.Second)
	require.Equal(t, http.StatusUnauthorized, w.get("guess", "/balance", from("192.0.2.1")).status)
	w.limitedOut(w.get("guess", "/balance", from("192.0.2.1")), "30")
}

// The limiter remembers a bounded number of callers, and none whose bucket is full again.
func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	clock := &limitedClock{now: startOfTest}
	l := httpapi.NewLimiter(httpapi.RateLimits{
		Credential: perMinute(2), Tenant: perMinute(2), Failed: perMinute(2), MaxTracked: 10, Address: func(r *http.Request) netip.Addr {
			return netip.MustParseAddr(r.RemoteAddr)
		},
	}.WithClock(clock.time))
	actor := func(i int) core.Actor {
		return core.Actor{Subject: fmt.Sprint(i), Tenant: core.TenantID(fmt.Sprint(i)), Role: core.RoleCustomerUser}
	}
	for i := range 100 {
		require.NoError(t, l.Admit(http.Header{}, actor(i)))
		require.NoError(t, l.Refused(http.Header{}, &http.Request{RemoteAddr: fmt.Sprintf("192.0.2.%d", i)}))
	}
	callers, tenants, addresses := l.Tracked()
	require.Equal(t, []int{10, 10, 10}, []int{callers, tenants, addresses})
	require.NoError(t, l.Admit(http.Header{}, actor(99)))
	require.Error(t, l.Admit(http.Header{}, actor(99)))
	clock.advance(time.Minute)
	require.NoError(t, l.Admit(http.Header{}, actor(1)))
	callers, tenants, _ = l.Tracked()
	require.Equal(t, []int{1, 1}, []int{callers, tenants})

	var none *httpapi.Limiter
	require.NoError(t, none.Admit(http.Header{}, actor(1)))
	require.NoError(t, none.Refused(http.Header{}, &http.Request{}))
	h := http.Header{}
	require.NoError(t, httpapi.NewLimiter(httpapi.RateLimits{}).Admit(h, actor(1)))
	require.Empty(t, h)
}

// Of requests that come together exactly as many are let through as there may be.
func TestRateLimitRaces(t *testing.T) {
	t.Parallel()
	clock := &limitedClock{now: startOfTest}
	l := httpapi.NewLimiter(httpapi.RateLimits{Credential: perMinute(40), Tenant: perMinute(50)}.WithClock(clock.time))
	var mu sync.Mutex
	admitted := map[string]int{}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			actor := core.Actor{Subject: []string{"a", "b"}[i%2], Tenant: acme, Role: core.RoleCustomerUser}
			if l.Admit(http.Header{}, actor) == nil {
				mu.Lock()
				defer mu.Unlock()
				admitted[actor.Subject]++
			}
		})
	}
	group.Wait()
	require.Equal(t, 50, admitted["a"]+admitted["b"])
	require.LessOrEqual(t, max(admitted["a"], admitted["b"]), 40)
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	address := httpapi.ClientAddress([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"},
		{"192.0.2.1:1234", "198.51.100.7", "192.0.2.1"}, // not a proxy of ours: it is not believed
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", "1.1.1.1, 198.51.100.7", "198.51.100.7"}, // the client made up the first
		{"10.0.0.1:1", "198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"10.0.0.1:1", "10.0.0.3,10.0.0.2", "10.0.0.3"},
		{"10.0.0.1:1", "1.1.1.1, nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"},
		{"[fd00::1]:1", "2001:db8::5", "2001:db8::5"},
		{"[::ffff:10.0.0.1]:1", "::ffff:198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", strings.Repeat("10.0.0.9, ", 50) + "10.0.0.9", "10.0.0.9"},
		{"@", "198.51.100.7", "invalid IP"},
	} {
		req := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		require.Equal(t, c.want, address(req).String(), "%+v", c)
	}
}
