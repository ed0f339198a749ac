package webui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("LeadsThereAndBack", func(t *testing.T) {
		v := w.visitor()
		p := v.get("/ui/credits?after=0")
		require.Equal(t, "/ui/sign-in?next=%2Fui%2Fcredits%3Fafter%3D0", p.path)
		p = v.post("/ui/sign-in", url.Values{"token": {"Bearer " + w.token(ann)}, "next": {"/ui/credits?after=0"}})
		require.Equal(t, "/ui/credits?after=0", p.path)
		require.Contains(t, p.text, "Monthly allowance left")
	})
	t.Run("RootLeadsToThePage", func(t *testing.T) {
		require.Equal(t, "/ui/runs", w.signedIn(ann).get("/").path)
	})
	t.Run("CookieIsGuarded", func(t *testing.T) {
		v := w.visitor()
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := v.post("/ui/sign-in", url.Values{"token": {w.token(ann)}})
		cookie := p.header.Get("Set-Cookie")
		for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="} {
			require.Contains(t, cookie, part)
		}
		req, err := http.NewRequest(http.MethodPost, w.server.URL+"/ui/sign-in/demo?", nil)
		require.NoError(t, err)
		req.Header.Set("X-Forwarded-Proto", "https")
		req.URL.RawQuery = ""
		req.Body = http.NoBody
		require.Empty(t, v.do(req).header.Get("Set-Cookie"), "no user was named")
	})
	t.Run("SecureBehindAProxy", func(t *testing.T) {
		v := w.visitor()
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		req, err := http.NewRequest(http.MethodPost, w.server.URL+"/ui/sign-in", nil)
		require.NoError(t, err)
		req.Header.Set("X-Forwarded-Proto", "https")
		req.PostForm = nil
		req.URL.RawQuery = url.Values{"token": {w.token(ann)}}.Encode()
		require.Empty(t, v.do(req).header.Get("Set-Cookie"), "a token in an address would stand in logs")
	})
	t.Run("WrongTokens", func(t *testing.T) {
		for _, token := range []string{"", "nonsense", w.token(ann) + "x", "Bearer "} {
			p := w.visitor().post("/ui/sign-in", url.Values{"token": {token}})
			require.Equal(t, http.StatusUnprocessableEntity, p.status)
			require.Contains(t, p.text, `aria-invalid="true"`)
			require.NotContains(t, p.text, "nonsense")
		}
	})
	t.Run("NextIsOfThisPageAlone", func(t *testing.T) {
		for _, next := range []string{
			"https://evil.example/ui/", "//evil.example/ui/", "/\\evil.example", "javascript:alert(1)", "/ui/../evil", "/workflow-runs",
			"/ui//evil.example", "/ui/\\evil", "%2F%2Fevil.example", "/ui/sign-in?next=/ui/sign-in",
		} {
			p := w.visitor().post("/ui/sign-in", url.Values{"token": {w.token(ann)}, "next": {next}})
			require.Equal(t, "/ui/runs", p.path, next)
		}
	})
	t.Run("DemoIsOneClick", func(t *testing.T) {
		p := w.visitor().post("/ui/sign-in/demo", url.Values{"user": {"operator"}})
		require.Equal(t, "/ui/tenants", p.path)
		require.Equal(t, http.StatusNotFound, w.visitor().post("/ui/sign-in/demo", url.Values{"user": {"none"}}).status)
	})
	t.Run("DemoIsForThisMachine", func(t *testing.T) {
		v := w.visitor()
		v.post("/ui/sign-in/demo", url.Values{"user": {"operator"}})
		for name, change := range map[string]func(*http.Request){
			"AnotherName": func(r *http.Request) { r.Host = "rebound.example" },
			"AProxy":      func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") },
		} {
			req, err := http.NewRequest(http.MethodGet, w.server.URL+"/ui/tenants", nil)
			require.NoError(t, err)
			change(req)
			p := v.do(req)
			require.True(t, strings.HasPrefix(p.path, "/ui/sign-in"), "%s: %s", name, p.path)
		}
	})
	t.Run("SignOut", func(t *testing.T) {
		v := w.signedIn(ann)
		require.Equal(t, "/ui/sign-in", v.post("/ui/sign-out", nil).path)
		require.Contains(t, v.get("/ui/runs").path, "/ui/sign-in")
	})
	t.Run("LogsHaveNoSecrets", func(t *testing.T) {
		require.NotContains(t, w.logs.String(), w.token(ann)[:40])
	})
}

