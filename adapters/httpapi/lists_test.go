package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// list is one list of the API, in the world of listsWorld.
type list struct {
	path   string // with a filter, if it has one, that leaves nothing out
	items  string // the name of the array
	id     string // what tells its elements apart
	n      int    // how many there are
	narrow string // another filter, which is refused with the cursor of this one
}

func listsWorld(t *testing.T) (w *world, lists []list) {
	t.Helper()
	w = newWorld(t)
	run := w.closed("fail-a.txt", "b.txt", "c.txt")
	for range 2 {
		w.start("a.txt")
	}
	w.template("translate", 1, core.ModeBatch)
	for i := range 2 {
		got := w.write(http.MethodPatch, w.platform, "/templates/summarise?tenant=acme", map[string]any{"instructions": fmt.Sprint("version ", i+2)})
		require.Equal(t, http.StatusOK, got.status, got.text())
	}
	return w, []list{
		{"/workflow-runs?tenant=acme&to=2027-01-01", "runs", "id", 3, "status=RUNNING"},
		{"/workflow-runs?tenant=acme&from=2026-01-01", "runs", "id", 3, "continuable=false"},
		{"/workflow-runs/" + run + "/files?name=.TXT", "files", "index", 3, "status=failed"},
		{"/workflow-runs/" + run + "/files", "files", "index", 3, "name=b"},
		{"/templates?tenant=acme", "templates", "id", 2, "status=published"},
		{"/templates?tenant=acme&deleted=false", "templates", "id", 2, "status=draft"},
		{"/templates/summarise/versions?tenant=acme", "versions", "version", 3, ""},
		{"/tenants?", "tenants", "id", 2, ""},
		{"/tenants/acme/ledger?", "entries", "seq", 5, "order=newest"},
		{"/tenants/acme/ledger?order=newest&kind=charge,allowance", "entries", "seq", 4, "run=" + run},
	}
}

// Every list is paged in the same way: by limit and cursor, or by the Link header alone.
func TestEveryListIsPaged(t *testing.T) {
	t.Parallel()
	w, lists := listsWorld(t)
	ids := func(l list, page answer) (list []string) {
		require.Equal(t, http.StatusOK, page.status, page.text())
		for _, item := range page.at(l.items).([]any) {
			list = append(list, fmt.Sprint(item.(map[string]any)[l.id]))
		}
		return list
	}
	with := func(path string, more ...string) string {
		if !strings.Contains(path, "?") {
			path += "?"
		}
		for _, m := range more {
			path += "&" + m
		}
		return path
	}
	cursors := map[string]string{}
	for _, l := range lists {
		whole := ids(l, w.get(w.platform, l.path))
		require.Len(t, whole, l.n, l.path)
		for limit := 1; limit <= l.n+1; limit++ {
			var byCursor, byLink []string
			path, pages := with(l.path, fmt.Sprint("limit=", limit)), 0
			for next := path; next != ""; pages++ {
				page := w.get(w.platform, next)
				byCursor = append(byCursor, ids(l, page)...)
				cursor, more := page.at("nextCursor").(string)
				link := page.header.Get("Link")
				require.Equal(t, more, link != "")
				if next = ""; more {
					cursors[l.path] = cursor
					next = path + "&cursor=" + cursor
				}
			}
			require.Equal(t, whole, byCursor, "%s limit %d", l.path, limit)
			require.Equal(t, max(1, (l.n+limit-1)/limit), pages, "no page is empty")
			for next := path; next != ""; {
				page := w.get(w.platform, next)
				byLink = append(byLink, ids(l, page)...)
				if next = page.header.Get("Link"); next != "" {
					address, rel, _ := strings.Cut(next, ">")
					require.Equal(t, `; rel="next"`, rel)
					next = strings.TrimPrefix(address, "<")
				}
			}
			require.Equal(t, whole, byLink)
		}
		// Another size of pages is no other list.
		require.Equal(t, whole[len(whole)-1:], ids(l, w.get(w.platform, with(l.path, "limit=7", "cursor="+cursors[l.path]))))
	}

	cursorRefused := func(path, says string) {
		got := w.get(w.platform, path)
		require.Equal(t, http.StatusBadRequest, got.status, "%s: %s", path, got.text())
		require.Equal(t, []string{"cursor"}, got.fields())
		require.Contains(t, got.str("errors", 0, "message"), says)
	}
	for _, l := range lists {
		for of, cursor := range cursors {
			if of != l.path {
				cursorRefused(with(l.path, "cursor="+cursor), "another list or another filter")
			}
		}
		cursor := cursors[l.path]
		if l.narrow != "" {
			cursorRefused(with(l.path, l.narrow, "cursor="+cursor), "another list or another filter")
		}
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		require.NoError(t, err)
		for i := range raw { // whatever is changed in it
			spoilt := append([]byte(nil), raw...)
			spoilt[i] ^= 1
			cursorRefused(with(l.path, "cursor="+base64.RawURLEncoding.EncodeToString(spoilt)), "not one that this list has given")
			cursorRefused(with(l.path, "cursor="+base64.RawURLEncoding.EncodeToString(raw[:i])+"A"), "")
		}
		for _, bad := range []string{"x", "Mg", "%00", "cjE", strings.Repeat("A", 600), url.QueryEscape(cursor + "="), cursor + "%0a"} {
			cursorRefused(with(l.path, "cursor="+bad), "not one that this list has given")
		}
	}
	// Another run's files, another tenant's runs.
	other := w.closed("a.txt", "b.txt")
	cursorRefused("/workflow-runs/"+other+"/files?cursor="+cursors[lists[3].path], "another list or another filter")
	cursorRefused("/workflow-runs?tenant=globex&to=2027-01-01&cursor="+cursors[lists[0].path], "another list or another filter")
}

