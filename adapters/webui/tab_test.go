package webui_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/browser"
)

// axe is axe-core 4.14.1; its license is beside it.
//
//go:embed testdata/axe/axe.min.js
var axe string

// tab is a tab of a real browser.
type tab struct {
	t   *testing.T
	w   *world
	ctx context.Context
}

// watch notes what a page must not do.
const watch = `window.violations = [];
addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + " " + e.blockedURI));`

func (w *world) browser(t *testing.T) *tab {
	t.Helper()
	b := &tab{t: t, w: w, ctx: browser.Open(t, 1280, 860)}
	b.prepare()
	return b
}

// another is a second tab of the same browser, with the same session.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.t.Cleanup(stop)
	other := &tab{t: b.t, w: b.w, ctx: ctx}
	other.prepare()
	return other
}

func (b *tab) prepare() {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
		return chromedp.Void{}, err
	})
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.w.server.URL + path))
}

// signIn goes by the demo's one click.
func (b *tab) signIn(user string) {
	b.t.Helper()
	b.open("/ui/sign-in")
	b.click(fmt.Sprintf(`form:has([value=%q]) button`, user))
	b.until(`!location.pathname.includes("sign-in") && document.readyState === "complete"`)
}

func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(b.t, err, script)
	return v
}

// until waits for a script to say true, over navigations too.
func (b *tab) until(script string) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, 20*time.Second)
	defer stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+script+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("never: %s\nthe page says: %.1500s", script, eval[string](b, `document.body.innerText`))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// click clicks with the mouse where an element is, whatever may be in front of it.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector(%q)`, selector))
	at := eval[[]float64](b, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e.scrollIntoView({block: "center", behavior: "instant"});
		const box = e.getBoundingClientRect();
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`, selector))
	b.do(chromedp.MouseClickXY(at[0], at[1]))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// look is how a page is looked at.
type look struct {
	name          string
	dark, phone   bool
	width, height int64
}

var looks = []look{
	{name: "light", width: 1280, height: 860},
	{name: "dark", dark: true, width: 1280, height: 860},
	{name: "phone", phone: true, width: 390, height: 844},
	{name: "phone-dark", dark: true, phone: true, width: 390, height: 844},
}

func (b *tab) as(l look) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	b.do(
		chromedp.EmulateViewport(l.width, l.height),
		func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return chromedp.Void{}, err
		},
	)
}

// withoutScript turns the page's scripts off; the test's own go on.
func (b *tab) withoutScript() {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// accessible runs axe-core on the page as it is, and looks at what else a page must
// not do: reach outside, break its policy, or be wider than the screen. In the dark
// only the colours are others.
func (b *tab) accessible(what string, l look) {
	b.t.Helper()
	what += ", " + l.name
	rules := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	if l.dark {
		rules = `["color-contrast"]`
	}
	eval[bool](b, axe+"; true")
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"], runOnly: `+rules+`})
		.then((r) => JSON.stringify(r.violations.map((v) => ({id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html.slice(0, 200) + " :: " + n.failureSummary.slice(0, 300))}))))`,
		chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	var violations []json.RawMessage
	require.NoError(b.t, json.Unmarshal([]byte(found), &violations))
	require.Empty(b.t, violations, "%s: %s", what, found)
	require.Empty(b.t, eval[[]string](b, `window.violations`), "%s breaks its own policy", what)
	require.Empty(b.t, eval[[]string](b, `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin))`), what)
	wide := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`)
	require.LessOrEqual(b.t, wide, 0.0, "%s is wider than the screen", what)
}
