package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// actions are the actions of a page of the audit log.
func (a answer) actions() (list []string) {
	for _, e := range a.at("events").([]any) {
		list = append(list, e.(map[string]any)["action"].(string))
	}
	return list
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seeded := len(w.get(w.platform, "/audit-log?tenant=acme").actions())
	created := w.post(w.platform, "/tenants", `{"id":"new","name":"New","monthlyAllowance":5}`, header("X-Request-Id", "the-request"))
	require.Equal(t, http.StatusCreated, created.status, created.text())
	bought := w.post(w.platform, "/tenants/acme/purchases", `{"amount":7}`, key("k"))
	require.Equal(t, http.StatusCreated, bought.status, bought.text())
	require.Equal(t, bought.text(), w.post(w.platform, "/tenants/acme/purchases", `{"amount":7}`, key("k")).text(), "a repeat is recorded once")
	require.Equal(t, http.StatusCreated, w.post(w.platform, "/tenants/acme/allowances", `{"period":"2026-11","amount":3}`, key("l")).status)
	made := w.post(w.platform, "/templates?tenant=acme", `{"name":"n","instructions":"i","creditsPerRun":3,"mode":"per_file"}`)
	path := "/templates/" + made.str("id")
	for _, again := range []bool{false, true} { // what changes nothing is not recorded
		require.Equal(t, http.StatusOK, w.post(w.platform, path+"/publish?tenant=acme", nil).status, again)
	}
	require.Equal(t, http.StatusOK, w.write(http.MethodPatch, w.platform, path+"?tenant=acme", `{"creditsPerRun":4,"instructions":"j"}`).status)
	require.Equal(t, http.StatusOK, w.write(http.MethodDelete, w.platform, path+"?tenant=acme", nil).status)
	running := w.start("a.txt")
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+running+"/cancel", nil).status)
	require.Equal(t, http.StatusOK, w.write(http.MethodPatch, w.platform, "/workflow-runs/"+running, `{"maxRetryCount":9}`).status)

	all := w.get(w.platform, "/audit-log")
	require.Equal(t, http.StatusOK, all.status, all.text())
	want := []string{
		"run.max_retry_count_raised", "run.cancelled", "template.deleted", "template.changed", "template.published", "template.created",
		"credits.allowance_granted", "credits.purchased",
	}
	require.Equal(t, want, w.get(w.platform, "/audit-log?tenant=acme").actions()[:len(want)])
	require.Subset(t, all.actions(), append(want, "tenant.created"))
	require.Len(t, all.actions(), len(w.get(w.admin, "/audit-log").actions())+len(w.get(w.stranger, "/audit-log").actions())+1)
	of := func(action string) answer {
		t.Helper()
		found := w.get(w.platform, "/audit-log?tenant=acme&action="+action+"&limit=1")
		require.Len(t, found.actions(), 1, found.text())
		return found
	}
	raised := of("run.max_retry_count_raised")
	require.Equal(t, running, raised.str("events", 0, "target"))
	require.Equal(t, "9", raised.str("events", 0, "facts", "to"))
	require.Equal(t, "pat", raised.str("events", 0, "actor", "subject"))
	require.Equal(t, raised.at("events", 0, "requestId"), w.get(w.platform, "/audit-log?target="+running+"&action=run.max_retry_count_raised").at("events", 0, "requestId"))
	require.Equal(t, "the-request", w.get(w.platform, "/audit-log?target=new").str("events", 0, "requestId"))
	require.Equal(t, map[string]any{"creditsPerRunFrom": "3", "creditsPerRunTo": "4", "version": "2"}, of("template.changed").at("events", 0, "facts"))
	require.Equal(t, bought.str("key"), of("credits.purchased").str("events", 0, "target"))
	cancelled := w.get(w.admin, "/audit-log?actor=ann")
	require.Equal(t, []string{"run.cancelled"}, cancelled.actions(), cancelled.text())

	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		list := w.get(w.admin, "/audit-log").at("events").([]any)
		require.Len(t, list, seeded+8)
		var got []any
		for cursor := ""; ; {
			page := w.get(w.admin, "/audit-log?limit=2&cursor="+cursor)
			require.Equal(t, http.StatusOK, page.status, page.text())
			got = append(got, page.at("events").([]any)...)
			next, more := page.json()["nextCursor"].(string)
			if !more {
				break
			}
			cursor = next
		}
		require.Equal(t, list, got)
		require.Empty(t, w.get(w.admin, "/audit-log?to=2026-11-15").at("events"))
		require.Len(t, w.get(w.admin, "/audit-log?from=2026-11-15").at("events"), len(list))
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		for _, q := range []string{"limit=0", "limit=501", "from=now", "to=x", "cursor=x", "action=%00", "actor=a&actor=b", "target=" + fmt.Sprintf("%0301d", 0)} {
			w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.admin, "/audit-log?"+q) })
		}
		w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.get(w.user, "/audit-log") })
		w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.admin, "/audit-log?tenant=globex") })
		w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.get(w.platform, "/audit-log?tenant=unknown") })
		w.refused(http.StatusUnauthorized, "unauthenticated", func() answer { return w.get("", "/audit-log") })
	})
}
