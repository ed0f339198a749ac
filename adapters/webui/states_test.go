package webui_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/browser"
)

var (
	screenshots = flag.String("screenshots", "", "folder to write pictures of the pages to")
	whichLooks  = flag.String("looks", "some", "all: on desktops and phones, each light and dark; some: a light desktop and a dark phone")
)

// state is a page in one of its states.
type state struct {
	name string
	path string
	as   string // the demo's user; empty: signed out
	do   func(b *tab)
	// pictured lists the looks that a picture is kept of.
	pictured []string
}

// Every page in every state is accessible, keeps to its content policy and is no wider
// than the screen, light and dark, on desktops and phones: colors and widths have nothing to
// do with each other, so two looks see both of each. -screenshots writes pictures.
func TestEveryState(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	w := newWorld(t, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			if strings.Contains(in.File, "slow") {
				return fakellm.Hold(held, fakellm.OK())
			}
			return pictureScript(in)
		}
	})
	states := w.states()
	t.Run("Looks", func(t *testing.T) { // ends after its parallel subtests, and the world after it
		for i, l := range looks {
			if *whichLooks != "all" && i != 0 && i != len(looks)-1 {
				continue
			}
			for _, user := range []string{"", "admin", "operator"} {
				t.Run(strings.TrimSuffix(l.name+"-"+user, "-"), func(t *testing.T) {
					t.Parallel()
					w.lookAt(t, l, user, states)
				})
			}
		}
	})
}

// lookAt checks the pages of one user, in a browser of its own.
func (w *world) lookAt(t *testing.T, l look, user string, states []state) {
	b := w.browser(t)
	b.as(l)
	if user != "" {
		b.signIn(user)
	}
	for _, s := range states {
		if s.as != user {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			b := &tab{Tab: &browser.Tab{T: t, Ctx: b.Ctx, Base: b.Base}, w: w}
			b.Open(s.path)
			if s.do != nil {
				s.do(b)
			}
			b.accessible(s.name, l)
			if *screenshots != "" && (slices.Contains(s.pictured, l.name) || os.Getenv("ALL_PICTURES") != "") {
				b.picture(filepath.Join(*screenshots, s.name+"-"+l.name+".png"))
			}
		})
	}
}

// pictureScript always fails files by their names.
func pictureScript(in fakellm.Request) fakellm.Action {
	name := strings.ToLower(in.File)
	switch {
	case strings.Contains(name, "refuse"):
		return fakellm.Refuse("I can't help with this document.")
	case strings.Contains(name, "timeout"):
		return fakellm.Status(504, "upstream_timeout")
	case strings.Contains(name, "credential"):
		return fakellm.Unauthorized()
	case strings.Contains(name, "rate-limit"):
		return fakellm.RateLimit(0)
	case strings.Contains(name, "outage"):
		return fakellm.Status(503, "overloaded")
	}
	return fakellm.OK()
}

