package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestInitiate(t *testing.T) {
	t.Parallel()

	template := formPart{field: "template", content: "summarise"}
	retries := formPart{field: "maxRetryCount", content: "5"}
	one, two := formPart{"files", "one.txt", "first text"}, formPart{"files", "two.txt", "second text"}

	forms := map[string]struct {
		path  string
		parts []formPart
	}{
		"MultipartFieldsFirst": {"/workflow-runs", []formPart{template, retries, one, two}},
		"MultipartRetriesLast": {"/workflow-runs", []formPart{template, one, two, retries}},
		"MultipartQuery":       {"/workflow-runs?template=summarise", []formPart{one, two, retries}},
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			got := w.form(w.user, form.path, form.parts)
			require.Equal(t, http.StatusCreated, got.status, got.text())
			w.checkTwoFiles(got, 5)
		})
	}

	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		body := `{"template":"summarise","maxRetryCount":5,"files":[{"name":"one.txt","text":"first text"},{"name":"two.txt","text":"second text"}]}`
		got := w.post(w.user, "/workflow-runs", body)
		require.Equal(t, http.StatusCreated, got.status, got.text())
		w.checkTwoFiles(got, 5)
	})

	t.Run("JSONWithoutWhatIsOptional", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		got := w.post(w.user, "/workflow-runs?template=summarise",
			`{"maxRetryCount":null,"files":[{"name":"one.txt","text":"first text"},{"name":"two.txt","text":"second text"}]}`)
		require.Equal(t, http.StatusCreated, got.status, got.text())
		w.checkTwoFiles(got, 3)
	})

	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.template("all", 1, core.ModeBatch)
		got := w.post(w.user, "/workflow-runs", inline("all", "a", "b", "c"))
		require.Equal(t, http.StatusCreated, got.status, got.text())
		require.Equal(t, 1, got.int("totalJobs"))
		jobs := w.queue.Waiting()
		require.Len(t, jobs, 1)
		require.NotEmpty(t, jobs[0].Trace)
		require.Equal(t, core.Job{
			Tenant: acme, Run: core.RunID(got.str("id")), Epoch: 1, ID: core.JobID(got.str("id")), Template: "all", Files: []int{0, 1, 2},
			Trace: jobs[0].Trace,
		}, jobs[0])
	})

	t.Run("PlatformAdminForTenant", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		got := w.post(w.platform, "/workflow-runs?tenant=acme", inline("summarise", "a"))
		require.Equal(t, http.StatusCreated, got.status, got.text())
		require.Equal(t, "acme", got.str("tenant"))
		require.Equal(t, map[string]any{"subject": "pat", "role": "bubble_admin"}, got.at("createdBy"))
		none := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			return w.post(w.platform, "/workflow-runs", inline("summarise", "a"))
		})
		require.Equal(t, []string{"tenant"}, none.fields())
	})
}

// checkTwoFiles works the run and checks every read of it.
func (w *world) checkTwoFiles(created answer, maxRetryCount int) {
	t := w.t
	t.Helper()
	id := created.str("id")
	require.Equal(t, "/workflow-runs/"+id, created.header.Get("Location"))
	require.Equal(t, "RUNNING", created.str("status"))
	require.Equal(t, maxRetryCount, created.int("maxRetryCount"))
	require.Equal(t, 4, created.int("creditsConsumed"))
	require.Equal(t, map[string]any{"ok": false, "code": "run_already_running", "reason": "the run is running; wait until it has closed"}, created.at("continuable"))
	w.work()
	run := w.get(w.user, created.header.Get("Location"))
	require.Equal(t, "COMPLETED", run.str("status"))
	require.Equal(t, []any{
		map[string]any{"index": 0., "name": "one.txt", "size": 10., "status": "completed", "retryAttempt": 0., "freeRetries": 0., "outputBytes": 10., "outputUrl": "/workflow-runs/" + id + "/files/0/output", "output": "FIRST TEXT"},
		map[string]any{"index": 1., "name": "two.txt", "size": 11., "status": "completed", "retryAttempt": 0., "freeRetries": 0., "outputBytes": 11., "outputUrl": "/workflow-runs/" + id + "/files/1/output", "output": "SECOND TEXT"},
	}, run.at("files"))
}

