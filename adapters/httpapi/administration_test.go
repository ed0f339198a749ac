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

func TestRefundCharge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closed("fail-a.txt", "b.txt") // 2 files for 4 credits
	charge := w.get(w.admin, "/workflow-runs/"+run+"/receipt").str("attempts", 0, "charge", "entry")
	before := w.get(w.user, "/balance").int("available")
	const path = "/tenants/acme/refunds"
	body := `{"charge":"` + charge + `","amount":1,"reason":"The output was empty."}`
	refund := w.post(w.platform, path, body, key("k1"))
	require.Equal(t, http.StatusCreated, refund.status, refund.text())
	require.Equal(t, "The output was empty.", refund.str("reason"))
	require.Equal(t, charge, refund.str("charge"))
	require.Equal(t, refund.text(), w.post(w.platform, path, body, key("k1")).text())
	require.Equal(t, before+1, w.get(w.user, "/balance").int("available"))
	receipt := w.get(w.user, "/workflow-runs/"+run+"/receipt")
	require.Equal(t, any(refund.json()), receipt.at("attempts", 0, "refundsByHand", 0))
	require.Equal(t, 3, w.get(w.user, "/workflow-runs/"+run).int("creditsConsumed"))
	require.Equal(t, "credits.refunded", w.get(w.admin, "/audit-log?target="+refund.str("key")).str("events", 0, "action"))

	too := w.refused(http.StatusConflict, core.CodeRefundTooLarge, func() answer {
		return w.post(w.platform, path, `{"charge":"`+charge+`","amount":4,"reason":"r"}`, key("k2"))
	})
	require.Equal(t, 3, too.int("available"))
	w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
		return w.post(w.platform, path, `{"charge":"`+charge+`","amount":2,"reason":"r"}`, key("k1"))
	})
	rest := w.post(w.platform, path, `{"charge":"`+charge+`","reason":"r"}`, key("k3"))
	require.Equal(t, http.StatusCreated, rest.status, rest.text())
	require.Equal(t, before+4, w.get(w.user, "/balance").int("available"))
	w.refused(http.StatusNotFound, core.CodeChargeNotFound, func() answer {
		return w.post(w.platform, path, `{"charge":"charge/none/0","reason":"r"}`, key("k4"))
	})
	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.post(w.platform, path, `{"charge":"`+charge+`","amount":0,"reason":""}`, key("k4"))
	})
	require.Equal(t, []string{"amount", "reason"}, got.fields())
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, path, body) })
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+run+"/retry-failed", nil).status)
	w.refused(http.StatusConflict, core.CodeRunAlreadyRunning, func() answer {
		return w.post(w.platform, path, `{"charge":"`+strings.TrimSuffix(charge, "0")+`1","reason":"r"}`, key("k5"))
	})
	w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer { return w.post(w.admin, path, body, key("k6")) })
	w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.post(w.stranger, path, body, key("k6")) })
}
