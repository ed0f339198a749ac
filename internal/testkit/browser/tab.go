package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of a real browser on the pages of one server.
type Tab struct {
	T    testing.TB
	Ctx  context.Context
	Base string // the server's address, without a slash at its end
}

// watch collects violations of a page's content policy in window.violations.
const watch = `window.violations = [];
addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + " " + e.blockedURI));`

// OpenTab starts a browser as Open does.
func OpenTab(t testing.TB, base string, width, height int) *Tab {
	t.Helper()
	b := &Tab{T: t, Ctx: Open(t, width, height), Base: base}
	b.watch()
	return b
}

// Another is a second tab of the same browser, with the same cookies.
func (b *Tab) Another() *Tab {
	b.T.Helper()
	ctx, stop := chromedp.NewContext(b.Ctx)
	b.T.Cleanup(stop)
	other := &Tab{T: b.T, Ctx: ctx, Base: b.Base}
	other.watch()
	return other
}

// watch is the first step in a tab, so its context is that of the tab.
func (b *Tab) watch() {
	b.T.Helper()
	err := chromedp.Do(b.Ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
		return chromedp.Void{}, err
	})
	if err != nil {
		b.T.Fatal(err)
	}
}

// Do runs steps; the test ends if one fails.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.T.Helper()
	ctx, stop := context.WithTimeout(b.Ctx, stepTimeout)
	defer stop()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.T.Fatal(err)
	}
}

// Open goes to a page of the server.
func (b *Tab) Open(path string) {
	b.T.Helper()
	b.Do(chromedp.Navigate(b.Base + path))
}

// Eval gives the value of a script.
func Eval[T any](b *Tab, script string) T {
	b.T.Helper()
	ctx, stop := context.WithTimeout(b.Ctx, stepTimeout)
	defer stop()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.T.Fatalf("%v in: %.300s", err, script)
	}
	return v
}

// Until waits for a script to say true of a page that is there to its end, over navigations
// too: what is asked about next may stand below what the script has seen.
func (b *Tab) Until(script string) {
	b.T.Helper()
	b.until(script, chromedp.Evaluate[bool](`document.readyState !== "loading" && Boolean(`+script+`)`))
}

// until waits for what says true; an error is that of a page which is being left.
func (b *Tab) until(what string, holds chromedp.Action[bool]) {
	b.T.Helper()
	ctx, stop := context.WithTimeout(b.Ctx, stepTimeout)
	defer stop()
	for {
		ok, err := chromedp.Run(ctx, holds)
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			b.T.Fatalf("never: %s\nthe page says: %.1500s", what, Eval[string](b, `document.body.innerText`))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Click clicks with the mouse at the position of an element, also if another one covers it.
// It waits until the page has loaded and the element stays where it is: a style sheet that
// comes late, or a screen of another size, moves it away from the mouse. A click that leads
// to another page is to be followed by Until for what only that page has; otherwise the next
// one may still be on the page that is being left.
func (b *Tab) Click(selector string) {
	b.T.Helper()
	where := chromedp.Evaluate[[]float64](fmt.Sprintf(`(() => {
		const e = document.readyState === "complete" && document.querySelector(%q);
		if (!e) return [];
		e.scrollIntoView({block: "center", behavior: "instant"});
		const box = e.getBoundingClientRect();
		return box.width && box.height ? [box.x + box.width / 2, box.y + box.height / 2] : [];
	})()`, selector))
	var at []float64
	b.until(selector+" to click on", func(ctx context.Context, t *chromedp.Target) (bool, error) {
		before := at
		var err error
		at, err = where(ctx, t)
		return len(at) == 2 && slices.Equal(at, before), err
	})
	b.Do(chromedp.MouseClickXY(at[0], at[1]))
}

// Text is the visible text of an element; empty if there is none.
func (b *Tab) Text(selector string) string {
	b.T.Helper()
	return Eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// Drop drops text files with these names on an element, as a user does with a mouse.
func (b *Tab) Drop(selector string, names ...string) {
	b.T.Helper()
	Eval[bool](b, fmt.Sprintf(`(() => {
		const data = new DataTransfer();
		for (const name of [%s]) data.items.add(new File(["Text of " + name], name, {type: "text/plain"}));
		const zone = document.querySelector(%q);
		zone.dispatchEvent(new DragEvent("dragover", {dataTransfer: data, bubbles: true, cancelable: true}));
		zone.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
		return true;
	})()`, `"`+strings.Join(names, `","`)+`"`, selector))
}