// states makes the data of all states, and gives their addresses.
func (w *world) states() []state {
	w.t.Helper()
	ctx := w.t.Context()
	run := func(id core.RunID) string { return "/ui/runs/" + string(id) }
	failed := w.closed("annual-report.txt", "letter.txt", "invoice-rate-limit.txt", "memo-refuse.txt", "review-outage.txt", "minutes.txt", "report-timeout.txt", "notes.txt")
	done := w.closed("contract.txt", "letter.txt", "protocol.txt")
	long := w.closed("تقرير الربع الثالث timeout.txt", "invoice\u202etxt.exe", strings.Repeat("a-name-that-goes-on-", 12)+".txt", "<script>alert(1)</script>.txt")
	maxed := w.closed("timeout-of-the-first.txt", "rate-limit-of-the-second.txt", "whole.txt")
	for range core.DefaultMaxRetryCount {
		w.retry(maxed)
		w.await(maxed)
	}
	w.template("empty", "Translate the contracts of the third quarter into plain English", 40)
	w.template("draft-less", "Check the spelling", 2)
	short := w.closedWith("empty", "a-timeout.txt")
	w.purchase(acme, "for-pictures", 2400)
	big := w.closed(manyNames(1200)...)
	w.purchase(acme, "for-two-more", 16)
	running := w.run("letter.txt", "minutes.txt", "slow-one.txt", "a-timeout.txt", "slow-two.txt")
	require.Eventually(w.t, func() bool {
		v, err := w.svc.Run(ctx, ann, running)
		return err == nil && v.Run.Tally.Unfinished == 2
	}, 30*time.Second, 5*time.Millisecond)
	interrupted := w.closedWith("draft-less", "letter.txt", "credential.txt", "minutes.txt")
	_, err := w.svc.DeleteTemplate(ctx, core.System, acme, "empty")
	require.NoError(w.t, err)
	_, err = w.svc.CreateTemplate(ctx, core.System, core.Template{ID: "draft", Tenant: acme, Name: "Extract the totals", CreditsPerRun: 3, Mode: core.ModeBatch, Instructions: "List every total with its currency."})
	require.NoError(w.t, err)
	all := []string{"light", "dark", "phone"}
	return []state{
		{name: "sign-in", path: "/ui/sign-in?next=/ui/credits&why=ended", pictured: []string{"light"}},
		{name: "sign-in-refused", path: "/ui/sign-in", do: func(b *tab) {
			b.Do(chromedp.SendKeys("#f-token", "nonsense"))
			b.Click(`form:has(#f-token) button`)
			b.Until(`document.querySelector("[aria-invalid]")`)
		}},
		{name: "components", path: "/ui/components", pictured: []string{"light"}},
		{name: "runs", path: "/ui/runs", as: "admin", pictured: all},
		{name: "runs-none", path: "/ui/runs?status=RUNNING", as: "admin"},
		{name: "runs-empty", path: "/ui/runs?tenant=globex", as: "operator", pictured: []string{"light"}},
		{name: "run", path: run(failed), as: "admin", pictured: all},
		{name: "run-continued", path: run(failed) + "?notice=price_changed", as: "admin"},
		{name: "run-running", path: run(running), as: "admin", pictured: []string{"light"}},
		{name: "run-interrupted", path: run(interrupted), as: "admin", pictured: []string{"light"}},
		{name: "run-cancel", path: run(running), as: "admin", do: func(b *tab) { b.Click(".confirm summary") }},
		{name: "statement", path: "/ui/credits/statement", as: "admin"},
		{name: "operations", path: "/ui/operations", as: "operator", pictured: []string{"light"}},
		{name: "run-completed", path: run(done), as: "admin"},
		{name: "run-maxed", path: run(maxed), as: "admin", pictured: []string{"light"}},
		{name: "run-short", path: run(short), as: "admin", pictured: []string{"light"}},
		{name: "run-short-operator", path: run(short), as: "operator"},
		{name: "run-maxed-operator", path: run(maxed), as: "operator"},
		{name: "run-long-names", path: run(long), as: "admin", pictured: []string{"phone"}},
		{name: "run-1200-files", path: run(big) + "?files=completed&from=600", as: "admin"},
		{name: "file-failed", path: run(failed) + "/files/2", as: "admin"},
		{name: "file", path: run(failed) + "/files/0", as: "admin"},
		{name: "no-file", path: run(failed) + "/files/99/input", as: "admin"},
		{name: "receipt", path: run(maxed) + "/receipt", as: "admin", pictured: []string{"light"}},
		{name: "new-run", path: "/ui/runs/new", as: "admin", do: chooseFiles, pictured: []string{"light", "phone"}},
		{name: "credits", path: "/ui/credits", as: "admin", pictured: []string{"light", "dark"}},
		{name: "templates", path: "/ui/templates", as: "admin"},
		{name: "template", path: "/ui/templates/summarise", as: "admin"},
		{name: "template-edit", path: "/ui/templates/summarise?tenant=acme", as: "operator", pictured: []string{"light"}},
		{name: "template-tried", path: "/ui/templates/draft?tenant=acme", as: "operator", do: try("The total is 12 euros.")},
		{name: "template-tried-in-vain", path: "/ui/templates/draft?tenant=acme", as: "operator", do: try("")},
		{name: "template-new", path: "/ui/templates/new?tenant=acme", as: "operator"},
		{name: "tenants", path: "/ui/tenants", as: "operator"},
		{name: "keys", path: "/ui/keys", as: "admin"},
		{name: "webhooks", path: "/ui/webhooks", as: "admin"},
		{name: "tenant", path: "/ui/tenants/acme", as: "operator"},
		{name: "receipt-operator", path: run(maxed) + "/receipt?attempt=0", as: "operator"},
		{name: "audit", path: "/ui/audit", as: "operator"},
		{name: "no-page", path: "/ui/nothing", as: "admin"},
		{name: "no-run", path: "/ui/runs/none", as: "admin"},
		{name: "menu", path: "/ui/runs", as: "admin", do: func(b *tab) { b.Click(".account summary") }},
	}
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("page-%04d.txt", i+1)
	}
	return names
}

