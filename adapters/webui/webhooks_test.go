package webui_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var secretShown = regexp.MustCompile(`whsec_[A-Za-z0-9+/]{43}=`)

// In the browser: an endpoint is made, its secret is shown once, it is tried, what was sent
// is looked at and sent again, the secret is rotated, and the endpoint removed.
func TestWebhooksInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var came atomic.Int64
	theirs := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		came.Add(1)
		rw.WriteHeader(http.StatusAccepted)
		_, _ = rw.Write([]byte("thank <you>"))
	}))
	t.Cleanup(func() { stopServer(theirs) })
	b := w.browser(t)
	b.signIn("admin")
	b.Click(`.nav a[href="/ui/webhooks"]`)
	b.Until(`document.body.innerText.includes("No webhooks yet")`)
	require.True(t, eval[bool](b, `document.querySelector("#f-url").value = "`+theirs.URL+`/redrive", true`))
	b.Click(`form[action="/ui/webhooks"] button`)
	b.Until(`document.querySelector("#secret") && document.readyState === "complete"`)
	secret := eval[string](b, `document.querySelector("#secret").value`)
	require.Regexp(t, secretShown, secret)
	b.accessible("a new endpoint", looks[0])

	list, err := w.svc.WebhookEndpoints(t.Context(), core.System, acme)
	require.NoError(t, err)
	path := "/ui/webhooks/" + string(list[0].ID)
	b.Click("#ping")
	b.Until(`document.body.innerText.includes("It is being sent.")`)
	require.NotContains(t, eval[string](b, `document.documentElement.outerHTML`), secret, "it is shown once")
	require.Eventually(t, func() bool {
		b.Open(path)
		return strings.Contains(b.Text("#deliveries"), "Delivered")
	}, 30*time.Second, 200*time.Millisecond)
	b.Click("#deliveries summary")
	require.Contains(t, b.Text("#deliveries"), "Status 202")
	require.Contains(t, b.Text("#deliveries"), "thank <you>")
	b.accessible("an endpoint with deliveries", looks[0])
	b.fitsPhone("an endpoint with deliveries")
	require.EqualValues(t, 1, came.Load())
	b.Click(`#deliveries form button`)
	b.Until(`document.body.innerText.includes("It is being sent.")`)
	require.Eventually(t, func() bool { return came.Load() == 2 }, 30*time.Second, 20*time.Millisecond)

	b.Click(`details.confirm:has(form[action$="/rotate"]) summary`)
	b.Click(`form[action$="/rotate"] button`)
	b.Until(`document.querySelector("#secret") && document.readyState === "complete"`)
	require.NotEqual(t, secret, eval[string](b, `document.querySelector("#secret").value`))
	require.Contains(t, eval[string](b, `document.body.innerText`), "The previous secret is good until")
	b.Click("#pause")
	b.Until(`document.body.innerText.includes("What happens meanwhile is kept for it.")`)
	require.True(t, eval[bool](b, `document.querySelector("#ping") === null`))
	b.Click(`details.confirm:has(form[action$="/remove"]) summary`)
	b.Click(`form[action$="/remove"] button`)
	b.Until(`document.body.innerText.includes("The endpoint is removed.")`)
	require.Empty(t, eval[[]string](b, `window.violations`))
}

func TestWebhooksPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.workers = -1 })
	v := w.signedIn(ann)
	form := func(change map[string][]string) url.Values {
		f := url.Values{"url": {"https://example.com/hooks"}, "description": {"for <us>"}, "events": {"run.closed", "credits.low"}}
		for name, values := range change {
			f[name] = values
		}
		return f
	}
	p := v.post("/ui/webhooks", form(nil))
	require.Equal(t, http.StatusCreated, p.status)
	secret := secretShown.FindString(html.UnescapeString(p.text))
	require.NotEmpty(t, secret)
	require.Equal(t, "no-store", p.header.Get("Cache-Control"))
	list, err := w.svc.WebhookEndpoints(t.Context(), core.System, acme)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, secret, list[0].Secret)
	path := "/ui/webhooks/" + string(list[0].ID)
	for _, shown := range []string{v.get("/ui/webhooks").text, v.get(path).text, w.logs.String()} {
		require.NotContains(t, html.UnescapeString(shown), secret)
	}
	require.Contains(t, v.get("/ui/webhooks").text, "for &lt;us&gt;")

	for name, change := range map[string]map[string][]string{
		"begins with https://": {"url": {"ftp://example.com"}}, "Choose at least one.": {"events": nil}, "At most 500": {"description": {strings.Repeat("x", 501)}},
	} {
		p := v.post("/ui/webhooks", form(change))
		require.Equal(t, http.StatusUnprocessableEntity, p.status, name)
		require.Contains(t, p.text, name)
		require.Empty(t, secretShown.FindString(html.UnescapeString(p.text)))
		p = v.post(path, form(change))
		require.Equal(t, http.StatusUnprocessableEntity, p.status, name)
		require.Contains(t, p.text, name)
	}
	require.Contains(t, v.post(path, form(map[string][]string{"url": {"https://example.com/other"}})).path, "notice=saved")
	require.Contains(t, v.get("/ui/webhooks").text, "https://example.com/other")
	require.Contains(t, v.post("/ui/low-credits", url.Values{"threshold": {"42"}}).path, "notice=low")
	require.Contains(t, v.get("/ui/webhooks").text, `value="42"`)
	for _, wrong := range []string{"", "-1", "x"} {
		require.Equal(t, http.StatusBadRequest, v.post("/ui/low-credits", url.Values{"threshold": {wrong}}).status)
	}

	// What became of events, by pages, and why an endpoint is paused.
	require.NoError(t, w.store.InTx(t.Context(), acme, func(tx ports.Tx) error {
		for i := range deliveriesOnAPage + 1 {
			ping := core.PingEvent(core.WebhookEventID("ping_"+strconv.Itoa(i)), list[0], list[0].CreatedAt)
			if err := tx.WebhookDeliveries().Insert(t.Context(), core.NewDelivery(acme, list[0].ID, ping)); err != nil {
				return err
			}
		}
		return nil
	}))
	tooMany := v.post(path+"/ping", nil)
	require.Equal(t, http.StatusConflict, tooMany.status)
	require.Contains(t, tooMany.text, "Too many pings are under way")
	first := v.get(path)
	require.Equal(t, deliveriesOnAPage, strings.Count(first.text, "Waiting"))
	next := regexp.MustCompile(`href="([^"]+before=[^"]+)"`).FindStringSubmatch(first.text)
	require.NotNil(t, next)
	require.Equal(t, 1, strings.Count(v.get(html.UnescapeString(next[1])).text, "Waiting"))
	for why, says := range map[core.EndpointPause]string{
		core.PausedFails: "The endpoint failed for three days", core.PausedGone: "gone for good", core.PausedByHand: "What happens meanwhile is kept",
	} {
		require.NoError(t, w.store.InTx(t.Context(), acme, func(tx ports.Tx) error {
			e, err := tx.WebhookEndpoints().Lock(t.Context(), ports.WaitForLock, list[0].ID)
			require.NoError(t, err)
			e.Pause, e.PausedAt = why, e.CreatedAt
			return tx.WebhookEndpoints().Save(t.Context(), e)
		}))
		require.Contains(t, v.get(path).text, says)
	}
	require.Equal(t, http.StatusConflict, v.post(path+"/ping", nil).status)
	require.Contains(t, v.post(path+"/pause", url.Values{"paused": {"false"}}).path, "notice=saved")

	// Others neither see nor change them.
	for _, other := range []core.Actor{ulf, sam} {
		o := w.signedIn(other)
		for _, p := range []string{"/ui/webhooks?tenant=acme", path + "?tenant=acme"} {
			require.Equal(t, http.StatusForbidden, o.get(p).status)
			require.Equal(t, http.StatusForbidden, o.post(p, form(nil)).status)
		}
		for _, deed := range []string{"/ping", "/pause", "/rotate", "/remove", "/deliveries/x"} {
			require.Equal(t, http.StatusForbidden, o.post(path+deed+"?tenant=acme", nil).status, deed)
		}
		require.Equal(t, http.StatusForbidden, o.post("/ui/low-credits?tenant=acme", url.Values{"threshold": {"1"}}).status)
	}
	require.NotContains(t, w.signedIn(ulf).get("/ui/runs").text, "/ui/webhooks")
	require.Equal(t, http.StatusNotFound, w.signedIn(sam).get(path).status)
	require.Equal(t, http.StatusOK, w.signedIn(pat).get(path+"?tenant=acme").status)
	require.Equal(t, http.StatusNotFound, v.get("/ui/webhooks/none").status)
	require.Equal(t, http.StatusNotFound, v.post(path+"/deliveries/none", nil).status)
}

const deliveriesOnAPage = 25
