package webui_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// drop drops files on the form of a new run.
func (b *tab) drop(names ...string) {
	b.T.Helper()
	b.Drop("#drop", names...)
	b.Until(`document.querySelectorAll("#picked li").length > 0`)
}

// The main journey: sign in, drop files, watch some fail, continue, watch them complete;
// balance and receipt are right.
func TestJourney(t *testing.T) {
	onEachStore(t, func(t *testing.T, on store) {
		t.Run("ByEvents", func(t *testing.T) {
			t.Parallel()
			journey(t, on, false)
		})
		t.Run("ByAsking", func(t *testing.T) {
			t.Parallel()
			journey(t, on, true)
		})
	})
}

func journey(t *testing.T, on store, polls bool) {
	release := make(chan struct{})
	retried := make(chan struct{})
	w := newWorld(t, on, func(o *options) {
		o.polls = polls
		o.script = func(in fakellm.Request) fakellm.Action {
			switch {
			case !strings.Contains(in.File, "timeout"):
				return fakellm.Hold(release, fakellm.OK())
			case in.Seen == 1:
				return fakellm.Status(504, "upstream_timeout")
			}
			return fakellm.Hold(retried, fakellm.OK())
		}
	})
	b := w.browser(t)
	b.signIn("admin")
	b.Click(`.nav a[href="/ui/runs/new"]`)
	b.Until(`document.querySelector("#drop") && document.querySelector("#price").textContent.includes("Choose a template and files")`)
	b.drop("letter.txt", "first-timeout.txt", "second-timeout.txt", "minutes.txt", "third-timeout.txt")
	require.Equal(t, "5 files × 2 credits = 10", b.Text("#price"))
	require.Equal(t, "Balance: 100 before, 90 after.", b.Text("#balance"))
	b.Click("#start")

	// From here on the page is not loaded again.
	b.Until(`location.pathname.startsWith("/ui/runs/") && document.querySelector("#run-head")`)
	require.True(t, eval[bool](b, `window.stayed = true`))
	b.Until(`document.querySelector("#said").innerText.startsWith("3 of 5 files done")`)
	require.True(t, eval[bool](b, `document.querySelector("#continue-button").disabled`))
	require.Contains(t, b.Text("#continue-says"), "The run is running.")
	close(release)
	b.Until(`document.querySelector("#continue-button").disabled === false`)
	require.Contains(t, b.Text("#run-head"), "Completed with errors")
	require.Contains(t, b.Text("#continue-says"), "3 failed files × 2 credits = 6 (6 purchased)")
	require.Contains(t, b.Text("#continue-says"), "Balance: 90 before, 84 after.")
	require.Contains(t, b.Text("#files"), "The provider did not answer in time.\nthe provider, temporary")
	require.True(t, eval[bool](b, `window.stayed`), "the page was loaded again")
	b.accessible("a closed run", looks[0])

	b.Click("#continue-button")
	b.Until(`document.querySelector("#notice") && document.body.innerText.includes("Continued.")`)
	b.Until(`document.querySelector("#run-head").innerText.includes("Running")`)
	require.True(t, eval[bool](b, `window.stayed = true`))
	require.True(t, eval[bool](b, `document.querySelector("#continue-button").disabled`))
	b.accessible("a running run", looks[0])
	close(retried)
	b.Until(`document.querySelector("#run-head").innerText.includes("5 of 5 files done") && !document.querySelector("#run-head").innerText.includes("Running")`)
	require.True(t, eval[bool](b, `window.stayed`), "the page was loaded again")
	b.Until(`document.querySelector("#receipt").innerText.includes("16 credits\n10 monthly + 6 purchased")`)
	receipt := b.Text("#receipt")
	require.Contains(t, receipt, "Continue 1")
	require.Contains(t, receipt, "3 files × 2 credits = 6 (6 purchased)")
	require.Contains(t, receipt, "5 files × 2 credits = 10 (10 monthly)")
	require.Contains(t, b.Text("#continue-says"), "Every file is completed.")
	require.Equal(t, core.Credits(84), w.balance(acme))
	require.Empty(t, eval[[]string](b, `window.violations`))

	b.Click(`.nav a[href="/ui/credits"]`)
	b.Until(`document.querySelector(".figures")`)
	require.Contains(t, b.Text(".figures"), "84")
}

// The same without a script, in the browser.
func TestJourneyWithoutScript(t *testing.T) { onEachStore(t, journeyWithoutScript) }