func TestInitiateIdempotency(t *testing.T) {
	t.Parallel()
	body := inline("summarise", "a", "b")

	t.Run("RepeatReturnsTheFirstAnswer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first := w.post(w.user, "/workflow-runs", body, key("k1"))
		require.Equal(t, http.StatusCreated, first.status)
		w.work()
		before := w.state()
		again := w.post(w.user, "/workflow-runs", body, key("k1"))
		require.Equal(t, http.StatusCreated, again.status)
		require.JSONEq(t, first.text(), again.text())
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))

		parts := []formPart{
			{field: "template", content: "summarise"},
			{"files", "a", "text of a"},
			{"files", "b", "text of b"},
		}
		form := w.form(w.user, "/workflow-runs", parts, key("k1"))
		require.JSONEq(t, first.text(), form.text(), "the request is the same as a form and as JSON")
		require.Equal(t, before, w.state(), "a repeat has changed something")
	})

	t.Run("AnotherBodyIsRefused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		require.Equal(t, http.StatusCreated, w.post(w.user, "/workflow-runs", body, key("k1")).status)
		for name, other := range map[string]map[string]any{
			"other files":    inline("summarise", "a", "c"),
			"other template": inline("other", "a", "b"),
			"other retries":  {"template": "summarise", "maxRetryCount": 4, "files": body["files"]},
		} {
			t.Log(name)
			w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
				return w.post(w.user, "/workflow-runs", other, key("k1"))
			})
		}
	})

	t.Run("ARefusalIsRepeatedToo", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.template("dear", 51, core.ModePerFile) // enough for one file, as it turns out
		dear := []formPart{{field: "template", content: "dear"}, {"files", "a", "x"}, {"files", "b", "y"}}
		first := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, func() answer {
			return w.form(w.user, "/workflow-runs", dear, key("k1"))
		})
		_, err := w.svc.PurchaseCredits(t.Context(), core.System, acme, "more", 10_000)
		require.NoError(t, err)
		again := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, func() answer {
			return w.form(w.user, "/workflow-runs", dear, key("k1"))
		})
		require.Equal(t, first.int("available"), again.int("available"))
	})

	// So is a refusal from before the files were read, as a form and as JSON.
	t.Run("ARefusalBeforeTheUploadIsRepeatedToo", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.template("dear", 1000, core.ModePerFile)
		w.template("other", 1000, core.ModePerFile)
		dear := inline("dear", "a")
		first := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, func() answer {
			return w.post(w.user, "/workflow-runs", dear, key("k1"))
		})
		_, err := w.svc.PurchaseCredits(t.Context(), core.System, acme, "more", 10_000)
		require.NoError(t, err)
		for _, ask := range []func() answer{
			func() answer { return w.post(w.user, "/workflow-runs", dear, key("k1")) },
			func() answer {
				return w.form(w.user, "/workflow-runs", []formPart{{field: "template", content: "dear"}, {"files", "a", "text of a"}}, key("k1"))
			},
		} {
			again := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, ask)
			require.Equal(t, first.int("available"), again.int("available"))
		}
		w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
			return w.post(w.user, "/workflow-runs", inline("other", "a"), key("k1"))
		})
		require.Equal(t, http.StatusCreated, w.post(w.user, "/workflow-runs", dear, key("k2")).status)
	})

	// The repeat is compared and not stored, although template and credits have changed.
	t.Run("ARepeatIsAnsweredWhenItCouldNotBeMade", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.template("dear", 51, core.ModePerFile)
		parts := []formPart{{field: "template", content: "dear"}, {"files", "a", "text"}}
		first := w.form(w.user, "/workflow-runs", parts, key("k1"))
		require.Equal(t, http.StatusCreated, first.status, first.text())
		_, err := w.svc.DeleteTemplate(t.Context(), core.System, acme, "dear")
		require.NoError(t, err)
		before, written := w.state(), w.files.written()
		again := w.form(w.user, "/workflow-runs", parts, key("k1"))
		require.JSONEq(t, first.text(), again.text())
		require.Equal(t, before, w.state())
		require.Equal(t, written, w.files.written())
		parts[1].content = "another text"
		w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
			return w.form(w.user, "/workflow-runs", parts, key("k1"))
		})
	})

	t.Run("BadKeys", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, bad := range []string{"", "two words", strings.Repeat("k", 256), "käse"} {
			got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
				return w.post(w.user, "/workflow-runs", body, key(bad))
			})
			require.Equal(t, []string{"Idempotency-Key"}, got.fields(), bad)
		}
	})
}

func TestInitiateRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.svc.CreateTemplate(t.Context(), core.System, core.Template{ID: "draft", Tenant: acme, Name: "Draft", Mode: core.ModeBatch})
	require.NoError(t, err)
	w.template("gone", 1, core.ModePerFile)
	_, err = w.svc.DeleteTemplate(t.Context(), core.System, acme, "gone")
	require.NoError(t, err)
	w.template("dear", 51, core.ModePerFile)
	w.template("dearest", 1<<62, core.ModePerFile)

	// One after another: each compares the whole state.
	for _, c := range []struct {
		name   string
		token  string
		query  string
		body   any
		status int
		code   core.Code
		fields []string
	}{
		{"insufficient credits", w.user, "", inline("dear", "a", "b"), 402, core.CodeInsufficientCredits, nil},
		{"price overflow", w.user, "", inline("dearest", "a", "b"), 400, core.CodeCreditsOutOfRange, nil},
		{"unknown template", w.user, "", inline("unknown", "a"), 404, core.CodeTemplateNotFound, nil},
		{"draft", w.user, "", inline("draft", "a"), 409, core.CodeTemplateNotPublished, nil},
		{"deleted template", w.user, "", inline("gone", "a"), 409, core.CodeTemplateDeleted, nil},
		{"no files", w.user, "", inline("summarise"), 400, core.CodeInvalidRequest, []string{"files"}},
		{"template in two places", w.user, "?template=summarise", inline("summarise", "a"), 400, core.CodeInvalidRequest, []string{"template"}},
		{"template that cannot be", w.user, "", inline("a/b", "a"), 400, core.CodeInvalidRequest, []string{"template"}},
		{"another tenant", w.user, "?tenant=globex", inline("summarise", "a"), 403, core.CodeWrongTenant, nil},
		{"a tenant that cannot be", w.user, "?tenant=%00", inline("summarise", "a"), 403, core.CodeWrongTenant, nil},
		{"unknown tenant", w.platform, "?tenant=unknown", inline("summarise", "a"), 404, core.CodeTenantNotFound, nil},
		{"a tenant that cannot be, as admin", w.platform, "?tenant=%00", inline("summarise", "a"), 404, core.CodeTenantNotFound, nil},
		{"retries too low", w.user, "", `{"template":"summarise","maxRetryCount":0,"files":[{"name":"a","text":""}]}`, 400, core.CodeInvalidRequest, []string{"maxRetryCount"}},
		{"retries too high", w.user, "", `{"template":"summarise","maxRetryCount":11,"files":[{"name":"a","text":""}]}`, 400, core.CodeInvalidRequest, []string{"maxRetryCount"}},
		{"names", w.user, "", `{"template":"summarise","files":[{"name":"a","text":""},{"name":"","text":""}]}`, 400, core.CodeInvalidRequest, []string{"files[1].name"}},
		{"no template", w.user, "", `{"files":[{"name":"a","text":""}]}`, 400, core.CodeInvalidRequest, []string{"template"}},
	} {
		t.Log(c.name)
		got := w.refused(c.status, c.code, func() answer { return w.post(c.token, "/workflow-runs"+c.query, c.body) })
		require.Equal(t, c.fields, got.fields())
	}
	require.Empty(t, w.state().Tenants[acme].Runs)
}

func TestInitiateEnqueueFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue.fail(errors.New("the broker at 10.0.0.7 is down"))
	entries := len(w.state().Tenants[acme].Entries)

	got := w.post(w.user, "/workflow-runs", inline("summarise", "a", "b"), key("k1"))
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.text())
	require.Equal(t, string(core.CodeEnqueueFailed), got.str("code"))
	require.NotContains(t, got.text(), "10.0.0.7", "the cause is for the log alone")
	require.Contains(t, w.logs.String(), "10.0.0.7")
	id := got.str("run")

	run := w.get(w.user, "/workflow-runs/"+id)
	require.Equal(t, "FAILED", run.str("status"))
	require.Equal(t, "dispatch_failed", run.str("reason"))
	require.Equal(t, "failed", run.str("files", 0, "status"))
	require.Equal(t, "dispatch_failed", run.str("files", 0, "failure", "code"))
	require.Equal(t, true, run.at("continuable", "ok"))
	require.Equal(t, 0, run.int("creditsConsumed"))
	require.Equal(t, 100, w.get(w.user, "/balance").int("available"), "refunded")
	require.Len(t, w.state().Tenants[acme].Entries, entries+2, "one charge and one refund")

	receipt := w.get(w.user, "/workflow-runs/"+id+"/receipt")
	require.Equal(t, "refunded", receipt.str("attempts", 0, "files", 1, "kind"))
	require.Equal(t, "dispatch_failed", receipt.str("attempts", 0, "files", 1, "why"))
	require.Equal(t, "refund/"+id+"/0", receipt.str("attempts", 0, "refundEntry"))

	w.queue.fail(nil)
	before := w.state()
	again := w.post(w.user, "/workflow-runs", inline("summarise", "a", "b"), key("k1"))
	require.Equal(t, http.StatusServiceUnavailable, again.status, "the repeat gets the first answer")
	require.Equal(t, id, again.str("run"))
	require.Equal(t, before, w.state())

	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil).status)
	w.work()
	require.Equal(t, "COMPLETED", w.get(w.user, "/workflow-runs/"+id).str("status"))
	require.Equal(t, 96, w.get(w.user, "/balance").int("available"), "charged once for what ran once")
}

