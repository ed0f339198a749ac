package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// drive does what a server's loop does with bulk continues, and works the jobs.
func (w *world) drive() {
	w.t.Helper()
	d := w.svc.NewBulkDriver("test")
	for range 10 {
		_, err := d.Pass(w.t.Context())
		require.NoError(w.t, err)
		w.work()
		w.clock.Advance(time.Second)
	}
	require.NoError(w.t, d.Release(w.t.Context()))
}

func TestBulkContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runs := []string{w.closed("fail-1", "a"), w.closed("fail-2"), w.closed("b")}
	w.script.heal()
	body := fmt.Sprintf(`{"runs":[%q,%q,%q],"maxPrice":4,"runsPerMinute":6000,"canary":{"maxFailedPercent":10},"stop":{"maxFailedPercent":50}}`, runs[0], runs[1], runs[2])

	preview := w.post(w.admin, "/bulk-continues/preview", body)
	require.Equal(t, http.StatusOK, preview.status, preview.text())
	require.Equal(t, 3, preview.int("runs"))
	require.Equal(t, 2, preview.int("accepted"))
	require.Equal(t, 4, preview.int("price"))
	require.Equal(t, []any{map[string]any{"code": "no_errors_to_retry", "runs": 1.0, "reason": "every file completed; there are no errors to retry"}}, preview.at("refusedBy"))
	require.Len(t, preview.at("refusedRuns"), 1)

	made := w.post(w.admin, "/bulk-continues", body, key("k"))
	require.Equal(t, http.StatusCreated, made.status, made.text())
	require.Empty(t, made.header.Get("Idempotency-Replayed"))
	path := made.header.Get("Location")
	require.Equal(t, "/bulk-continues/"+made.str("id"), path)
	require.Equal(t, "running", made.str("state"))
	again := w.post(w.admin, "/bulk-continues", body, key("k"))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, made.str("id"), again.str("id"))
	w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
		return w.post(w.admin, "/bulk-continues", `{}`, key("k"))
	})

	require.Equal(t, "paused", w.post(w.admin, path+"/pause", nil).str("state"))
	w.drive()
	require.Equal(t, 3, w.get(w.user, path).int("progress", "waiting"))
	require.Equal(t, "running", w.post(w.admin, path+"/resume?maxPrice=5", nil).str("state"))
	w.drive()
	done := w.get(w.user, path)
	require.Equal(t, http.StatusOK, done.status, done.text())
	require.Equal(t, "finished", done.str("state"))
	require.Equal(t, 2, done.int("progress", "continued"))
	require.Equal(t, 4, done.int("progress", "price"))
	for _, change := range []string{"/pause", "/resume", "/abort"} {
		w.refused(http.StatusConflict, core.CodeBulkEnded, func() answer { return w.post(w.admin, path+change, nil) })
	}

	page := w.get(w.user, path+"/runs?limit=2")
	require.Equal(t, http.StatusOK, page.status, page.text())
	require.Len(t, page.at("runs"), 2)
	rest := w.get(w.user, path+"/runs?limit=2&cursor="+page.str("nextCursor"))
	require.Len(t, rest.at("runs"), 1)
	refused := w.get(w.user, path+"/runs?state=refused")
	require.Equal(t, runs[2], refused.str("runs", 0, "run"))
	require.Equal(t, "no_errors_to_retry", refused.str("runs", 0, "code"))
	for _, run := range runs {
		require.Equal(t, "COMPLETED", w.get(w.user, "/workflow-runs/"+run).str("status"))
	}

	second := w.post(w.admin, "/bulk-continues", fmt.Sprintf(`{"runs":[%q]}`, runs[0]))
	require.Equal(t, "aborted", w.post(w.admin, "/bulk-continues/"+second.str("id")+"/abort", nil).str("state"))
	list := w.get(w.user, "/bulk-continues?limit=1")
	require.Equal(t, http.StatusOK, list.status, list.text())
	require.Equal(t, second.str("id"), list.str("bulkContinues", 0, "id"))
	older := w.get(w.user, "/bulk-continues?cursor="+list.str("nextCursor"))
	require.Equal(t, made.str("id"), older.str("bulkContinues", 0, "id"))
	require.Empty(t, w.get(w.user, "/bulk-continues?unended=true").at("bulkContinues"))
	require.Empty(t, w.get(w.stranger, "/bulk-continues").at("bulkContinues"))
}

func TestBulkContinueOfAllTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.closed("fail-1")
	w.script.heal()
	made := w.post(w.platform, "/bulk-continues?allTenants=true", `{"failureCode":"`+w.get(w.platform, "/workflow-runs?tenant=acme").str("runs", 0, "id")+`"}`)
	require.Equal(t, "bulk_empty", made.str("code"), "no file has such a code")
	made = w.post(w.platform, "/bulk-continues?allTenants=true", `{"status":["FAILED"],"from":"2026-11-01","to":"2026-12-01T00:00:00Z"}`)
	require.Equal(t, http.StatusCreated, made.status, made.text())
	w.drive()
	done := w.get(w.platform, "/bulk-continues/"+made.str("id"))
	require.Equal(t, "acme", done.str("tenants", 0, "tenant"))
	require.Equal(t, 1, done.int("tenants", 0, "continued"))
	require.Len(t, w.get(w.platform, "/bulk-continues?allTenants=true").at("bulkContinues"), 1)
	require.Empty(t, w.get(w.platform, "/bulk-continues?tenant=acme").at("bulkContinues"))
	for _, path := range []string{"/bulk-continues/" + made.str("id"), "/bulk-continues?allTenants=true"} {
		w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.get(w.admin, path) })
	}
	w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.post(w.admin, "/bulk-continues?allTenants=true", `{}`) })
}

func TestBulkContinueRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closed("fail-1")
	for _, path := range []string{"/bulk-continues", "/bulk-continues/preview"} {
		for _, c := range []struct {
			token, query, body string
			status             int
			code               core.Code
		}{
			{w.user, "", `{}`, http.StatusForbidden, core.CodeRoleNotAllowed},
			{w.stranger, "?tenant=acme", `{}`, http.StatusForbidden, core.CodeWrongTenant},
			{w.stranger, "", fmt.Sprintf(`{"runs":[%q]}`, run), http.StatusForbidden, core.CodeWrongTenant},
			{w.stranger, "", `{}`, http.StatusBadRequest, core.CodeBulkEmpty},
			{w.admin, "", `{"runs":["unknown"]}`, http.StatusNotFound, core.CodeRunNotFound},
			{w.admin, "", `{"runs":["a/b"]}`, http.StatusNotFound, core.CodeRunNotFound},
			{w.platform, "?tenant=nobody", `{}`, http.StatusNotFound, core.CodeTenantNotFound},
		} {
			w.refused(c.status, c.code, func() answer { return w.post(c.token, path+c.query, c.body) })
		}
		for body, field := range map[string]string{
			`{"maxPrice":-1}`: "maxPrice", `{"maxPrice":"1"}`: "maxPrice", `{"runsPerMinute":0}`: "runsPerMinute", `{"runsPerMinute":6001}`: "runsPerMinute",
			`{"canary":{"runs":0}}`: "canary.runs", `{"canary":{"x":0}}`: "canary.x", `{"canary":1}`: "canary", `{"stop":{"maxFailedPercent":101}}`: "stop.maxFailedPercent",
			`{"stop":{"minFiles":0}}`: "stop.minFiles", `{"status":["RUNNING"]}`: "status", `{"status":[]}`: "status", `{"status":[1]}`: "status[0]", `{"status":"FAILED"}`: "status",
			`{"from":"yesterday"}`: "from", `{"from":"2026-11-02","to":"2026-11-01"}`: "to", `{"allTenants":true}`: "allTenants", `{"tenant":"acme"}`: "tenant",
			`{"template":"a b"}`: "template", `{"unknown":1}`: "unknown", `{"runs":["x"],"template":"t"}`: "runs",
			`{"failureCode":"` + fmt.Sprintf("%065d", 0) + `"}`: "failureCode",
		} {
			got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.admin, path, body) })
			require.Equal(t, []string{field}, got.fields(), body)
		}
		for _, query := range []string{"", "?allTenants=true&tenant=acme"} {
			got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, path+query, `{}`) })
			require.Equal(t, []string{"tenant"}, got.fields())
		}
	}
	got := w.refused(http.StatusConflict, core.CodePriceChanged, func() answer { return w.post(w.admin, "/bulk-continues", `{"maxPrice":1}`) })
	require.Equal(t, 2, got.int("price"))

	for _, path := range []string{"/bulk-continues/unknown", "/bulk-continues/a%20b", "/bulk-continues/unknown/runs"} {
		w.refused(http.StatusNotFound, core.CodeBulkNotFound, func() answer { return w.get(w.admin, path) })
	}
	made := w.post(w.admin, "/bulk-continues", `{}`)
	path := "/bulk-continues/" + made.str("id")
	for _, change := range []string{"/pause", "/resume", "/abort"} {
		w.refused(http.StatusNotFound, core.CodeBulkNotFound, func() answer { return w.post(w.admin, "/bulk-continues/unknown"+change, nil) })
		w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.post(w.user, path+change, nil) })
		w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.post(w.stranger, path+change, nil) })
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.admin, path+change, `{"x":1}`) })
	}
	w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.stranger, path) })
	for _, query := range []string{
		"/bulk-continues?cursor=x", "/bulk-continues?limit=0", "/bulk-continues?unended=yes", "/bulk-continues?allTenants=1",
		path + "/runs?cursor=x", path + "/runs?state=x", path + "/runs?limit=1001",
	} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.admin, query) })
	}
}
