package httpapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/internal/testkit/browser"
)

// page is a GET without the checks of world.get, which pages have other headers than.
func (w *world) page(path, accept string) answer {
	w.t.Helper()
	req := w.request(call{method: http.MethodGet, path: path, header: map[string]string{"Accept": accept}})
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, errors.Join(err, resp.Body.Close()))
	return answer{t: w.t, status: resp.StatusCode, header: resp.Header, body: body}
}

// What was taken from swagger-ui-dist is as its makers released it.
func TestSwaggerUIIsTheRelease(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{ // of version 5.35.0
		"swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
		"swagger-ui.css":       "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
	} {
		content, err := os.ReadFile("pages/swagger-ui/" + name)
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		require.Equal(t, want, hex.EncodeToString(sum[:]), name)
	}
	for _, license := range []string{"LICENSE", "NOTICE", "LICENSES-of-bundled.txt"} {
		require.FileExists(t, "pages/swagger-ui/"+license)
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	html := w.page("/docs", "text/html")
	require.Equal(t, http.StatusOK, html.status)
	require.Equal(t, "text/html; charset=utf-8", html.header.Get("Content-Type"))
	policy := html.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; script-src 'self'; style-src 'self';")
	require.NotContains(t, policy, "unsafe")
	require.NotRegexp(t, `<script>|<style|style=|https?://`, html.text())
	links := regexp.MustCompile(`(?:src|href)="(docs/[^"]+)"`).FindAllStringSubmatch(html.text(), -1)
	require.Len(t, links, 4)
	for _, link := range links {
		asset := w.page("/"+link[1], "*/*")
		require.Equal(t, http.StatusOK, asset.status, link[1])
		require.Equal(t, "public, max-age=31536000, immutable", asset.header.Get("Cache-Control"))
		require.Equal(t, "nosniff", asset.header.Get("X-Content-Type-Options"))
		require.NotEmpty(t, asset.body)
	}
	for _, path := range []string{"/docs/", "/docs/swagger-ui.css", "/docs/..%2fapi.go", "/docs/0-pages.css"} {
		require.Equal(t, http.StatusNotFound, w.page(path, "*/*").status, path)
	}
}

func TestProblemPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.get("", "/problems").at("problems").([]any)
	require.Len(t, all, len(httpapi.ProblemCodes()))
	for _, p := range all {
		listed := p.(map[string]any)
		kind := w.get("", listed["type"].(string))
		require.Equal(t, listed, kind.json())
		for _, field := range []string{"when", "do"} {
			require.Regexp(t, `^[A-Z].*\.$`, kind.str(field), "%s of %s: whole sentences", field, kind.str("code"))
		}
		require.NotRegexp(t, `\.$`, kind.str("title"))
		html := w.page(kind.str("type"), "text/html,application/xhtml+xml,*/*;q=0.8")
		require.Equal(t, "text/html; charset=utf-8", html.header.Get("Content-Type"))
		require.Equal(t, "Accept", html.header.Get("Vary"))
		require.Contains(t, html.text(), "<h1>"+kind.str("title")+"</h1>")
		require.NotRegexp(t, `<script|<style|style=|https?://`, html.text())
	}

	refused := w.get(w.admin, "/workflow-runs/none")
	kind := w.get("", refused.str("type"))
	require.Equal(t, refused.str("code"), kind.str("code"))
	require.Equal(t, refused.str("title"), kind.str("title"))
	require.Equal(t, refused.int("status"), kind.int("status"))
	require.Contains(t, kind.text(), `{"id":"getRun","method":"GET","path":"/workflow-runs/{id}"}`)

	require.Equal(t, http.StatusNotFound, w.get("", "/problems/none").status)
	require.Contains(t, w.page("/problems", "text/html").text(), `<a href="problems/run_not_found">`)
}

// A browser shows the document, whatever the address says, and tries a request; it asks
// nothing of any other server.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := browser.OpenTab(t, w.server.URL, 1200, 900)
	var mu sync.Mutex
	var asked []string
	require.NoError(t, chromedp.Listen(b.Ctx, func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, sent.Request.URL)
		}
	}))
	b.Open("/docs?url=https://example.com/other.json&configUrl=https://example.com/config.json")
	b.Click("#operations-operation-health .opblock-summary-control")
	b.Click("#operations-operation-health .try-out__btn")
	b.Click("#operations-operation-health .execute")
	b.Until(`document.querySelector("#operations-operation-health .live-responses-table")?.innerText.includes('"ok"')`)
	require.Empty(t, browser.Eval[[]string](b, `window.violations`), "the page breaks its own policy")

	b.Open("/problems/insufficient_credits")
	b.Click(`a[href$="#/runs/retryFailed"]`)
	b.Until(`document.querySelector("#operations-runs-retryFailed.is-open")`)
	require.Empty(t, browser.Eval[[]string](b, `window.violations`))

	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(asked), 10)
	for _, url := range asked {
		require.Regexp(t, `^(`+regexp.QuoteMeta(w.server.URL)+`/|data:)`, url)
	}
}
