package webui_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var tokenShown = regexp.MustCompile(`rdk_[A-Za-z0-9._-]{1,64}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`)

// In the browser: a key is made, shown once, copied, used, and revoked.
func TestKeysInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	b.signIn("admin")
	b.Click(`.nav a[href="/ui/keys"]`)
	b.Until(`document.body.innerText.includes("No API keys yet")`)
	require.True(t, eval[bool](b, `document.querySelector("#f-name").value = "nightly <import>", true`))
	b.Click(`form[action="/ui/keys"] button`)
	b.Until(`document.querySelector("#key-token") && document.readyState === "complete"`)
	token := eval[string](b, `document.querySelector("#key-token").value`)
	require.Regexp(t, tokenShown, token)
	actor, err := w.svc.AuthenticateAPIKey(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, core.RoleCustomerUser, actor.Role)
	b.accessible("a new key", looks[0])
	// The page may use no clipboard here, which is not the page's to decide.
	require.True(t, eval[bool](b, `navigator.clipboard.writeText = async (text) => { window.copied = text }, true`))
	b.Click("[data-copy]")
	b.Until(`document.querySelector("#key-token-said").textContent === "Copied."`)
	require.Equal(t, token, eval[string](b, `window.copied`))

	b.Open("/ui/keys")
	b.Until(`document.querySelector("#keys")`)
	require.NotContains(t, eval[string](b, `document.documentElement.outerHTML`), token[len(token)-38:], "it is shown once")
	require.Contains(t, b.Text("#keys"), "nightly <import>")
	b.fitsPhone("keys")
	b.Click("#keys details.confirm summary")
	b.Click("#keys details.confirm .danger")
	b.Until(`document.body.innerText.includes("The key is revoked; every server refuses it.")`)
	require.Contains(t, b.Text("#keys"), "Revoked")
	_, err = w.svc.AuthenticateAPIKey(t.Context(), token)
	require.Error(t, err)
	require.Empty(t, eval[[]string](b, `window.violations`))
}

func TestKeysPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.signedIn(ann)
	form := func(change map[string]string) url.Values {
		f := url.Values{"name": {"import"}, "role": {"customer_admin"}, "days": {"0"}}
		for name, value := range change {
			f.Set(name, value)
		}
		return f
	}
	p := v.post("/ui/keys", form(nil))
	require.Equal(t, http.StatusCreated, p.status)
	token := tokenShown.FindString(p.text)
	actor, err := w.svc.AuthenticateAPIKey(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, core.RoleCustomerAdmin, actor.Role)
	require.Equal(t, "no-store", p.header.Get("Cache-Control"))
	require.NotContains(t, v.get("/ui/keys").text, token)
	require.NotContains(t, w.logs.String(), token[len(token)-38:])

	for name, change := range map[string]map[string]string{"no name": {"name": " "}, "a long name": {"name": strings.Repeat("x", 101)}} {
		p := v.post("/ui/keys", form(change))
		require.Equal(t, http.StatusUnprocessableEntity, p.status, name)
		require.Contains(t, p.text, "1 to 100 characters are needed.", name)
		require.Empty(t, tokenShown.FindString(p.text), name)
	}
	require.NotContains(t, v.get("/ui/keys").text, "bubble_admin", "it is not offered")
	require.Equal(t, http.StatusForbidden, v.post("/ui/keys", form(map[string]string{"role": "bubble_admin"})).status)
	require.Contains(t, v.get("/ui/keys").text, "Active")

	// Others neither see nor revoke them.
	keys, err := w.svc.APIKeys(t.Context(), core.System, acme)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	revoke := "/ui/keys/" + string(keys[0].ID) + "/revoke"
	for _, other := range []core.Actor{ulf, sam} {
		o := w.signedIn(other)
		require.Equal(t, http.StatusForbidden, o.get("/ui/keys?tenant=acme").status)
		require.Equal(t, http.StatusForbidden, o.post("/ui/keys?tenant=acme", form(nil)).status)
		require.Equal(t, http.StatusForbidden, o.post(revoke+"?tenant=acme", nil).status)
	}
	require.NotContains(t, w.signedIn(ulf).get("/ui/runs").text, "/ui/keys")
	require.Equal(t, http.StatusNotFound, w.signedIn(sam).post(revoke, nil).status)
	_, err = w.svc.AuthenticateAPIKey(t.Context(), token)
	require.NoError(t, err)

	operator := w.signedIn(pat)
	p = operator.post("/ui/keys?tenant=acme", form(map[string]string{"name": "ops", "role": "bubble_admin", "days": "30"}))
	require.Equal(t, http.StatusCreated, p.status)
	require.Contains(t, v.get("/ui/keys").text, "ops")
	require.Equal(t, http.StatusForbidden, v.post("/ui/keys/"+idOf(t, w, "ops")+"/revoke", nil).status)
	p = operator.post("/ui/keys/"+idOf(t, w, "ops")+"/revoke?tenant=acme", nil)
	require.Contains(t, p.path, "notice=key_revoked")

	for i := len(keys); i < core.MaxAPIKeys; i++ {
		_, _, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: acme, Name: fmt.Sprint(i), Role: core.RoleCustomerUser})
		require.NoError(t, err)
	}
	p = v.post("/ui/keys", form(map[string]string{"name": "one <more>"}))
	require.Equal(t, http.StatusUnprocessableEntity, p.status)
	require.Contains(t, p.text, "as many API keys as it may")
	require.Contains(t, p.text, html.EscapeString("one <more>"), "what was typed stays")
}

// idOf gives the ID of acme's key of this name.
func idOf(t *testing.T, w *world, name string) string {
	t.Helper()
	keys, err := w.svc.APIKeys(t.Context(), core.System, acme)
	require.NoError(t, err)
	for _, k := range keys {
		if k.Name == name {
			return string(k.ID)
		}
	}
	require.Fail(t, "no such key")
	return ""
}