// try tries the template on a text, or on nothing.
func try(text string) func(*tab) {
	return func(b *tab) {
		if text != "" {
			b.Do(chromedp.SetValue("#f-text", text))
		}
		b.Click("#try button")
		b.Until(`document.querySelector("#try pre, #try [aria-invalid]") && document.readyState === "complete"`)
	}
}

// chooseFiles fills in the form of a new run: two files that are accepted, one empty.
func chooseFiles(b *tab) {
	b.Until(`document.querySelector("#price").textContent.includes("Choose")`)
	eval[bool](b, `(() => {
		const data = new DataTransfer();
		data.items.add(new File(["A letter."], "letter.txt"));
		data.items.add(new File(["The minutes of Tuesday."], "minutes.txt"));
		data.items.add(new File([], "nothing-in-it.txt"));
		const input = document.querySelector("#f-files");
		input.files = data.files;
		input.dispatchEvent(new Event("change", {bubbles: true}));
		const template = document.querySelector("#f-template");
		template.value = "summarise";
		template.dispatchEvent(new Event("change", {bubbles: true}));
		return true;
	})()`)
	b.Until(`document.querySelectorAll("#picked li").length === 3`)
}

// picture writes a PNG of the page with a palette, which is a quarter of the size.
func (b *tab) picture(path string) {
	b.T.Helper()
	shot, err := chromedp.Run(b.Ctx, chromedp.CaptureScreenshot())
	require.NoError(b.T, err)
	full, err := png.Decode(bytes.NewReader(shot))
	require.NoError(b.T, err)
	require.NoError(b.T, os.MkdirAll(filepath.Dir(path), 0o755))
	file, err := os.Create(path)
	require.NoError(b.T, err)
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(b.T, encoder.Encode(file, reduced(full, 96)))
	require.NoError(b.T, file.Close())
}

// reduced is a picture in its most frequent colours; the others become the nearest.
func reduced(from image.Image, colours int) image.Image {
	bounds := from.Bounds()
	count := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)]++
		}
	}
	list := make([]color.RGBA, 0, len(count))
	for c := range count {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b color.RGBA) int {
		if d := count[b] - count[a]; d != 0 {
			return d
		}
		return int(a.R)<<16 + int(a.G)<<8 + int(a.B) - int(b.R)<<16 - int(b.G)<<8 - int(b.B)
	})
	var palette color.Palette
	for _, c := range list {
		// Nearly the same as a colour in the palette: a different one is more useful.
		near := slices.ContainsFunc(palette, func(p color.Color) bool { return distance(p.(color.RGBA), c) < 30 })
		if !near {
			palette = append(palette, c)
		}
		if len(palette) == colours {
			break
		}
	}
	to := image.NewPaletted(bounds, palette)
	index := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	return to
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
