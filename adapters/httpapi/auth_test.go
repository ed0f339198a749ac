package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

func TestNewAuth(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 31} {
		_, err := httpapi.NewAuth(make([]byte, length))
		require.ErrorContains(t, err, "at least 32")
	}
	_, err := httpapi.NewAuth(make([]byte, 32))
	require.NoError(t, err)
}

func TestNewNeedsAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Panics(t, func() { httpapi.New(w.svc, httpapi.Config{}) }, "a server that lets everybody in")
	require.Panics(t, func() { httpapi.New(nil, httpapi.Config{Auth: w.auth}) })
}

func TestTokenRefusesActors(t *testing.T) {
	t.Parallel()
	auth, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	good := core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}
	for name, change := range map[string]func(*core.Actor){
		"no subject":                func(a *core.Actor) { a.Subject = "" },
		"subject too long":          func(a *core.Actor) { a.Subject = strings.Repeat("s", 256) },
		"subject breaking a line":   func(a *core.Actor) { a.Subject = "a\nb" },
		"unknown role":              func(a *core.Actor) { a.Role = "root" },
		"no tenant":                 func(a *core.Actor) { a.Tenant = "" },
		"tenant that cannot be one": func(a *core.Actor) { a.Tenant = "a/b" },
	} {
		actor := good
		change(&actor)
		_, err := auth.Token(actor, time.Hour)
		require.Error(t, err, name)
	}
	_, err = auth.Token(good, 0)
	require.Error(t, err, "a token that has expired when it is made")
	_, err = auth.Token(good, time.Hour)
	require.NoError(t, err)
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "ann", "tenant": "acme", "role": "customer_admin", "exp": time.Now().Add(time.Hour).Unix()}
		change(c)
		return c
	}
	same := func(jwt.MapClaims) {}
	sign := func(method jwt.SigningMethod, secret any, c jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, c).SignedString(secret)
		require.NoError(t, err)
		return token
	}
	hs256 := func(change func(jwt.MapClaims)) string {
		return "Bearer " + sign(jwt.SigningMethodHS256, []byte(testSecret), claims(change))
	}
	ask := func(authorization ...string) answer {
		t.Helper()
		req := w.request(call{method: http.MethodGet, path: "/balance"})
		req.Header["Authorization"] = authorization
		return w.exchange(req)
	}

	good := hs256(same)
	require.Equal(t, http.StatusOK, ask(good).status)
	require.Equal(t, http.StatusOK, ask("bearer "+strings.TrimPrefix(good, "Bearer ")).status, "the scheme's case does not matter")
	require.Equal(t, http.StatusOK, ask(hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-2 * time.Second).Unix() })).status, "clocks may differ a little")
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")

	for name, bad := range map[string][]string{
		"none":                   nil,
		"empty":                  {""},
		"no token":               {"Bearer"},
		"no scheme":              {strings.TrimPrefix(good, "Bearer ")},
		"another scheme":         {"Basic YTpi"},
		"two tokens":             {good, good},
		"garbage":                {"Bearer garbage"},
		"far too long":           {"Bearer " + strings.Repeat("a", 10_000)},
		"another secret":         {"Bearer " + sign(jwt.SigningMethodHS256, []byte("another secret of as many bytes as that"), claims(same))},
		"HS512":                  {"Bearer " + sign(jwt.SigningMethodHS512, []byte(testSecret), claims(same))},
		"alg none":               {"Bearer " + sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same))},
		"no signature":           {header + "." + payload + "."},
		"another payload":        {header + "." + strings.Replace(payload, "e", "f", 1) + "." + signature},
		"no expiry":              {hs256(func(c jwt.MapClaims) { delete(c, "exp") })},
		"expired":                {hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() })},
		"not yet valid":          {hs256(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })},
		"no subject":             {hs256(func(c jwt.MapClaims) { delete(c, "sub") })},
		"no tenant":              {hs256(func(c jwt.MapClaims) { delete(c, "tenant") })},
		"a tenant that is none":  {hs256(func(c jwt.MapClaims) { c["tenant"] = "a/b" })},
		"no role":                {hs256(func(c jwt.MapClaims) { delete(c, "role") })},
		"unknown role":           {hs256(func(c jwt.MapClaims) { c["role"] = "root" })},
		"a role of another type": {hs256(func(c jwt.MapClaims) { c["role"] = 1 })},
	} {
		got := ask(bad...)
		require.Equal(t, http.StatusUnauthorized, got.status, name)
		require.Equal(t, "unauthenticated", got.str("code"), name)
		challenge := got.header.Get("WWW-Authenticate")
		require.True(t, strings.HasPrefix(challenge, `Bearer realm="redrive"`), challenge)
		require.Equal(t, name == "expired", strings.Contains(challenge, "expired"), name)
		for _, value := range bad {
			if _, token, ok := strings.Cut(value, " "); ok {
				require.NotContains(t, got.text(), token)
				require.NotContains(t, w.logs.String(), token, "a token is in the log")
			}
		}
	}
}