func TestSessionEnds(t *testing.T) { onEachStore(t, sessionEnds) }

func sessionEnds(t *testing.T, on store) {
	w := newWorld(t, on)
	ended := func(v *visitor, why string) {
		p := v.get("/ui/credits")
		require.Equal(t, "/ui/sign-in?next=%2Fui%2Fcredits&why=ended", p.path, why)
		require.Contains(t, p.text, "Your session has ended")
	}
	v := w.signedIn(ann)
	w.revokeAll()
	ended(v, "revoked")

	v = w.signedIn(ann)
	w.clock.advance(59 * time.Minute)
	require.Equal(t, "/ui/credits", v.get("/ui/credits").path)
	w.clock.advance(2 * time.Minute)
	ended(v, "a session never outlives its token")

	token, err := w.auth.Token(ann, 100*time.Hour)
	require.NoError(t, err)
	v = w.visitor()
	v.post("/ui/sign-in", url.Values{"token": {token}})
	w.clock.advance(119 * time.Minute)
	require.Equal(t, "/ui/credits", v.get("/ui/credits").path)
	w.clock.advance(121 * time.Minute)
	ended(v, "idle")
}

func TestForeignSites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.signedIn(ann)
	id := w.closed("rate-limit.txt")
	for name, header := range map[string][2]string{
		"Origin": {"Origin", "https://evil.example"}, "CrossSite": {"Sec-Fetch-Site", "cross-site"}, "SameSite": {"Sec-Fetch-Site", "same-site"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, w.server.URL+"/ui/runs/"+string(id)+"/continue", nil)
			require.NoError(t, err)
			req.Header.Set(header[0], header[1])
			p := v.do(req)
			require.Equal(t, http.StatusForbidden, p.status)
			require.Contains(t, p.text, "This came from another site")
		})
	}
	t.Run("LinkFromElsewhere", func(t *testing.T) {
		// The browser leaves out a Strict cookie, and sends it after the reload from this page.
		req, err := http.NewRequest(http.MethodGet, w.server.URL+"/ui/runs", nil)
		require.NoError(t, err)
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		p := w.visitor().do(req)
		require.Equal(t, http.StatusOK, p.status)
		require.Contains(t, p.text, `content="0;url=/ui/runs"`)
	})
	t.Run("Headers", func(t *testing.T) {
		h := v.get("/ui/runs").header
		require.Contains(t, h.Get("Content-Security-Policy"), "script-src 'self'; style-src 'self'")
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe")
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"))
		require.Equal(t, "no-store", h.Get("Cache-Control"))
	})
}

func TestOthersSeeNothing(t *testing.T) { onEachStore(t, othersSeeNothing) }

func othersSeeNothing(t *testing.T, on store) {
	w := newWorld(t, on)
	id := string(w.closed("a-secret-name.txt", "rate-limit.txt"))
	sam := w.signedIn(sam)
	for _, path := range []string{"", "/receipt", "/files.csv", "/outputs.zip", "/files/0", "/files/0/output"} {
		p := sam.get("/ui/runs/" + id + path)
		require.Equal(t, http.StatusForbidden, p.status, path)
		require.Contains(t, p.text, "This belongs to another tenant")
		require.NotContains(t, p.text, "a-secret-name")
	}
	before := w.balance(acme)
	for _, path := range []string{"/continue", "/cancel", "/retries"} {
		p := sam.post("/ui/runs/"+id+path, url.Values{"price": {"100"}, "attempt": {"0"}, "key": {"k"}, "to": {"9"}})
		require.Equal(t, http.StatusForbidden, p.status, path)
	}
	for _, path := range []string{"/ui/runs", "/ui/credits", "/ui/templates", "/ui/templates/summarise", "/ui/runs/new", "/ui/credits/ledger.csv"} {
		require.Equal(t, http.StatusForbidden, sam.get(path+"?tenant=acme").status, path)
	}
	require.Equal(t, http.StatusForbidden, sam.get("/ui/tenants").status)
	require.Equal(t, http.StatusForbidden, sam.get("/ui/tenants/acme").status)
	require.Equal(t, http.StatusForbidden, sam.post("/ui/tenants/globex/purchases", url.Values{"purchase": {"100"}, "key": {"k"}}).status)
	require.Equal(t, before, w.balance(acme))
	require.Equal(t, core.Credits(7), w.balance(globex))
	require.Equal(t, http.StatusNotFound, sam.get("/ui/runs/none").status)
	require.Equal(t, http.StatusNotFound, sam.get("/ui/runs/%00").status)
}
