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
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/browser"
)

// axe is axe-core 4.14.1; its license is in the same folder.
//
//go:embed testdata/axe/axe.min.js
var axe string

// tab is a tab of a real browser on the pages of a world.
type tab struct {
	*browser.Tab
	w *world
}

func (w *world) browser(t *testing.T) *tab {
	t.Helper()
	return &tab{Tab: browser.OpenTab(t, w.server.URL, 1280, 860), w: w}
}

// signIn signs in with the demo's one click.
func (b *tab) signIn(user string) {
	b.T.Helper()
	b.Open("/ui/sign-in")
	b.Click(fmt.Sprintf(`form:has([value=%q]) button`, user))
	b.Until(`!location.pathname.includes("sign-in") && document.readyState === "complete"`)
}

func eval[T any](b *tab, script string) T {
	b.T.Helper()
	return browser.Eval[T](b.Tab, script)
}

// look is the theme and screen that a page is checked with.
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
	b.T.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	b.Do(
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
	b.T.Helper()
	b.Do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// fitsPhone checks that what is shown is no wider than a phone's screen, and goes back to
// the earlier size.
func (b *tab) fitsPhone(what string) {
	b.T.Helper()
	b.as(looks[2])
	b.accessible(what, looks[2])
	b.as(looks[0])
}

// accessible runs axe-core on the page as it is. It also checks that the page requests
// nothing from other hosts, keeps to its content policy and is no wider than the screen.
// With the dark theme it checks the colours only, since nothing else differs.
func (b *tab) accessible(what string, l look) {
	b.T.Helper()
	what += ", " + l.name
	rules := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	if l.dark {
		rules = `["color-contrast"]`
	}
	eval[bool](b, axe+"; true")
	ctx, stop := context.WithTimeout(b.Ctx, time.Minute)
	defer stop()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"], runOnly: `+rules+`})
		.then((r) => JSON.stringify(r.violations.map((v) => ({id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html.slice(0, 200) + " :: " + n.failureSummary.slice(0, 300))}))))`,
		chromedp.EvalAwaitPromise))
	require.NoError(b.T, err)
	var violations []json.RawMessage
	require.NoError(b.T, json.Unmarshal([]byte(found), &violations))
	require.Empty(b.T, violations, "%s: %s", what, found)
	require.Empty(b.T, eval[[]string](b, `window.violations`), "%s breaks its own policy", what)
	require.Empty(b.T, eval[[]string](b, `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin))`), what)
	wide := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`)
	require.LessOrEqual(b.T, wide, 0.0, "%s is wider than the screen", what)
}