func TestUploadLimits(t *testing.T) {
	t.Parallel()
	limits := func(o *options) {
		o.app.MaxFiles, o.api.MaxFileBytes, o.api.MaxUploadBytes = 3, 100, 2000
	}
	template := formPart{field: "template", content: "summarise"}
	file := func(n int) formPart { return formPart{"files", "f", strings.Repeat("x", n)} }
	// Nothing of these may be left behind, and the next request is served as ever.
	for _, c := range []struct {
		name   string
		parts  []formPart
		status int
		code   core.Code
		fields []string
	}{
		{"file at its limit", []formPart{template, file(100)}, 201, "", nil},
		{"file over its limit", []formPart{template, file(1), file(101)}, 413, "payload_too_large", []string{"files[1]"}},
		{"all together over the limit", []formPart{template, file(100), {field: "maxRetryCount", content: strings.Repeat(" ", 1020) + "3"}, file(100), file(100)}, 413, "payload_too_large", nil},
		{"as many files as allowed", []formPart{template, file(1), file(2), file(3)}, 201, "", nil},
		{"too many files", []formPart{template, file(1), file(2), file(3), file(4)}, 400, core.CodeInvalidRequest, []string{"files"}},
		{"no files", []formPart{template}, 400, core.CodeInvalidRequest, []string{"files"}},
		{"empty file", []formPart{template, file(0)}, 201, "", nil},
		{"a field too long", []formPart{{field: "template", content: strings.Repeat("t", 1025)}, file(1)}, 400, core.CodeInvalidRequest, []string{"template"}},
		{"template twice", []formPart{template, template, file(1)}, 400, core.CodeInvalidRequest, []string{"template"}},
		{"retries twice", []formPart{template, {field: "maxRetryCount", content: "1"}, {field: "maxRetryCount", content: "1"}, file(1)}, 400, core.CodeInvalidRequest, []string{"maxRetryCount"}},
		{"retries no number", []formPart{template, {field: "maxRetryCount", content: "three"}, file(1)}, 400, core.CodeInvalidRequest, []string{"maxRetryCount"}},
		{"retries beyond any number", []formPart{template, {field: "maxRetryCount", content: "9223372036854775807"}, file(1)}, 400, core.CodeInvalidRequest, []string{"maxRetryCount"}},
		{"no template", []formPart{file(1)}, 400, core.CodeInvalidRequest, []string{"template"}},
		{"template after the files", []formPart{file(1), template}, 400, core.CodeInvalidRequest, []string{"template"}},
		{"unknown field", []formPart{template, {field: "prize", content: "1"}, file(1)}, 400, core.CodeInvalidRequest, []string{"prize"}},
		{"file without a name", []formPart{template, {field: "files", content: "text"}}, 400, core.CodeInvalidRequest, []string{"files[0]"}},
		{"part without a name", []formPart{template, {field: "", content: "text"}}, 400, core.CodeInvalidRequest, []string{"body"}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, limits)
			send := func() answer { return w.form(w.user, "/workflow-runs", c.parts) }
			if c.status == http.StatusCreated {
				got := send()
				require.Equal(t, c.status, got.status, got.text())
				return
			}
			require.Equal(t, c.fields, w.refused(c.status, c.code, send).fields())
			require.LessOrEqual(t, w.files.written(), 3, "an upload ends where its limit is")
		})
	}

	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, limits)
		body := func(sizes ...int) map[string]any {
			var files []map[string]any
			for i, n := range sizes {
				files = append(files, map[string]any{"name": fmt.Sprint("f", i), "text": strings.Repeat("x", n)})
			}
			return map[string]any{"template": "summarise", "files": files}
		}
		require.Equal(t, http.StatusCreated, w.post(w.user, "/workflow-runs", body(100, 1, 2)).status)
		got := w.refused(413, "payload_too_large", func() answer { return w.post(w.user, "/workflow-runs", body(1, 101)) })
		require.Equal(t, []string{"files[1]"}, got.fields())
		got = w.refused(400, core.CodeInvalidRequest, func() answer { return w.post(w.user, "/workflow-runs", body(1, 1, 1, 1)) })
		require.Equal(t, []string{"files"}, got.fields())
		w.refused(413, "payload_too_large", func() answer { return w.post(w.user, "/workflow-runs", body(2000)) })
		require.Equal(t, 3, w.files.kept(), "nothing of what was refused")
	})
}

