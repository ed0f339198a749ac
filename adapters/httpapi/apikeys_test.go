package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// makeKey makes an API key of acme's.
func (w *world) makeKey(token string, body map[string]any) answer {
	w.t.Helper()
	got := w.post(token, "/api-keys?tenant=acme", body)
	require.Equal(w.t, http.StatusCreated, got.status, got.text())
	return got
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.makeKey(w.admin, map[string]any{"name": "nightly <import>", "role": "customer_admin", "expiresAt": "2026-11-16T12:00:00+02:00"})
	token, id := made.str("token"), made.str("id")
	require.True(t, strings.HasPrefix(token, made.str("prefix")+"_"))
	require.Equal(t, "rdk_acme_"+id, made.str("prefix"))
	require.Equal(t, "2026-11-16T10:00:00Z", made.str("expiresAt"))
	require.Equal(t, "ann", made.str("createdBy", "subject"))
	require.NotContains(t, made.json(), "lastUsedAt")

	// It does what its role may, and is recorded as itself.
	started := w.post(token, "/workflow-runs", inline("summarise", "a"))
	require.Equal(t, http.StatusCreated, started.status, started.text())
	require.Equal(t, "key:"+id, started.str("createdBy", "subject"))
	require.Equal(t, http.StatusForbidden, w.get(token, "/balance?tenant=globex").status)
	require.Equal(t, http.StatusForbidden, w.post(token, "/tenants/acme/purchases", map[string]any{"amount": 1}, key("k")).status)

	// It is listed without its token, with its use.
	list := w.get(w.admin, "/api-keys")
	require.Equal(t, id, list.str("apiKeys", 0, "id"))
	require.Equal(t, "active", list.str("apiKeys", 0, "status"))
	require.Equal(t, "2026-11-15T12:00:00Z", list.str("apiKeys", 0, "lastUsedAt"))
	require.NotContains(t, list.text(), token[len(made.str("prefix")):])
	used := func() string { return w.get(w.admin, "/api-keys").str("apiKeys", 0, "lastUsedAt") }
	w.clock.Advance(59 * time.Second)
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status)
	require.Equal(t, "2026-11-15T12:00:00Z", used(), "it is noted once a minute")
	w.clock.Advance(time.Second)
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status)
	require.Equal(t, "2026-11-15T12:01:00Z", used())

	renamed := w.write(http.MethodPatch, w.admin, "/api-keys/"+id, map[string]any{"name": "hourly"})
	require.Equal(t, http.StatusOK, renamed.status, renamed.text())
	require.Equal(t, "hourly", renamed.str("name"))
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status)

	// Revoked, it is refused at once, in words, and stays so.
	revoked := w.write(http.MethodDelete, w.admin, "/api-keys/"+id, nil)
	require.Equal(t, http.StatusOK, revoked.status, revoked.text())
	require.Equal(t, "revoked", revoked.str("status"))
	got := w.get(token, "/balance")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.str("detail"), "revoked")
	require.Contains(t, got.header.Get("WWW-Authenticate"), `error="invalid_token"`)
	w.clock.Advance(time.Minute)
	again := w.write(http.MethodDelete, w.admin, "/api-keys/"+id, nil)
	require.Equal(t, revoked.str("revokedAt"), again.str("revokedAt"))

	expiring := w.makeKey(w.admin, map[string]any{"name": "short", "role": "customer_user", "expiresAt": "2026-11-15T13:00:00Z"})
	w.clock.Advance(time.Hour)
	got = w.get(expiring.str("token"), "/balance")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.str("detail"), "expired")
	require.Equal(t, "expired", w.get(w.admin, "/api-keys").str("apiKeys", 0, "status"))

	// A platform admin's key acts for every tenant.
	operator := w.makeKey(w.platform, map[string]any{"name": "ops", "role": "bubble_admin"})
	require.Equal(t, http.StatusOK, w.get(operator.str("token"), "/balance?tenant=globex").status)
	require.Equal(t, http.StatusOK, w.get(operator.str("token"), "/tenants").status)
	require.NotContains(t, w.logs.String(), token[len(made.str("prefix")):], "a key is in the log")
}

func TestAPIKeysRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := map[string]any{"name": "k", "role": "customer_user"}
	admins := w.makeKey(w.admin, map[string]any{"name": "admin's", "role": "customer_admin"})
	operators := w.makeKey(w.platform, map[string]any{"name": "operator's", "role": "bubble_admin"})

	for name, c := range map[string]struct {
		code  core.Code
		field string
		body  any
	}{
		"no name":            {core.CodeInvalidRequest, "name", map[string]any{"role": "customer_user"}},
		"an empty name":      {core.CodeInvalidRequest, "name", map[string]any{"name": "", "role": "customer_user"}},
		"no role":            {core.CodeInvalidRequest, "role", map[string]any{"name": "k"}},
		"another role":       {core.CodeInvalidRequest, "role", map[string]any{"name": "k", "role": "root"}},
		"an expiry gone by":  {core.CodeInvalidRequest, "expiresAt", map[string]any{"name": "k", "role": "customer_user", "expiresAt": "2026-11-15T12:00:00Z"}},
		"no time":            {core.CodeInvalidRequest, "expiresAt", map[string]any{"name": "k", "role": "customer_user", "expiresAt": "tomorrow"}},
		"the year 1":         {core.CodeInvalidRequest, "expiresAt", map[string]any{"name": "k", "role": "customer_user", "expiresAt": "0001-01-01T00:00:00Z"}},
		"more than is known": {core.CodeInvalidRequest, "tenant", map[string]any{"name": "k", "role": "customer_user", "tenant": "globex"}},
		"more than the role": {core.CodeRoleNotAllowed, "", map[string]any{"name": "k", "role": "bubble_admin"}},
	} {
		got := w.post(w.admin, "/api-keys", c.body)
		require.Equal(t, string(c.code), got.str("code"), "%s: %s", name, got.text())
		if c.field != "" {
			require.Equal(t, []string{c.field}, got.fields(), name)
		}
	}
	for _, k := range []answer{admins, operators} {
		for _, got := range []answer{
			w.post(k.str("token"), "/api-keys?tenant=acme", good),
			w.write(http.MethodDelete, k.str("token"), "/api-keys/"+k.str("id")+"?tenant=acme", nil),
			w.write(http.MethodPatch, k.str("token"), "/api-keys/"+k.str("id")+"?tenant=acme", map[string]any{"name": "x"}),
		} {
			require.Equal(t, "role_not_allowed", got.str("code"), "a key manages no keys: %s", got.text())
		}
		require.Equal(t, http.StatusOK, w.get(k.str("token"), "/api-keys?tenant=acme").status, "it sees them")
	}
	for _, got := range []answer{
		w.write(http.MethodDelete, w.admin, "/api-keys/"+operators.str("id"), nil),
		w.write(http.MethodPatch, w.admin, "/api-keys/"+operators.str("id"), map[string]any{"name": "x"}),
	} {
		require.Equal(t, "role_not_allowed", got.str("code"), "a platform admin's key is not a tenant's to revoke: %s", got.text())
	}
	for _, id := range []string{"unknown", "a%20b"} {
		require.Equal(t, "api_key_not_found", w.write(http.MethodDelete, w.admin, "/api-keys/"+id, nil).str("code"))
		require.Equal(t, "api_key_not_found", w.write(http.MethodPatch, w.admin, "/api-keys/"+id, map[string]any{"name": "x"}).str("code"))
	}
	require.Equal(t, "tenant_not_found", w.post(w.platform, "/api-keys?tenant=nobody", good).str("code"))
	require.Len(t, w.get(w.admin, "/api-keys").at("apiKeys"), 2, "nothing of this had an effect")
}