func journeyWithoutScript(t *testing.T, on store) {
	w := newWorld(t, on)
	b := w.browser(t)
	b.withoutScript()
	b.signIn("admin")
	id := w.closed("letter.txt", "first-timeout.txt", "second-timeout.txt")
	b.Open("/ui/runs/" + string(id))
	require.Contains(t, b.Text("#continue-says"), "2 failed files × 2 credits = 4 (4 monthly)")
	b.Click("#continue-button")
	b.Until(`document.body.innerText.includes("Continued.") || document.body.innerText.includes("Every file is completed")`)
	w.await(id)
	// The page reloads itself while the run is running.
	b.Until(`document.body.innerText.includes("Every file is completed.")`)
	require.Contains(t, b.Text("#receipt"), "10 credits\n10 monthly")
	require.Equal(t, core.Credits(90), w.balance(acme))
	require.False(t, eval[bool](b, `document.cookie.includes("zone")`), "no script ran")
}

// field finds a hidden input's value in a page.
func field(t *testing.T, p shown, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(p.text)
	require.NotNil(t, m, "no field %s", name)
	return m[1]
}

// button is the form of the Continue button, as it was shown.
func button(t *testing.T, p shown) url.Values {
	t.Helper()
	return url.Values{"price": {field(t, p, "price")}, "attempt": {field(t, p, "attempt")}, "key": {field(t, p, "key")}}
}

// The same by a client with neither script nor style: only forms and links.
func TestJourneyByForms(t *testing.T) { onEachStore(t, journeyByForms) }

func journeyByForms(t *testing.T, on store) {
	w := newWorld(t, on)
	v := w.signedIn(ann)
	p := v.get("/ui/runs/new")
	require.Contains(t, p.text, "Summarise · 2 credits per file")
	key := field(t, p, "key")
	p = v.upload(map[string]string{"key": key, "template": "summarise", "retries": "5", "shown.summarise": "2"},
		map[string]string{"letter.txt": "A letter.", "a-timeout.txt": "A report."})
	require.Equal(t, http.StatusOK, p.status, p.text)
	require.Contains(t, p.text, "The run has started.")
	id := core.RunID(strings.Split(strings.TrimPrefix(p.path, "/ui/runs/"), "?")[0])
	require.Equal(t, 5, w.await(id).MaxRetryCount)
	require.Equal(t, core.Credits(96), w.balance(acme))

	// Sending the same form again gives the same run.
	again := v.upload(map[string]string{"key": key, "template": "summarise", "retries": "5", "shown.summarise": "2"},
		map[string]string{"letter.txt": "A letter."})
	require.Contains(t, again.text, "This form was sent before")
	require.NotEqual(t, key, field(t, again, "key"), "a refused form may be sent again")
	require.Equal(t, core.Credits(96), w.balance(acme))

	run := "/ui/runs/" + string(id)
	p = v.get(run)
	require.Contains(t, p.text, "1 failed file × 2 credits = 2 (2 monthly)")
	p = v.post(run+"/continue", button(t, p))
	require.Contains(t, p.path, "notice=continued")
	w.await(id)
	require.Equal(t, core.Credits(94), w.balance(acme))
	require.Contains(t, v.get(run).text, "Every file is completed.")
	require.Contains(t, v.get(run+"/receipt?attempt=1").text, "The work was done before and failed.")
	require.Contains(t, v.get("/ui/credits").text, "Continue 1")
}

func TestOneRetryHoweverOftenItIsAskedFor(t *testing.T) {
	onEachStore(t, oneRetryHoweverOftenItIsAskedFor)
}

