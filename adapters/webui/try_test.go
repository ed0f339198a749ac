package webui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// tryScript gives a trial the outcome that the content of its file names.
func tryScript(in fakellm.Request) fakellm.Action {
	switch {
	case strings.Contains(in.File, "refuse"):
		return fakellm.Refuse("<script>no</script>")
	case strings.Contains(in.File, "busy"):
		return fakellm.Status(503, "overloaded")
	case strings.Contains(in.File, "credential"):
		return fakellm.Unauthorized()
	case strings.Contains(in.File, "long"):
		return fakellm.Answer(strings.Repeat("long ", 20_000))
	}
	return fakellm.Answer("<b>Summary</b> of it")
}

// A draft is tried on a file or a text before it is published: the result is shown, and
// nothing is charged or stored.
func TestTemplateIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.script, o.page.MaxFileBytes = tryScript, 100 })
	_, err := w.svc.CreateTemplate(t.Context(), core.System, core.Template{ID: "draft", Tenant: acme, Name: "Draft", CreditsPerRun: 3, Mode: core.ModeBatch, Instructions: "Be brief."})
	require.NoError(t, err)
	v := w.signedIn(pat)
	const path = "/ui/templates/draft/try?tenant=acme"
	before := w.balance(acme)
	try := func(status int, text string, files map[string]string) string {
		t.Helper()
		p := v.sendFiles(path, "file", map[string]string{"text": text}, files)
		require.Equal(t, status, p.status)
		require.Contains(t, p.text, `action="/ui/templates/draft/try?tenant=acme#try"`)
		return p.text
	}
	require.Contains(t, v.get("/ui/templates/draft?tenant=acme").text, "Nothing is charged and nothing is kept")

	page := try(200, "", map[string]string{"letter.txt": "Dear all"})
	require.Contains(t, page, "letter.txt")
	require.Contains(t, page, "&lt;b&gt;Summary&lt;/b&gt; of it")
	require.Contains(t, page, "instructions version 1")
	page = try(200, "A text\r\nof two lines", nil)
	require.Contains(t, page, "&lt;b&gt;Summary&lt;/b&gt; of it")
	require.Contains(t, page, "A text\nof two lines</textarea>", "it can be tried again")
	require.Contains(t, w.provider.Requests()[1].Text, "of two lines")

	page = try(200, "", map[string]string{"refuse.txt": "x"})
	require.Contains(t, page, "The model declined to work on this content.")
	require.Contains(t, page, "Because of this file&#39;s content. Another try would not change it.")
	require.NotContains(t, page, "<script>no")
	page = try(200, "", map[string]string{"busy.txt": "x"})
	require.Contains(t, page, "A temporary fault at the model&#39;s provider. Try again in a moment.")
	page = try(200, "", map[string]string{"credential.txt": "x"})
	require.Contains(t, page, "The provider refused this server&#39;s credential.")
	require.Contains(t, page, "Our fault: the operator of this server has to fix it.")
	page = try(200, "", map[string]string{"long.txt": "x"})
	require.Contains(t, page, "The first 64 KB of 97.7 KB.")
	require.Less(t, len(page), 100_000)

	asked := len(w.provider.Requests())
	require.Contains(t, try(422, " ", nil), "Choose a file or paste a text.")
	require.Contains(t, try(422, "", map[string]string{"empty.txt": ""}), "Empty: there is nothing to work on.")
	page = try(413, "kept", map[string]string{"large.txt": strings.Repeat("x", 101)})
	require.Contains(t, page, `<p class="error" id="e-file">Larger than 100 bytes`)
	require.Contains(t, page, "kept</textarea>")
	require.Contains(t, try(422, "", map[string]string{"binary.txt": "\x00\xff\xfe"}), `id="f-file"`)
	require.Contains(t, try(422, strings.Repeat("x", 101), nil), `<p class="error" id="e-text">Larger than 100 bytes`)
	require.Equal(t, http.StatusBadRequest, v.post(path, url.Values{"text": {"x"}}).status)
	require.Len(t, w.provider.Requests(), asked, "what is refused is not asked for")

	require.Equal(t, before, w.balance(acme))
	require.Contains(t, v.get("/ui/runs?tenant=acme").text, "No runs yet")
	keys := map[string]bool{}
	for _, r := range w.provider.Requests() {
		keys[r.Header.Get("Idempotency-Key")] = true
	}
	require.Len(t, keys, asked, "a provider would answer one trial with another's result")

	customer := w.signedIn(ann)
	require.NotContains(t, customer.get("/ui/templates/draft").text, "/try")
	require.Equal(t, http.StatusForbidden, customer.sendFiles("/ui/templates/draft/try", "file", nil, map[string]string{"a.txt": "a"}).status)
	require.Equal(t, http.StatusForbidden, w.signedIn(sam).sendFiles(path, "file", nil, map[string]string{"a.txt": "a"}).status)
	v.post("/ui/templates/draft/delete?tenant=acme", nil)
	require.NotContains(t, v.get("/ui/templates/draft?tenant=acme").text, "/try")
	require.Equal(t, http.StatusConflict, v.sendFiles(path, "file", nil, map[string]string{"a.txt": "a"}).status)
}

// One trial more than may run at once is refused with a message at the field.
func TestTrialsAreFew(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, func(o *options) {
		o.script = func(fakellm.Request) fakellm.Action { return fakellm.Hold(release, fakellm.OK()) }
	})
	v := w.signedIn(pat)
	const path = "/ui/templates/summarise/try?tenant=acme"
	answers := make(chan shown, 2)
	for range cap(answers) {
		go func() { answers <- v.sendFiles(path, "file", nil, map[string]string{"a.txt": "a"}) }()
	}
	require.NoError(t, w.provider.AwaitInFlight(t.Context(), 2))
	p := v.sendFiles(path, "file", map[string]string{"text": "kept"}, nil)
	require.Equal(t, http.StatusServiceUnavailable, p.status)
	require.Contains(t, p.text, `<p class="error" id="e-text">Other templates are being tried just now.`)
	require.Contains(t, p.text, "kept</textarea>")
	close(release)
	for range cap(answers) {
		require.Equal(t, http.StatusOK, (<-answers).status)
	}
}

func TestTemplateIsTriedWithoutScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.script = tryScript })
	b := w.browser(t)
	b.withoutScript()
	b.signIn("operator")
	b.Open("/ui/templates/summarise?tenant=acme")
	b.Do(chromedp.SendKeys("#f-text", "A letter."))
	b.Click("#try button")
	b.Until(`document.querySelector("#try pre")?.innerText === "<b>Summary</b> of it"`)
	require.Equal(t, "A letter.", eval[string](b, `document.querySelector("#f-text").value`))
}