// An upload without a Content-Length is refused while it is read, at the file that
// reaches the limit.
func TestUploadWithoutLength(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]formPart{
		"InAFile":      {{field: "template", content: "summarise"}, {"files", "a", strings.Repeat("x", 5000)}},
		"InAField":     {{field: "template", content: "summarise"}, {"files", "a", strings.Repeat("x", 1100)}, {field: "maxRetryCount", content: strings.Repeat("x", 1020)}},
		"BetweenParts": {{field: "template", content: "summarise"}, {"files", "a", strings.Repeat("x", 1300)}, {"files", strings.Repeat("n", 1000), "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *options) { o.api.MaxUploadBytes = 2000 })
			body, contentType := formBody(t, parts)
			got := w.refused(http.StatusRequestEntityTooLarge, "payload_too_large", func() answer {
				req := w.request(call{method: http.MethodPost, path: "/workflow-runs", token: w.user, contentType: contentType, body: body})
				req.ContentLength = -1
				return w.exchange(req)
			})
			require.Contains(t, got.str("detail"), "2000 bytes")
			require.Empty(t, got.fields())
		})
	}
}

// A file that cannot be stored is a fault of the server and not the client's mistake.
func TestUploadNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.files.fail(fmt.Errorf("disk 7 of host 10.0.0.8: %w", ports.ErrUnavailable))
	parts := []formPart{{field: "template", content: "summarise"}, {"files", "a", "text"}}
	for _, ask := range []func() answer{
		func() answer { return w.form(w.user, "/workflow-runs", parts) },
		func() answer { return w.post(w.user, "/workflow-runs", inline("summarise", "a")) },
	} {
		got := w.refused(http.StatusServiceUnavailable, "unavailable", ask)
		require.NotContains(t, got.text(), "10.0.0.8")
	}
}

func TestUploadBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole, contentType := formBody(t, []formPart{{field: "template", content: "summarise"}, {"files", "a", "text"}})

	for _, c := range []struct {
		name, contentType string
		body              []byte
		header            []option
		status            int
		code              core.Code
	}{
		{"cut inside a file", contentType, whole[:len(whole)-70], nil, 400, core.CodeInvalidRequest},
		{"cut before the last boundary", contentType, whole[:len(whole)-4], nil, 400, core.CodeInvalidRequest},
		{"cut inside a field", contentType, whole[:len(whole)/3], nil, 400, core.CodeInvalidRequest},
		{"nothing at all", contentType, []byte{}, nil, 400, core.CodeInvalidRequest},
		{"no boundary", "multipart/form-data", whole, nil, 400, core.CodeInvalidRequest},
		{"another boundary", "multipart/form-data; boundary=other", whole, nil, 400, core.CodeInvalidRequest},
		{"compressed", contentType, whole, []option{header("Content-Encoding", "gzip")}, 415, "unsupported_media_type"},
		{"compressed JSON", "application/json", []byte("{}"), []option{header("Content-Encoding", "gzip")}, 415, "unsupported_media_type"},
		{"text", "text/plain", []byte("text"), nil, 415, "unsupported_media_type"},
		{"no content type", "", []byte("{}"), nil, 415, "unsupported_media_type"},
		{"unreadable content type", "a/b; c", []byte("{}"), nil, 415, "unsupported_media_type"},
		{"another charset", "application/json; charset=latin1", []byte("{}"), nil, 415, "unsupported_media_type"},
	} {
		t.Log(c.name)
		w.refused(c.status, c.code, func() answer {
			return w.send(call{method: http.MethodPost, path: "/workflow-runs", token: w.user, body: c.body, contentType: c.contentType}, c.header...)
		})
	}
	got := w.send(call{method: http.MethodPost, path: "/workflow-runs", token: w.user, body: whole, contentType: contentType})
	require.Equal(t, http.StatusCreated, got.status, "the same, whole: %s", got.text())
}