// What has not changed is not sent again.
func TestUnchangedAnswers(t *testing.T) {
	t.Parallel()
	w, lists := listsWorld(t)
	run := w.get(w.admin, "/workflow-runs").str("runs", 0, "id")
	paths := []string{"/workflow-runs/" + run, "/workflow-runs/" + run + "/receipt", "/templates/summarise?tenant=acme", "/tenants/acme"}
	for _, l := range lists {
		paths = append(paths, l.path)
	}
	for _, path := range paths {
		first := w.get(w.platform, path)
		tag := first.header.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{32}"$`, tag, path)
		for _, match := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			again := w.get(w.platform, path, header("If-None-Match", match))
			require.Equal(t, http.StatusNotModified, again.status, "%s %s", path, match)
			require.Empty(t, again.body)
			require.Equal(t, tag, again.header.Get("ETag"))
		}
		other := w.get(w.platform, path, header("If-None-Match", `"other"`))
		require.Equal(t, http.StatusOK, other.status)
		require.Equal(t, first.text(), other.text())
	}
	path := "/workflow-runs/" + run
	before := w.get(w.admin, path).header.Get("ETag")
	w.work()
	after := w.get(w.admin, path, header("If-None-Match", before))
	require.Equal(t, http.StatusOK, after.status, "it has closed meanwhile")
	require.Equal(t, "COMPLETED", after.str("status"))
	// Who may not read it does not learn by its tag that it is there.
	require.Equal(t, http.StatusForbidden, w.get(w.stranger, path, header("If-None-Match", "*")).status)
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w, lists := listsWorld(t)
	draft := w.post(w.platform, "/templates?tenant=acme", map[string]any{"id": "draft", "name": "Draft", "instructions": "Do.", "creditsPerRun": 1, "mode": "batch"})
	require.Equal(t, http.StatusCreated, draft.status, draft.text())
	require.Equal(t, http.StatusOK, w.write(http.MethodDelete, w.platform, "/templates/translate?tenant=acme", nil).status)
	files := lists[3].path
	run := strings.Split(files, "/")[2]
	for path, want := range map[string][]any{
		"/templates templates id":                                                   {"draft", "summarise", "translate"},
		"/templates?status=draft templates id":                                      {"draft"},
		"/templates?status=published templates id":                                  {"summarise", "translate"},
		"/templates?deleted=true templates id":                                      {"translate"},
		"/templates?deleted=false&status=draft templates id":                        {"draft"},
		files + "?status=failed files index":                                        {0.},
		files + "?status=completed,failed files index":                              {0., 1., 2.},
		files + "?status=completed&name=C files index":                              {2.},
		files + "?name=nothing files index":                                         {},
		"/tenants/acme/ledger?order=oldest entries seq":                             {1., 2., 3., 4., 5.},
		"/tenants/acme/ledger?order=newest entries seq":                             {5., 4., 3., 2., 1.},
		"/tenants/acme/ledger?order=newest&kind=purchase,allowance entries seq":     {2., 1.},
		"/tenants/acme/ledger?order=newest&period=2026-12 entries seq":              {},
		"/tenants/acme/ledger?order=newest&kind=charge&run=" + run + " entries seq": {3.},
	} {
		words := strings.Fields(path)
		got := w.get(w.admin, words[0])
		require.Equal(t, http.StatusOK, got.status, got.text())
		ids := []any{}
		for _, item := range got.at(words[1]).([]any) {
			ids = append(ids, item.(map[string]any)[words[2]])
		}
		require.Equal(t, want, ids, path)
		if words[1] == "files" {
			require.NotContains(t, got.json(), "total", "of a filter it would have to be counted")
		}
	}
	for path, fields := range map[string][]string{
		"/templates?status=deleted&deleted=1":                            {"status", "deleted"},
		"/templates?after=summarise&cursor=x":                            {"cursor"},
		files + "?status=FAILED&name=%00":                                {"status", "name"},
		"/tenants/acme/ledger?kind=charge":                               {"kind"},
		"/tenants/acme/ledger?order=oldest&run=" + run:                   {"run"},
		"/tenants/acme/ledger?order=up&kind=gift&period=2026-13&run=%20": {"order", "kind", "period", "run"},
	} {
		got := w.get(w.admin, path)
		require.Equal(t, http.StatusBadRequest, got.status, path)
		require.Equal(t, fields, got.fields(), path)
	}
}

// Runs are looked through in bounded steps for those that can be continued, also by what
// their files say.
func TestContinuableRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.template("free", 0, core.ModePerFile)
	var want []string
	for i := range 12 {
		w.clock.Advance(time.Minute)
		w.script.heal()
		w.script.set("fail-a", core.OutcomeTransient)
		body := inline("free", "fail-a")
		body["maxRetryCount"] = 1
		id := w.post(w.user, "/workflow-runs", body).str("id")
		w.work()
		if i%3 == 0 { // its only retry is used up
			require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil).status)
			w.work()
			continue
		}
		want = append([]string{id}, want...)
	}
	for limit := 1; limit < 10; limit++ {
		var ids []string
		for cursor, pages := "", 0; ; pages++ {
			require.Less(t, pages, 20)
			page := w.get(w.user, fmt.Sprintf("/workflow-runs?continuable=true&limit=%d&cursor=%s", limit, cursor))
			for i := range page.at("runs").([]any) {
				require.Equal(t, true, page.at("runs", i, "continuable", "ok"))
				ids = append(ids, page.str("runs", i, "id"))
			}
			if cursor, _ = page.json()["nextCursor"].(string); cursor == "" {
				break
			}
		}
		require.Equal(t, want, ids, "limit %d", limit)
	}
	require.Len(t, w.get(w.user, "/workflow-runs?continuable=false").at("runs"), 4)
}
