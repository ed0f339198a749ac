package webui_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The first load is small, requests nothing from other hosts, and nothing moves while it comes.
func TestFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a-timeout.txt", "b.txt")
	b := w.browser(t)
	b.signIn("admin")
	b.Open("/ui/runs/" + string(id))
	b.painted()
	bytes := eval[float64](b, `performance.getEntriesByType("resource").filter((e) => !e.name.endsWith("/events")).reduce((n, e) => n + e.decodedBodySize, performance.getEntriesByType("navigation")[0].decodedBodySize)`)
	require.Less(t, bytes, 100_000.0)
	require.Empty(t, b.moved())
	t.Logf("first load: %.0f bytes, first paint after %.0f ms", bytes, eval[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
}

// A page that comes in pieces is painted when all of it is there: nothing jumps.
func TestPageInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := w.server.Config.Handler
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/events") && r.Header.Get("X-Redrive-Live") == "" {
			rw = &inPieces{ResponseWriter: rw, pause: 30 * time.Millisecond}
		}
		whole.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { stopServer(front) })
	w.server = front
	id := w.closed("a-timeout.txt", "b.txt")
	b := w.browser(t)
	b.signIn("admin")
	for _, page := range []string{"/ui/runs/" + string(id), "/ui/runs", "/ui/credits"} {
		b.Open(page)
		b.painted()
		require.Empty(t, b.moved(), page)
	}
}

// inPieces sends what is written 1,000 bytes at a time, as a slow connection would.
type inPieces struct {
	http.ResponseWriter
	pause time.Duration
}

func (w *inPieces) Write(p []byte) (int, error) {
	sent := 0
	for piece := range slices.Chunk(p, 1000) {
		n, err := w.ResponseWriter.Write(piece)
		if sent += n; err != nil {
			return sent, err
		}
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return sent, err
		}
		time.Sleep(w.pause)
	}
	return sent, nil
}

func (w *inPieces) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (b *tab) painted() {
	b.Until(`document.readyState === "complete" && performance.getEntriesByName("first-contentful-paint").length > 0`)
}

// moved says what changed its place after it was first painted, and from where to where.
func (b *tab) moved() []string {
	return eval[[]string](b, `(() => {
		const o = new PerformanceObserver(() => {});
		o.observe({type: "layout-shift", buffered: true});
		const box = (r) => [r.x, r.y, r.width, r.height].join(" ");
		return o.takeRecords().flatMap((e) => e.sources.map((s) =>
			((s.node && (s.node.outerHTML || s.node.nodeValue)) || "").slice(0, 120) + " from " + box(s.previousRect) + " to " + box(s.currentRect)));
	})()`)
}
