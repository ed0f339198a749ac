package webui_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// Several runs are selected in the list and continued together, with the sum before; then
// it is watched, and the record shows what became of each.
func TestBulkJourney(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			switch {
			case in.File == "letter.txt":
				return fakellm.OK()
			case in.Seen == 1:
				return fakellm.Status(504, "upstream_timeout")
			}
			return fakellm.Hold(release, fakellm.OK())
		}
	})
	one, two := w.closed("one.txt", "letter.txt"), w.closed("two.txt", "three.txt")
	w.closed("letter.txt")
	before := w.balance(acme)
	b := w.browser(t)
	b.signIn("admin")
	b.Open("/ui/runs")
	require.Equal(t, 2, eval[int](b, `document.querySelectorAll(".pick").length`), "what is completed cannot be selected")
	b.accessible("the list with boxes", looks[0])
	b.fitsPhone("the list with boxes")
	for _, id := range []core.RunID{one, two} {
		b.Click(`.pick[value="` + string(id) + `"]`)
	}
	b.Click("#bulk-selected")
	b.Until(`document.querySelector("#bulk-preview")`)
	require.Contains(t, b.Text("#bulk-preview"), "Runs that are continued\n2")
	require.Contains(t, b.Text("#bulk-preview"), "Failed files, charged again\n3")
	require.Contains(t, b.Text("#bulk-preview"), "6 credits")
	b.accessible("the sum before", looks[0])
	b.fitsPhone("the sum before")
	require.Equal(t, before, w.balance(acme))
	b.Click("#bulk-do")
	b.Until(`document.querySelector("#bulk-pause")`)
	b.Until(`document.querySelector("#bulk-facts").innerText.includes("Continued\n1")`)
	require.Contains(t, b.Text("#bulk-facts"), "Waiting\n1", "the first run has to close before the others")
	b.accessible("a bulk continue", looks[0])
	b.fitsPhone("a bulk continue")
	b.Click("#bulk-pause")
	b.Until(`document.querySelector("#bulk-why")?.innerText.includes("It was paused.")`)
	close(release)
	b.Click("#bulk-resume")
	b.Until(`document.querySelector("#bulk-state").innerText.includes("Finished")`)
	require.Contains(t, b.Text("#bulk-facts"), "Continued\n2")
	require.Equal(t, 2, eval[int](b, `document.querySelectorAll("#bulk-runs tbody tr").length`))
	require.Equal(t, before-6, w.balance(acme))
	for _, id := range []core.RunID{one, two} {
		require.Equal(t, core.RunCompleted, w.await(id).Status)
	}
	require.Empty(t, eval[[]string](b, `window.violations`))
}

// The same by forms alone, and what is refused.
func TestBulkByForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.workers = 8 })
	run := w.closed("a-timeout.txt", "letter.txt")
	done := w.closed("letter.txt")
	v := w.signedIn(ann)
	p := v.get("/ui/bulk/new?run=" + string(run) + "&run=" + string(done))
	require.Equal(t, http.StatusOK, p.status, p.text)
	require.Contains(t, p.text, "1 run is not continued:")
	require.Contains(t, p.text, "Every file is completed.")
	form := url.Values{"run": {string(run), string(done)}, "price": {field(t, p, "price")}, "key": {field(t, p, "key")}}
	w.price(3)
	require.Equal(t, http.StatusConflict, v.post("/ui/bulk", form).status, "it costs more by now")
	w.price(2)
	require.Equal(t, http.StatusConflict, v.post("/ui/bulk", form).status, "that is the answer under the form's key")
	p = v.get("/ui/bulk/new?run=" + string(run) + "&run=" + string(done))
	form = url.Values{"run": {string(run), string(done)}, "price": {field(t, p, "price")}, "key": {field(t, p, "key")}}
	made := v.post("/ui/bulk", form)
	require.Equal(t, http.StatusOK, made.status, made.text)
	require.Equal(t, made.path, v.post("/ui/bulk", form).path, "the form was sent twice")
	require.Contains(t, v.get("/ui/bulk").text, made.path)
	w.await(run)

	// All of a filter, aborted.
	require.Contains(t, v.get("/ui/runs?status=COMPLETED_WITH_ERRORS").text, "/ui/bulk/new?status=COMPLETED_WITH_ERRORS")
	other := w.closed("b-timeout.txt", "letter.txt")
	p = v.get("/ui/bulk/new?status=COMPLETED_WITH_ERRORS")
	require.Equal(t, http.StatusOK, p.status, p.text)
	require.Equal(t, "2", field(t, p, "price"))
	require.NotEmpty(t, other)

	for path, status := range map[string]int{
		"/ui/bulk/unknown": http.StatusNotFound, "/ui/bulk/new?run=unknown": http.StatusNotFound, "/ui/bulk/new?status=FAILED": http.StatusBadRequest,
	} {
		require.Equal(t, status, v.get(path).status, path)
	}
	u := w.signedIn(ulf)
	require.NotContains(t, u.get("/ui/runs").text, "bulk-selected")
	require.Equal(t, http.StatusForbidden, u.get("/ui/bulk/new?run="+string(run)).status)
	require.Equal(t, http.StatusForbidden, u.post("/ui/bulk", form).status)
	require.Equal(t, http.StatusOK, u.get(made.path).status)
	require.NotRegexp(t, regexp.MustCompile(`bulk-(pause|resume)`), u.get(made.path).text)
	require.Equal(t, http.StatusForbidden, u.post(made.path+"/abort", nil).status)
	require.Equal(t, http.StatusForbidden, w.signedIn(sam).get(made.path).status)
	for _, wrong := range []url.Values{{"price": {"x"}}, {"price": {"-1"}}, {}} {
		require.Equal(t, http.StatusBadRequest, v.post("/ui/bulk", wrong).status)
	}
}
