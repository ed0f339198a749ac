package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestSuspendTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	failed := w.closed("fail-a.txt", "b.txt")
	suspended := w.post(w.platform, "/tenants/acme/suspend", `{"reason":"invoice 17 is unpaid"}`)
	require.Equal(t, http.StatusOK, suspended.status, suspended.text())
	require.Equal(t, "invoice 17 is unpaid", suspended.str("suspendedReason"))
	require.Equal(t, "2026-11-15T12:00:00Z", suspended.str("suspendedAt"))
	require.Equal(t, suspended.text(), w.post(w.platform, "/tenants/acme/suspend", `{"reason":"invoice 17 is unpaid"}`).text())
	require.Equal(t, suspended.text(), w.get(w.user, "/tenants/acme").text())
	require.Equal(t, true, w.get(w.user, "/balance").at("suspended"))

	for _, ask := range []func() answer{
		func() answer { return w.post(w.user, "/workflow-runs", inline("summarise", "a")) },
		func() answer { return w.post(w.admin, "/workflow-runs/"+failed+"/retry-failed", nil) },
		func() answer { return w.post(w.platform, "/workflow-runs/"+failed+"/retry-failed", nil) },
	} {
		w.refused(http.StatusForbidden, core.CodeTenantSuspended, ask)
	}
	require.Equal(t, "tenant_suspended", w.get(w.admin, "/workflow-runs/"+failed+"/retry-failed").str("refusal", "code"))
	require.Equal(t, http.StatusOK, w.get(w.user, "/workflow-runs/"+failed).status, "everything can be read")

	reopened := w.post(w.platform, "/tenants/acme/reopen", nil)
	require.Equal(t, http.StatusOK, reopened.status, reopened.text())
	require.NotContains(t, reopened.text(), "suspended")
	require.NotContains(t, w.get(w.user, "/balance").text(), "suspended")
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+failed+"/retry-failed", nil).status)

	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, "/tenants/acme/suspend", `{}`) })
	require.Equal(t, []string{"reason"}, got.fields())
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.post(w.platform, "/tenants/acme/suspend", `{"reason":"`+strings.Repeat("x", 501)+`"}`)
	})
	for _, path := range []string{"/tenants/acme/suspend", "/tenants/acme/reopen"} {
		for _, token := range []string{w.admin, w.user} {
			w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.post(token, path, nil) })
		}
		w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.post(w.stranger, path, nil) })
	}
	w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.post(w.platform, "/tenants/unknown/reopen", nil) })
	w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.post(w.platform, "/tenants/unknown/suspend", `{"reason":"r"}`) })
}

func TestChangeTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	changed := w.write(http.MethodPatch, w.platform, "/tenants/acme", `{"name":"Acme Ltd","monthlyAllowance":500}`)
	require.Equal(t, http.StatusOK, changed.status, changed.text())
	require.Equal(t, "Acme Ltd", changed.str("name"))
	require.Equal(t, 500, changed.int("monthlyAllowance"))
	require.Equal(t, changed.text(), w.write(http.MethodPatch, w.platform, "/tenants/acme", `{}`).text())
	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodPatch, w.platform, "/tenants/acme", `{"name":"","monthlyAllowance":-1}`)
	})
	require.Equal(t, []string{"name", "monthlyAllowance"}, got.fields())
	got = w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodPatch, w.platform, "/tenants/acme", `{"id":"other"}`)
	})
	require.Equal(t, []string{"id"}, got.fields())
	w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.write(http.MethodPatch, w.admin, "/tenants/acme", `{"name":"x"}`) })
	w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.write(http.MethodPatch, w.stranger, "/tenants/acme", `{"name":"x"}`) })
	w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.write(http.MethodPatch, w.platform, "/tenants/unknown", `{"name":"x"}`) })
}