func oneRetryHoweverOftenItIsAskedFor(t *testing.T, on store) {
	w := newWorld(t, on)
	v := w.signedIn(ann)

	t.Run("DoubleClick", func(t *testing.T) {
		id := w.closed("a-timeout.txt", "letter.txt")
		run := "/ui/runs/" + string(id)
		form := button(t, v.get(run))
		before := w.balance(acme)
		answers := make(chan shown, 8)
		for range cap(answers) {
			go func() { answers <- v.post(run+"/continue", form) }()
		}
		for range cap(answers) {
			p := <-answers
			require.Equal(t, http.StatusOK, p.status)
			require.Regexp(t, `notice=(continued|running|changed)$`, p.path)
		}
		w.await(id)
		require.Equal(t, before-2, w.balance(acme))
	})
	t.Run("TwoTabs", func(t *testing.T) {
		id := w.closed("b-timeout.txt", "letter.txt")
		run := "/ui/runs/" + string(id)
		one, two := button(t, v.get(run)), button(t, v.get(run))
		require.NotEqual(t, one.Get("key"), two.Get("key"))
		before := w.balance(acme)
		answers := make(chan shown, 2)
		for _, form := range []url.Values{one, two} {
			go func() { answers <- v.post(run+"/continue", form) }()
		}
		for range cap(answers) {
			require.Regexp(t, `notice=(continued|running|changed)$`, (<-answers).path)
		}
		w.await(id)
		require.Equal(t, before-2, w.balance(acme))
	})
	t.Run("StaleTab", func(t *testing.T) {
		id := w.closed("c-timeout-refuse.txt", "d-timeout.txt", "e-timeout.txt")
		run := "/ui/runs/" + string(id)
		stale := button(t, v.get(run))
		w.retry(id)
		w.await(id)
		before := w.balance(acme)
		p := v.post(run+"/continue", stale)
		require.Contains(t, p.text, "The run was continued since you opened the page.")
		require.Equal(t, before, w.balance(acme))
		for _, attempt := range []string{"", "x", "-1"} {
			stale.Set("attempt", attempt)
			require.Equal(t, http.StatusBadRequest, v.post(run+"/continue", stale).status)
		}
		require.Equal(t, before, w.balance(acme))
	})
	t.Run("PriceChanged", func(t *testing.T) {
		id := w.closed("f-timeout.txt")
		run := "/ui/runs/" + string(id)
		form := button(t, v.get(run))
		w.price(7)
		before := w.balance(acme)
		p := v.post(run+"/continue", form)
		require.Contains(t, p.text, "The price has changed since you looked.")
		require.Contains(t, p.text, "1 failed file × 7 credits = 7")
		require.Equal(t, before, w.balance(acme))
		p = v.post(run+"/continue", button(t, p))
		require.Contains(t, p.path, "notice=continued")
		w.await(id)
		require.Equal(t, before-7, w.balance(acme))
		w.price(2)
	})
	t.Run("MouseDoubleClick", func(t *testing.T) {
		id := w.closed("g-timeout.txt")
		b := w.browser(t)
		b.signIn("admin")
		b.Open("/ui/runs/" + string(id))
		before := w.balance(acme)
		b.Do(chromedp.DoubleClick("#continue-button"))
		b.Until(`document.querySelector("main")?.innerText.includes("Continued.")`)
		w.await(id)
		require.Equal(t, before-2, w.balance(acme))
	})
}

func TestWhyItCannotBeContinued(t *testing.T) { onEachStore(t, whyItCannotBeContinued) }