// Who may do what, through every route; the state is compared after each refusal.
func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done, failed := w.closed("a"), w.closed("fail-a")
	for _, c := range []struct {
		method, path string
		body         any
		user, admin  int
		stranger     int
	}{
		{"GET", "/workflow-runs", nil, 200, 200, 200},
		{"GET", "/workflow-runs?tenant=acme", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done, nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done + "/files", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done + "/receipt", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + failed + "/retry-failed", nil, 403, 200, 403},
		{"POST", "/workflow-runs/" + failed + "/retry-failed", nil, 403, 0, 403},
		{"POST", "/workflow-runs/" + done + "/cancel", nil, 403, 409, 403},
		{"PATCH", "/workflow-runs/" + failed, map[string]any{"maxRetryCount": 5}, 403, 403, 403},
		{"POST", "/workflow-runs?tenant=acme", inline("nobody", "a"), 404, 404, 403},
		{"POST", "/workflow-runs?tenant=acme", "not even JSON", 400, 400, 403}, // a stranger's upload is not read
		{"GET", "/balance?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates/summarise?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates/summarise", nil, 200, 200, 404},
		{"POST", "/templates", "not even JSON", 403, 403, 403},
		{"PATCH", "/templates/summarise?tenant=acme", "not even JSON", 403, 403, 403},
		{"DELETE", "/templates/summarise?tenant=acme", nil, 403, 403, 403},
		{"POST", "/templates/summarise/publish?tenant=acme", nil, 403, 403, 403},
		{"GET", "/tenants", nil, 403, 403, 403},
		{"POST", "/tenants", "not even JSON", 403, 403, 403},
		{"GET", "/tenants/acme", nil, 200, 200, 403},
		{"GET", "/tenants/nobody", nil, 403, 403, 403},
		{"GET", "/tenants/acme/ledger", nil, 200, 200, 403},
		{"POST", "/tenants/acme/allowances", map[string]any{"period": "2026-11", "amount": 1}, 403, 403, 403},
		{"POST", "/tenants/acme/purchases", map[string]any{"amount": 1}, 403, 403, 403},
	} {
		for token, status := range map[string]int{w.user: c.user, w.admin: c.admin, w.stranger: c.stranger} {
			if status == 0 {
				continue // it succeeds, which other tests look at
			}
			before := w.state()
			got := w.write(c.method, token, c.path, c.body)
			require.Equal(t, status, got.status, "%s %s: %s", c.method, c.path, got.text())
			require.Equal(t, before, w.state())
			if token == w.stranger && status == http.StatusForbidden {
				require.Contains(t, []string{"wrong_tenant", "role_not_allowed"}, got.str("code"))
				require.NotContains(t, strings.ReplaceAll(got.text(), got.str("instance"), ""), "acme", c.path)
			}
		}
	}
}
