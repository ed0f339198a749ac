package main

import (
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/browser"
	"github.com/redrive/redrive/internal/testkit/idp"
)

// behindProxy is a server process behind a proxy, whose address is known before the server
// is, as a provider has to know it.
type behindProxy struct {
	*process
	idp    *idp.Provider
	public string
}

func startWithProvider(t *testing.T, change func(*idp.Provider), flags ...string) *behindProxy {
	t.Helper()
	var to atomic.Pointer[url.URL]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to.Load())
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	t.Cleanup(proxy.Close)
	provider := idp.Start(t, idp.EC(t, "first"))
	provider.Do(func(p *idp.Provider) {
		p.Back = proxy.URL + "/ui/sign-in/oidc/callback"
		p.Claims = map[string]any{
			"sub": "ann", "org": map[string]any{"id": "demo"}, "realm_access": map[string]any{"roles": []string{"offline_access", "redrive-admins"}},
		}
		if change != nil {
			change(p)
		}
	})
	p := start(t, append(flags, "--demo", "--oidc-issuer="+provider.URL, "--jwt-audience="+provider.Client,
		"--oidc-client-id="+provider.Client, "--oidc-client-secret="+provider.Secret, "--oidc-redirect-url="+provider.Back, "--oidc-name=Acme ID",
		"--jwt-tenant-claim=/org/id", "--jwt-role-claim=/realm_access/roles",
		"--jwt-roles=redrive-admins=customer_admin,redrive-users=customer_user,ops=bubble_admin")...)
	address, err := url.Parse(p.url)
	require.NoError(t, err)
	to.Store(address)
	return &behindProxy{p, provider, proxy.URL}
}

// A person signs in with the provider in a browser, lands where they wanted to go, and signs
// out here and there.
func TestSignInWithAProvider(t *testing.T) {
	t.Parallel()
	p := startWithProvider(t, func(p *idp.Provider) { p.Ask = true })
	b := browser.OpenTab(t, p.public, 1280, 860)
	b.Open("/ui/credits")
	b.Until(`document.querySelector("#provider")?.innerText === "Sign in with Acme ID"`)
	b.Click("#provider")
	b.Until(`document.title === "Provider"`)
	b.Click("#go")
	b.Until(`location.pathname === "/ui/credits" && document.querySelector(".figures")?.innerText.includes("150")`)
	b.Open("/ui/runs")
	b.Until(`document.body.innerText.includes("No runs yet")`)
	require.Empty(t, browser.Eval[[]string](b, `window.violations`))

	b.Click(".account summary")
	b.Click(`form[action="/ui/sign-out"] button`)
	b.Until(`document.body.innerText.includes("You are signed out here.")`)
	b.Open("/ui/credits")
	b.Until(`location.pathname === "/ui/sign-in"`)
	b.Open("/ui/sign-in?why=out")
	b.Click("#out-there")
	b.Until(`location.pathname === "/ui/sign-in" && location.search === ""`)
	require.Equal(t, 1, p.idp.SignOuts())

	// Refusals are pages in words.
	p.idp.Do(func(p *idp.Provider) { p.Refuse = "access_denied" })
	b.Click("#provider")
	b.Until(`document.title === "Provider"`)
	b.Click("#go")
	b.Until(`document.body.innerText.includes("You were not signed in")`)
	require.Zero(t, p.stop(t))
	for _, leaked := range []string{p.idp.Secret, "code=", "id_token", "eyJ"} {
		require.NotContains(t, p.log.String(), leaked)
	}
}

// visit is a browser without a window: it follows redirects and keeps cookies.
func (p *behindProxy) visit(t *testing.T, jar http.CookieJar, path string) (status int, text string, at *url.URL) {
	t.Helper()
	client := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	res, err := client.Get(p.public + path)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, string(body), res.Request.URL
}

