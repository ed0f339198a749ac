package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestListRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var newestFirst []string
	for i := range 5 {
		id := w.closed("a")
		if i == 2 {
			w.clock.Advance(time.Minute) // else only their IDs differ
		}
		newestFirst = append([]string{id}, newestFirst...)
	}
	failed := w.closed("fail-a")
	newestFirst = append([]string{failed}, newestFirst...)

	ids := func(a answer) []string {
		require.Equal(t, http.StatusOK, a.status, a.text())
		list := []string{}
		for _, r := range a.at("runs").([]any) {
			list = append(list, r.(map[string]any)["id"].(string))
		}
		return list
	}

	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		for _, limit := range []int{1, 2, 3, 5, 6, 200} {
			var all []string
			cursor, pages := "", 0
			for {
				a := w.get(w.user, fmt.Sprintf("/workflow-runs?limit=%d&cursor=%s", limit, url.QueryEscape(cursor)))
				all = append(all, ids(a)...)
				pages++
				next, more := a.at("nextCursor").(string)
				if !more {
					break
				}
				cursor = next
			}
			require.Equal(t, newestFirst, all)
			require.Equal(t, (len(newestFirst)+limit-1)/limit, pages, "no page is empty")
		}
	})

	t.Run("Status", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{failed}, ids(w.get(w.user, "/workflow-runs?status=FAILED")))
		require.Equal(t, newestFirst[1:], ids(w.get(w.user, "/workflow-runs?status=COMPLETED")))
		require.Empty(t, ids(w.get(w.user, "/workflow-runs?status=RUNNING")))
	})

	t.Run("Tenants", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, newestFirst, ids(w.get(w.platform, "/workflow-runs?tenant=acme")))
		require.Empty(t, ids(w.get(w.stranger, "/workflow-runs")))
		require.Equal(t, "tenant_not_found", w.get(w.platform, "/workflow-runs?tenant=unknown").str("code"))
	})

	t.Run("Continuable", func(t *testing.T) {
		t.Parallel()
		a := w.get(w.user, "/workflow-runs")
		require.Equal(t, map[string]any{"ok": true}, a.at("runs", 0, "continuable"))
		require.Equal(t, "no_errors_to_retry", a.str("runs", 1, "continuable", "code"))
	})

	t.Run("BadQueries", func(t *testing.T) {
		t.Parallel()
		fileCursor := "Zg" // "f", which is another list's
		for query, field := range map[string]string{
			"status=DONE": "status", "status=FAILED&status=COMPLETED": "status", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit",
			"limit=99999999999999999999": "limit", "cursor=%21": "cursor", "cursor=" + fileCursor: "cursor", "cursor=cjE": "cursor", "cursor=cngvYQ": "cursor",
			"tenant=acme&tenant=acme": "tenant", "status=%zz": "query", "a;b": "query",
		} {
			a := w.get(w.user, "/workflow-runs?"+query)
			require.Equal(t, http.StatusBadRequest, a.status, query)
			require.Equal(t, []string{field}, a.fields(), query)
		}
	})
}

func TestRunFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.template("free", 0, core.ModePerFile)
	const n = 1003
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("file-%04d", i)
	}
	created := w.post(w.user, "/workflow-runs", inline("free", names...))
	require.Equal(t, http.StatusCreated, created.status)
	path := created.header.Get("Location")

	run := w.get(w.user, path)
	require.Len(t, run.at("files"), 100)
	require.Equal(t, path+"/files", run.str("filesUrl"))
	require.Less(t, len(run.body), 32<<10, "a run of many files is small")
	none := w.get(w.user, path+"?files=0")
	require.Empty(t, none.at("files"))
	require.Equal(t, 0, w.get(w.user, path+"/files?cursor="+none.str("nextFilesCursor")).int("files", 0, "index"))
	run = w.get(w.user, path+"?files=1000")
	require.Len(t, run.at("files"), 1000)
	rest := w.get(w.user, path+"/files?cursor="+run.str("nextFilesCursor"))
	require.Len(t, rest.at("files"), 3)
	require.Equal(t, 1000, rest.int("files", 0, "index"))
	require.Equal(t, n, rest.int("total"))
	require.NotContains(t, rest.json(), "nextCursor")
	require.Equal(t, []string{"files"}, w.get(w.user, path+"?files=1001").fields())
	require.Equal(t, "pending", rest.str("files", 0, "status"))

	require.Len(t, w.get(w.user, path+"/files").at("files"), 100)
	var seen []string
	for cursor := ""; ; {
		page := w.get(w.user, path+"/files?limit=400&cursor="+cursor)
		for _, f := range page.at("files").([]any) {
			seen = append(seen, f.(map[string]any)["name"].(string))
		}
		next, more := page.at("nextCursor").(string)
		if !more {
			break
		}
		cursor = next
	}
	require.Equal(t, names, seen)
	for query, field := range map[string]string{
		"limit=1001": "limit", "cursor=xx": "cursor", "cursor=ZngB": "cursor", "cursor=Zi0x": "cursor", "cursor=&cursor=": "cursor",
	} {
		require.Equal(t, []string{field}, w.get(w.user, path+"/files?"+query).fields(), query)
	}
}

func TestPreviewRetry(t *testing.T) {
	t.Parallel()

	t.Run("Accepted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("a", "fail-b", "bad-c", "fail-d")
		before := w.state()
		got := w.get(w.admin, "/workflow-runs/"+id+"/retry-failed")
		require.Equal(t, http.StatusOK, got.status, got.text())
		// 8 of the 10 monthly credits are spent.
		require.JSONEq(t, `{"ok":true,"files":[1,3],"charged":2,"free":0,"price":4,"split":{"monthly":2,"purchased":2},"available":92}`, got.text())
		require.Equal(t, before, w.state(), "a preview changes nothing")

		after := w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
		require.Equal(t, 12, after.int("creditsConsumed"), "and Continue does what it said")
	})

	t.Run("PendingFilesAreFree", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.start("a", "b")
		require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+id+"/cancel", nil).status)
		got := w.get(w.admin, "/workflow-runs/"+id+"/retry-failed")
		require.JSONEq(t, `{"ok":true,"files":[0,1],"charged":0,"free":2,"price":0,"split":{"monthly":0,"purchased":0},"available":96}`, got.text())
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		running, failed := w.start("a"), ""
		got := w.get(w.admin, "/workflow-runs/"+running+"/retry-failed")
		require.Equal(t, http.StatusOK, got.status, got.text())
		require.Equal(t, false, got.at("ok"))
		require.Equal(t, []any{}, got.at("files"))
		require.Equal(t, "run_already_running", got.str("refusal", "code"))
		w.work()

		failed = w.closed("fail-a", "fail-b")
		_, err := w.svc.ChangeTemplate(t.Context(), core.System, acme, "summarise", core.TemplateChange{CreditsPerRun: new(core.Credits(60))})
		require.NoError(t, err)
		got = w.get(w.admin, "/workflow-runs/"+failed+"/retry-failed")
		require.Equal(t, "insufficient_credits", got.str("refusal", "code"))
		require.Equal(t, 120, got.int("refusal", "needed"))
		require.Equal(t, 94, got.int("refusal", "available"))
		require.Equal(t, 94, got.int("available"))
	})
}

func TestMaxRetryCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script.set("f", core.OutcomeTransient)
	created := w.post(w.admin, "/workflow-runs", `{"template":"summarise","maxRetryCount":1,"files":[{"name":"ok","text":"x"},{"name":"f","text":"x"}]}`)
	path := created.header.Get("Location")
	w.work()
	require.Equal(t, http.StatusOK, w.post(w.admin, path+"/retry-failed", nil).status)
	w.work()

	got := w.refused(http.StatusBadRequest, core.CodeMaxRetryCountExceeded, func() answer { return w.post(w.admin, path+"/retry-failed", nil) })
	require.Equal(t, []any{1.}, got.at("files"))
	require.Equal(t, "max_retry_count_exceeded", w.get(w.admin, path).str("continuable", "code"))
	require.Equal(t, []any{1.}, w.get(w.admin, path+"/retry-failed").at("refusal", "files"))

	for _, bad := range []string{`{"maxRetryCount":1}`, `{"maxRetryCount":0}`, `{"maxRetryCount":-9223372036854775808}`, `{"maxRetryCount":11}`, `{"maxRetryCount":9223372036854775807}`, `{}`} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.write(http.MethodPatch, w.platform, path, bad) })
		require.Equal(t, []string{"maxRetryCount"}, got.fields(), bad)
	}
	raised := w.write(http.MethodPatch, w.platform, path, `{"maxRetryCount":2}`)
	require.Equal(t, http.StatusOK, raised.status, raised.text())
	require.Equal(t, 2, raised.int("maxRetryCount"))
	receipt := w.get(w.admin, path+"/receipt")
	require.Equal(t, 1, receipt.int("amendments", 0, "maxRetryCountFrom"), "the change must be recorded where it can be read")
	require.Equal(t, 2, receipt.int("amendments", 0, "maxRetryCountTo"))
	require.Equal(t, "pat", receipt.str("amendments", 0, "by", "subject"))
	require.Equal(t, map[string]any{"ok": true}, raised.at("continuable"))
	require.Equal(t, http.StatusOK, w.post(w.admin, path+"/retry-failed", nil).status)
	w.refused(http.StatusConflict, core.CodeRunAlreadyRunning, func() answer {
		return w.write(http.MethodPatch, w.platform, path, `{"maxRetryCount":3}`)
	})
	w.refused(http.StatusNotFound, core.CodeRunNotFound, func() answer {
		return w.write(http.MethodPatch, w.platform, "/workflow-runs/unknown", `{"maxRetryCount":3}`)
	})
}

// The answer of a use case is as correct about continuing as a read is.
func TestCancelOfARunWithoutRetriesLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script.set("f", core.OutcomeTransient)
	created := w.post(w.admin, "/workflow-runs", `{"template":"summarise","maxRetryCount":1,"files":[{"name":"f","text":"x"}]}`)
	path := created.header.Get("Location")
	w.work()
	require.Equal(t, http.StatusOK, w.post(w.admin, path+"/retry-failed", nil).status)
	cancelled := w.post(w.admin, path+"/cancel", nil)
	require.Equal(t, http.StatusOK, cancelled.status, cancelled.text())
	require.Equal(t, map[string]any{"ok": true}, cancelled.at("continuable"), "what was paid for and not done can always be continued")
	require.Equal(t, w.get(w.admin, path).at("continuable"), cancelled.at("continuable"))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.start("a", "b")
	got := w.post(w.admin, "/workflow-runs/"+id+"/cancel", nil)
	require.Equal(t, http.StatusOK, got.status, got.text())
	require.Equal(t, "INTERRUPTED", got.str("status"))
	require.Equal(t, "cancelled", got.str("reason"))
	require.Equal(t, "2026-11-15T12:00:00Z", got.str("closedAt"))
	require.Equal(t, map[string]any{"ok": true}, got.at("continuable"))
	w.refused(http.StatusConflict, core.CodeRunNotRunning, func() answer { return w.post(w.admin, "/workflow-runs/"+id+"/cancel", nil) })

	w.work() // the messages of the cancelled attempt are still about
	require.Empty(t, w.script.names())
	again := w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
	require.Equal(t, 4, again.int("creditsConsumed"), "free")
	w.work()
	require.Equal(t, "COMPLETED", w.get(w.admin, "/workflow-runs/"+id).str("status"))
}

func TestRetryFailedIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.closed("fail-a", "b"), w.closed("fail-a", "b")
	first := w.post(w.admin, "/workflow-runs/"+one+"/retry-failed", nil, key("k1"))
	require.Equal(t, http.StatusOK, first.status, first.text())
	w.work()
	before := w.state()
	again := w.post(w.admin, "/workflow-runs/"+one+"/retry-failed", nil, key("k1"))
	require.Equal(t, http.StatusOK, again.status)
	require.JSONEq(t, first.text(), again.text())
	require.Equal(t, before, w.state(), "a repeat has changed something")

	w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
		return w.post(w.admin, "/workflow-runs/"+two+"/retry-failed", nil, key("k1"))
	})
	w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
		return w.post(w.admin, "/workflow-runs", inline("summarise", "a"), key("k1"))
	})
	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		req := w.request(call{method: http.MethodPost, path: "/workflow-runs/" + two + "/retry-failed", token: w.admin})
		req.Header["Idempotency-Key"] = []string{"k2", "k3"}
		return w.exchange(req)
	})
	require.Equal(t, []string{"Idempotency-Key"}, got.fields())
}

func TestRetryFailedEnqueueFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("fail-a", "b")
	before := w.get(w.admin, "/workflow-runs/"+id)
	w.queue.fail(errors.New("the broker at 10.0.0.7 is down"))
	got := w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.text())
	require.Equal(t, "enqueue_failed", got.str("code"))
	require.Equal(t, id, got.str("run"))
	require.NotContains(t, got.text(), "10.0.0.7")

	after := w.get(w.admin, "/workflow-runs/"+id)
	require.Equal(t, 1, after.int("attempt"), "the number stays used")
	expected := before.json()
	expected["attempt"] = 1.
	require.Equal(t, expected, after.json(), "all else is what it was")
	require.Equal(t, 96, w.get(w.admin, "/balance").int("available"))
}

// Of many Continues at the same moment one wins, through the real listener.
func TestRetryFailedConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("fail-a", "fail-b", "c")
	const callers = 20
	requests := make([]*http.Request, callers)
	statuses, errs := make([]int, callers), make([]error, callers)
	for i := range requests {
		requests[i] = w.request(call{method: http.MethodPost, path: "/workflow-runs/" + id + "/retry-failed", token: w.admin})
	}
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, req := range requests {
		all.Go(func() {
			<-start
			resp, err := w.client.Do(req)
			if err != nil {
				errs[i] = err
				return
			}
			statuses[i], errs[i] = resp.StatusCode, resp.Body.Close()
		})
	}
	close(start)
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	won := 0
	for _, status := range statuses {
		if status == http.StatusOK {
			won++
			continue
		}
		require.Equal(t, http.StatusConflict, status)
	}
	require.Equal(t, 1, won)
	require.Equal(t, 90, w.get(w.admin, "/balance").int("available"), "charged once")
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a", "fail-b")
	w.script.heal()
	w.clock.Advance(time.Hour)
	require.Equal(t, http.StatusOK, w.post(w.platform, "/workflow-runs/"+id+"/retry-failed", nil).status)
	w.work()
	got := w.get(w.user, "/workflow-runs/"+id+"/receipt")
	require.Equal(t, http.StatusOK, got.status)
	require.JSONEq(t, `{"run":"`+id+`","templateVersion":1,"total":{"monthly":6,"purchased":0},"attempts":[
		{"attempt":0,"requestedBy":{"subject":"ann","role":"customer_admin"},"requestedAt":"2026-11-15T12:00:00Z","jobs":2,"pricePerFile":2,
		 "charge":{"entry":"charge/`+id+`/0","period":"2026-11","split":{"monthly":4,"purchased":0}},
		 "files":[{"index":0,"kind":"charged","why":"initiated","credits":2},{"index":1,"kind":"charged","why":"initiated","credits":2}]},
		{"attempt":1,"requestedBy":{"subject":"pat","role":"bubble_admin"},"requestedAt":"2026-11-15T13:00:00Z","jobs":1,"pricePerFile":2,
		 "charge":{"entry":"charge/`+id+`/1","period":"2026-11","split":{"monthly":2,"purchased":0}},
		 "files":[{"index":1,"kind":"charged","why":"failed_before","credits":2}]}],"amendments":[]}`, got.text())
	require.Equal(t, "run_not_found", w.get(w.user, "/workflow-runs/unknown/receipt").str("code"))
}