func whyItCannotBeContinued(t *testing.T, on store) {
	w := newWorld(t, on, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			if strings.Contains(in.File, "refuse") {
				return fakellm.Refuse("no")
			}
			if strings.Contains(in.File, "fail") {
				return fakellm.Status(503, "overloaded")
			}
			return fakellm.OK()
		}
	})
	v, user, operator := w.signedIn(ann), w.signedIn(ulf), w.signedIn(pat)
	maxed := w.closed("fail-a.txt", "fail-b.txt", "ok.txt")
	run := "/ui/runs/" + string(maxed)

	t.Run("Role", func(t *testing.T) {
		p := user.get(run)
		require.Contains(t, p.text, "Your role may view runs, but not continue them.")
		require.Regexp(t, `id="continue-button"[^>]* disabled`, p.text)
		require.Equal(t, http.StatusForbidden, user.post(run+"/continue", button(t, v.get(run))).status)
	})
	for range 3 {
		w.retry(maxed)
		w.await(maxed)
	}
	t.Run("Maxed", func(t *testing.T) {
		p := v.get(run)
		require.Regexp(t, `id="continue-button"[^>]* disabled`, p.text)
		require.Contains(t, p.text, "2 files have used all their retries")
		require.Contains(t, p.text, "<bdi>fail-a.txt</bdi>")
		require.Contains(t, p.text, "A platform admin can raise it to at most 10")
		require.Equal(t, http.StatusForbidden, v.post(run+"/retries", url.Values{"to": {"5"}}).status)
		before := w.balance(acme)
		require.Contains(t, v.post(run+"/continue", button(t, p)).path, "notice=refused")
		require.Equal(t, before, w.balance(acme))

		require.Contains(t, operator.get(run).text, "You can raise it here to at most 10")
		p = operator.post(run+"/retries", url.Values{"to": {"5"}})
		require.Contains(t, p.text, "The limit of retries is raised.")
		require.Contains(t, p.text, "2 failed files × 2 credits = 4")
		require.Contains(t, v.get(run+"/receipt").text, "Retries raised from 3 to 5")
	})
	t.Run("NothingToRetry", func(t *testing.T) {
		p := v.get("/ui/runs/" + string(w.closed("refuse.txt", "ok.txt")))
		require.Contains(t, p.text, "There is nothing to continue")
		require.Contains(t, p.text, "The model declined to work on this content.")
		require.Contains(t, p.text, "this file&#39;s content")
	})
	t.Run("Interrupted", func(t *testing.T) {
		stuck := make(chan struct{})
		t.Cleanup(func() { close(stuck) })
		w := newWorld(t, on, func(o *options) {
			o.script = func(fakellm.Request) fakellm.Action { return fakellm.Hold(stuck, fakellm.OK()) }
		})
		v := w.signedIn(ann)
		id := w.run("a.txt", "b.txt")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		require.NoError(t, w.provider.AwaitInFlight(ctx, 1))
		run := "/ui/runs/" + string(id)
		require.Contains(t, v.get(run).text, "Stops this run.")
		p := v.post(run+"/cancel", nil)
		require.Contains(t, p.text, "The run was cancelled. What was not finished is paid for")
		require.Contains(t, p.text, "2 interrupted files are free")
		require.Contains(t, v.post(run+"/cancel", nil).text, "The run had ended already.")
	})
	t.Run("InsufficientCredits", func(t *testing.T) {
		// At 2 credits a file, as much as is left but 2.
		left := int(w.balance(acme))/2 - 1
		names := manyNames(left)
		names[0], names[1], names[2] = "fail-1.txt", "fail-2.txt", "fail-3.txt"
		id := w.closed(names...)
		p := v.get("/ui/runs/" + string(id))
		require.Contains(t, p.text, "4 credits short")
		require.Contains(t, p.text, "Continue costs 6 credits, and 2 are available.")
		require.Contains(t, p.text, "wait for the next monthly allowance")
		require.Regexp(t, `id="continue-button"[^>]* disabled`, p.text)
		require.Contains(t, v.post("/ui/runs/"+string(id)+"/continue", url.Values{"price": {"6"}, "attempt": {"0"}, "key": {"k"}}).path, "notice=refused")
		require.Equal(t, core.Credits(2), w.balance(acme))

		p = operator.get("/ui/runs/" + string(id))
		require.Contains(t, p.text, `href="/ui/tenants/acme"`)
		p = operator.post("/ui/tenants/acme/purchases", url.Values{"purchase": {"10"}, "key": {"once"}})
		require.Contains(t, p.text, "The credits are added.")
		operator.post("/ui/tenants/acme/purchases", url.Values{"purchase": {"10"}, "key": {"once"}})
		require.Equal(t, core.Credits(12), w.balance(acme))
		require.Contains(t, v.get("/ui/runs/"+string(id)).text, "3 failed files × 2 credits = 6")
	})
}

// The time from the click until the page shows the end of the run, compared with the API
// alone. The figures are logged; only a generous limit is checked.
func TestTimeToTheUpdatedState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser(t)
	b.signIn("admin")
	id := w.closed("a-timeout.txt", "b-timeout.txt", "c.txt")
	b.Open("/ui/runs/" + string(id))
	b.Until(`document.querySelector("#continue-button")?.disabled === false`)
	began := time.Now()
	b.Click("#continue-button")
	b.Until(`document.querySelector("#continue-says")?.innerText.includes("Every file is completed.")`)
	page := time.Since(began)

	id = w.closed("d-timeout.txt", "e-timeout.txt", "f.txt")
	call := func(method, path string) string {
		req, err := http.NewRequest(method, w.server.URL+"/workflow-runs/"+string(id)+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+w.token(ann))
		return w.visitor().do(req).text
	}
	began = time.Now()
	call(http.MethodPost, "/retry-failed")
	for !strings.Contains(call(http.MethodGet, ""), `"COMPLETED"`) {
		require.Less(t, time.Since(began), 30*time.Second)
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("from the click to the state that is seen: %s; by the API alone: %s", page, time.Since(began))
	require.Less(t, page, 15*time.Second)
}