func TestSignInWithAProviderFails(t *testing.T) {
	t.Parallel()
	p := startWithProvider(t, func(p *idp.Provider) { p.Claims = map[string]any{"sub": "ann"} })
	jar := func() http.CookieJar {
		j, err := cookiejar.New(nil)
		require.NoError(t, err)
		return j
	}
	for name, c := range map[string]struct {
		before func(*idp.Provider)
		path   string
		status int
		says   string
	}{
		"NoAccess":  {nil, "/ui/sign-in/oidc", http.StatusForbidden, "You have no access here yet"},
		"Failed":    {func(p *idp.Provider) { p.Change = func(c jwt.MapClaims) { c["nonce"] = "x" } }, "/ui/sign-in/oidc", http.StatusBadRequest, "The sign-in failed"},
		"NotBegun":  {nil, "/ui/sign-in/oidc/callback?code=x&state=y", http.StatusBadRequest, "no longer valid"},
		"NothingAt": {nil, "/ui/sign-in/oidc/callback", http.StatusBadRequest, "no longer valid"},
		"Script":    {nil, "/ui/sign-in/oidc/callback?state=y&error=%3Cscript%3Ealert(1)%3C/script%3E", http.StatusBadRequest, "no longer valid"},
		"ItSaysSo":  {func(p *idp.Provider) { p.Refuse = "temporarily_unavailable" }, "/ui/sign-in/oidc", http.StatusServiceUnavailable, "busy"},
	} {
		p.idp.Do(func(p *idp.Provider) {
			p.Change, p.Refuse = nil, ""
			if c.before != nil {
				c.before(p)
			}
		})
		status, text, _ := p.visit(t, jar(), c.path)
		require.Equal(t, c.status, status, "%s: %s", name, text)
		require.Contains(t, text, c.says, name)
		require.NotContains(t, text, "<script>alert", name)
	}

	p.idp.Do(func(p *idp.Provider) {
		p.Change, p.Refuse, p.Claims = nil, "", map[string]any{"sub": "ann", "org": map[string]any{"id": "demo"}, "realm_access": map[string]any{"roles": "redrive-users"}}
	})
	for _, next := range []string{"https://evil.example/ui/", "//evil.example", "/ui/../x"} {
		j := jar()
		status, text, at := p.visit(t, j, "/ui/sign-in/oidc?next="+url.QueryEscape(next))
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, `content="0;url=/ui/runs"`)
		status, again, _ := p.visit(t, j, at.RequestURI())
		require.Equal(t, http.StatusBadRequest, status, "the same address again")
		require.Contains(t, again, "no longer valid")
		status, text, _ = p.visit(t, j, "/ui/runs")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, "No runs yet", "who is signed in stays so")
	}

	// The demo is for this machine alone, and a proxy is not.
	_, text, _ := p.visit(t, jar(), "/ui/sign-in")
	require.NotContains(t, text, "/ui/sign-in/demo")
	res, err := http.PostForm(p.public+"/ui/sign-in/demo", url.Values{"user": {"admin"}})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	for host, want := range map[string]bool{"rebound.example": false, "127.0.0.1": true, "localhost:1": true, "[::1]:8080": true, "10.0.0.1": false} {
		req, err := http.NewRequest(http.MethodGet, p.url+"/ui/sign-in", nil)
		require.NoError(t, err)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, strings.Contains(string(text), "/ui/sign-in/demo"), host)
	}
	require.Zero(t, p.stop(t))
}

// The API takes the provider's tokens, also when the provider came up later than the server.
func TestTokensOfAProvider(t *testing.T) {
	t.Parallel()
	key := idp.Ed(t, "later")
	p := startWithProvider(t, func(p *idp.Provider) { p.Claims = nil }, "--jwt-secrets=")
	p.idp.Down(true)
	claims := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{
			"iss": p.idp.URL, "aud": []string{"account", p.idp.Client}, "sub": "ann", "org": map[string]any{"id": "demo"},
			"realm_access": map[string]any{"roles": []string{"redrive-admins"}}, "exp": time.Now().Add(time.Hour).Unix(),
		}
		maps.Copy(c, change)
		return c
	}
	status, answer := p.callWith(t, idp.Sign(t, key, claims(nil)), http.MethodGet, "/balance", "")
	require.Equal(t, http.StatusServiceUnavailable, status, "%v", answer)
	status, _ = p.call(t, core.Actor{Subject: "x", Tenant: "demo", Role: core.RoleCustomerUser}, http.MethodGet, "/balance", "")
	require.Equal(t, http.StatusUnauthorized, status, "our own tokens have the claims at the same place as the provider's")
	p.idp.Down(false)
	p.idp.Add(key, false)
	require.Eventually(t, func() bool {
		status, _ := p.callWith(t, idp.Sign(t, key, claims(nil)), http.MethodGet, "/balance", "")
		return status == http.StatusOK
	}, 30*time.Second, 100*time.Millisecond)
	for name, token := range map[string]string{
		"AnotherAudience": idp.Sign(t, key, claims(jwt.MapClaims{"aud": "account"})),
		"AnotherIssuer":   idp.Sign(t, key, claims(jwt.MapClaims{"iss": "https://evil.example"})),
		"NoRole":          idp.Sign(t, key, claims(jwt.MapClaims{"realm_access": nil})),
		"AnotherKey":      idp.Sign(t, idp.Ed(t, "later"), claims(nil)),
	} {
		status, _ := p.callWith(t, token, http.MethodGet, "/balance", "")
		require.Equal(t, http.StatusUnauthorized, status, name)
	}
	require.Zero(t, p.stop(t))
}
