package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closed("fail-a.txt", "b.txt")
	require.Equal(t, http.StatusCreated, w.post(w.platform, "/tenants/acme/refunds", `{"charge":"charge/`+run+`/0","amount":1,"reason":"r"}`, key("k")).status)
	const path = "/tenants/acme/statements/2026-11"
	got := w.get(w.user, path)
	require.Equal(t, http.StatusOK, got.status, got.text())
	require.JSONEq(t, `{"tenant":"acme","period":"2026-11","over":false,"opening":{"monthly":0,"purchased":0},"entries":[
		{"kind":"allowance","count":1,"amount":{"monthly":10,"purchased":0}},{"kind":"purchase","count":1,"amount":{"monthly":0,"purchased":90}},
		{"kind":"charge","count":1,"amount":{"monthly":4,"purchased":0}},{"kind":"refund","count":1,"amount":{"monthly":1,"purchased":0}}],
		"lapsed":0,"closing":{"monthly":7,"purchased":90}}`, got.text())
	csv := w.get(w.user, path+"?format=csv")
	require.Equal(t, "text/csv; charset=utf-8", csv.header.Get("Content-Type"))
	require.Equal(t, "item,entries,monthly,purchased\nopening,,0,0\nallowance,1,10,0\npurchase,1,0,90\ncharge,1,-4,0\nrefund,1,1,0\nlapsed,,0,0\nclosing,,7,90\n", csv.text())
	require.Equal(t, 0, w.get(w.user, "/tenants/acme/statements/2026-10").int("closing", "purchased"))
	require.Equal(t, 90, w.get(w.user, "/tenants/acme/statements/2026-12").int("opening", "purchased"))
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.user, "/tenants/acme/statements/november") })
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.user, path+"?format=pdf") })
	w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.stranger, path) })
	w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.get(w.platform, "/tenants/unknown/statements/2026-11") })
}