// What is not a key costs the store nothing, and an invented one a single look-up.
func TestAPIKeysThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.makeKey(w.admin, map[string]any{"name": "k", "role": "customer_admin"})
	token := made.str("token")
	id := core.APIKeyID(made.str("id"))
	const secret = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	for name, c := range map[string]struct {
		token   string
		lookups int
	}{
		"the prefix":          {"rdk_", 0},
		"garbage":             {"rdk_acme_" + strings.Repeat("x", 51), 0},
		"one letter less":     {token[:len(token)-1], 0},
		"far too long":        {"rdk_" + strings.Repeat("x", 10_000), 0},
		"in capitals":         {"RDK" + token[3:], 0},
		"an invented secret":  {core.APIKeyToken(acme, id, secret), 1},
		"an invented key":     {core.APIKeyToken(acme, "000000000000", secret), 1},
		"an invented tenant":  {core.APIKeyToken("nobody", id, secret), 1},
		"of another tenant's": {strings.Replace(token, "acme", "globex", 1), 0},
	} {
		before := w.store.looked()
		got := w.get(c.token, "/balance")
		require.Equal(t, http.StatusUnauthorized, got.status, name)
		require.Equal(t, c.lookups, w.store.looked()-before, name)
		require.NotContains(t, got.text(), c.token, name)
		require.NotContains(t, got.text(), "revoked", name)
	}
	before := w.store.looked()
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status)
	require.Equal(t, 1, w.store.looked()-before)

	// Two credentials in one request are none.
	req := w.request(call{method: http.MethodGet, path: "/balance"})
	req.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + w.admin}
	require.Equal(t, http.StatusUnauthorized, w.exchange(req).status)
	// A token whose subject is that of a key.
	forged := w.token(core.Actor{Subject: "key:" + string(id), Tenant: acme, Role: core.RoleCustomerAdmin})
	require.Equal(t, http.StatusUnauthorized, w.get(forged, "/balance").status)

	// Likewise one whose subject is that of the system, which is a platform admin.
	require.Equal(t, http.StatusUnauthorized, w.get(w.token(core.System), "/balance?tenant=acme").status)
	require.Equal(t, http.StatusOK, w.get(w.token(core.Actor{Subject: "system", Tenant: acme, Role: core.RoleCustomerUser}), "/balance").status)

	// A fault of the store is none of the key.
	w.store.fail(ports.ErrUnavailable)
	require.Equal(t, http.StatusServiceUnavailable, w.get(token, "/balance").status)
	w.store.fail(nil)
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status)
}

// Of admins who make the last key at the same moment one succeeds.
func TestNumberOfAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range core.MaxAPIKeys - 1 {
		w.makeKey(w.admin, map[string]any{"name": "k", "role": "customer_user"})
	}
	var all sync.WaitGroup
	codes := make([]string, 5)
	for i := range codes {
		all.Go(func() {
			_, _, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: acme, Name: fmt.Sprint(i), Role: core.RoleCustomerUser})
			if err != nil {
				codes[i] = err.Error()
			}
		})
	}
	all.Wait()
	made := 0
	for _, code := range codes {
		if code == "" {
			made++
			continue
		}
		require.True(t, strings.HasPrefix(code, "too_many_api_keys"), code)
	}
	require.Equal(t, 1, made)
	got := w.post(w.admin, "/api-keys", map[string]any{"name": "k", "role": "customer_user"})
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "too_many_api_keys", got.str("code"))
	// Old ones make room: they are removed when another is made.
	first := w.get(w.admin, "/api-keys").str("apiKeys", 0, "id")
	require.Equal(t, http.StatusOK, w.write(http.MethodDelete, w.admin, "/api-keys/"+first, nil).status)
	w.clock.Advance(core.KeepAPIKeys)
	require.Len(t, w.get(w.platform, "/api-keys?tenant=acme").at("apiKeys"), core.MaxAPIKeys)
	w.clock.Advance(time.Second)
	made1 := w.post(w.platform, "/api-keys?tenant=acme", map[string]any{"name": "k", "role": "customer_user"})
	require.Equal(t, http.StatusCreated, made1.status, made1.text())
	require.Len(t, w.get(w.platform, "/api-keys?tenant=acme").at("apiKeys"), core.MaxAPIKeys)
}
