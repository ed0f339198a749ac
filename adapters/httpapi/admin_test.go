package httpapi_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const all = "/templates?tenant=acme"
	made := w.post(w.platform, all, `{"name":"Sum up","instructions":"Say it in a word.","creditsPerRun":3,"mode":"per_file"}`)
	require.Equal(t, http.StatusCreated, made.status, made.text())
	id := made.str("id")
	path := "/templates/" + id
	require.Equal(t, path, made.header.Get("Location"))
	require.Equal(t, "draft", made.str("status"))
	require.JSONEq(t, made.text(), w.get(w.user, path).text())

	changed := w.write(http.MethodPatch, w.platform, path+"?tenant=acme", `{"creditsPerRun":0,"name":"Sum"}`)
	require.Equal(t, http.StatusOK, changed.status, changed.text())
	require.Equal(t, 0, changed.int("creditsPerRun"))
	require.Equal(t, "Sum", changed.str("name"))
	require.Equal(t, "Say it in a word.", changed.str("instructions"))
	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodPatch, w.platform, path+"?tenant=acme", `{"creditsPerRun":-1,"name":""}`)
	})
	require.Equal(t, []string{"name", "creditsPerRun"}, got.fields())
	got = w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodPatch, w.platform, path+"?tenant=acme", `{"mode":"batch"}`)
	})
	require.Equal(t, []string{"mode"}, got.fields(), "runs were split into jobs by it")

	require.Equal(t, "published", w.post(w.platform, path+"/publish?tenant=acme", nil).str("status"))
	require.Equal(t, http.StatusCreated, w.post(w.user, "/workflow-runs", inline(id, "a")).status)

	deleted := w.write(http.MethodDelete, w.platform, path+"?tenant=acme", nil)
	require.Equal(t, http.StatusOK, deleted.status, deleted.text())
	require.Equal(t, "2026-11-15T12:00:00Z", deleted.str("deletedAt"))
	require.Equal(t, http.StatusOK, w.write(http.MethodDelete, w.platform, path+"?tenant=acme", nil).status, "deleting twice changes nothing")
	require.JSONEq(t, deleted.text(), w.get(w.user, path).text(), "its runs still need it")
	for _, ask := range []func() answer{
		func() answer { return w.write(http.MethodPatch, w.platform, path+"?tenant=acme", `{"name":"x"}`) },
		func() answer { return w.post(w.platform, path+"/publish?tenant=acme", nil) },
		func() answer { return w.post(w.user, "/workflow-runs", inline(id, "a")) },
	} {
		w.refused(http.StatusConflict, core.CodeTemplateDeleted, ask)
	}
	require.Len(t, w.get(w.user, "/templates").at("templates"), 2)
	require.Empty(t, w.get(w.stranger, "/templates").at("templates"))

	named := w.post(w.platform, all, `{"id":"mine","name":"n","instructions":"","creditsPerRun":1,"mode":"batch"}`)
	require.Equal(t, "/templates/mine", named.header.Get("Location"))
	for _, ask := range []func() answer{
		func() answer { return w.get(w.platform, "/templates/mine?tenant=globex") },
		func() answer { return w.write(http.MethodDelete, w.platform, "/templates/mine?tenant=globex", nil) },
		func() answer { return w.write(http.MethodPatch, w.platform, "/templates/no?tenant=acme", `{}`) },
		func() answer { return w.post(w.platform, "/templates/no/publish?tenant=acme", nil) },
	} {
		w.refused(http.StatusNotFound, core.CodeTemplateNotFound, ask)
	}
	for _, ask := range []func() answer{
		func() answer { return w.get(w.platform, "/templates?tenant=unknown") },
		func() answer {
			return w.post(w.platform, "/templates?tenant=unknown", `{"name":"n","instructions":"","creditsPerRun":1,"mode":"batch"}`)
		},
	} {
		w.refused(http.StatusNotFound, core.CodeTenantNotFound, ask)
	}
	for _, ask := range []func() answer{ // a bubble_admin without a tenant has to name one
		func() answer { return w.get(w.platform, "/templates") },
		func() answer { return w.post(w.platform, "/templates", `{}`) },
		func() answer { return w.get(w.platform, "/templates/mine") },
		func() answer { return w.get(w.platform, "/balance") },
		func() answer { return w.get(w.platform, "/workflow-runs") },
	} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, ask)
		require.Equal(t, []string{"tenant"}, got.fields())
	}
}

func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.post(w.platform, "/tenants", `{"id":"initech","name":"Initech","monthlyAllowance":500}`)
	require.Equal(t, http.StatusCreated, made.status, made.text())
	require.Equal(t, "/tenants/initech", made.header.Get("Location"))
	require.JSONEq(t, `{"id":"initech","name":"Initech","monthlyAllowance":500,"createdAt":"2026-11-15T12:00:00Z"}`, made.text())
	require.JSONEq(t, made.text(), w.get(w.platform, "/tenants/initech").text())
	require.Equal(t, http.StatusCreated, w.post(w.platform, "/tenants", `{"id":"hooli","name":"Hooli"}`).status)
	w.refused(http.StatusConflict, core.CodeTenantExists, func() answer {
		return w.post(w.platform, "/tenants", `{"id":"acme","name":"Another"}`)
	})
	w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.get(w.platform, "/tenants/unknown") })

	var ids []string
	after := ""
	for {
		page := w.get(w.platform, "/tenants?limit=3&after="+after)
		for _, tenant := range page.at("tenants").([]any) {
			ids = append(ids, tenant.(map[string]any)["id"].(string))
		}
		next, more := page.at("nextAfter").(string)
		if !more {
			break
		}
		after = next
	}
	require.Equal(t, []string{"acme", "globex", "hooli", "initech"}, ids)
	for query, field := range map[string]string{"after=%20": "after", "limit=0": "limit", "after=a&after=b": "after"} {
		require.Equal(t, []string{field}, w.get(w.platform, "/tenants?"+query).fields())
	}
}

func TestCredits(t *testing.T) {
	t.Parallel()
	grants := map[string]struct {
		path, body, other, kind string
	}{
		"Allowance": {"/tenants/globex/allowances", `{"period":"2026-11","amount":30}`, `{"period":"2026-12","amount":30}`, "allowance"},
		"Purchase":  {"/tenants/globex/purchases", `{"amount":30}`, `{"amount":31}`, "purchase"},
	}
	for name, g := range grants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			none := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, g.path, g.body) })
			require.Equal(t, []string{"Idempotency-Key"}, none.fields(), "money moves under a key or not at all")

			first := w.post(w.platform, g.path, g.body, key("k1"))
			require.Equal(t, http.StatusCreated, first.status, first.text())
			require.Equal(t, g.kind, first.str("kind"))
			require.Equal(t, map[string]any{"subject": "pat", "role": "bubble_admin"}, first.at("actor"))
			require.Equal(t, 37, w.get(w.stranger, "/balance").int("available"))

			before := w.state()
			again := w.post(w.platform, g.path, g.body, key("k1"))
			require.Equal(t, http.StatusCreated, again.status)
			require.JSONEq(t, first.text(), again.text())
			require.Equal(t, before, w.state(), "counted once")

			w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer { return w.post(w.platform, g.path, g.other, key("k1")) })
			unknown := w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer {
				return w.post(w.platform, "/tenants/unknown"+g.path[len("/tenants/globex"):], g.body, key("k1"))
			})
			require.Contains(t, unknown.str("detail"), "unknown")
			w.refused(http.StatusUnsupportedMediaType, "unsupported_media_type", func() answer {
				return w.send(call{method: http.MethodPost, path: g.path, token: w.platform, body: []byte(g.body)}, key("k2"))
			})
		})
	}

	t.Run("Overflow", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.refused(http.StatusBadRequest, core.CodeCreditsOutOfRange, func() answer {
			return w.post(w.platform, "/tenants/globex/purchases", fmt.Sprintf(`{"amount":%d}`, int64(math.MaxInt64)), key("k1"))
		})
	})

	t.Run("Balance", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		const acmes = `{"tenant":"acme","period":"2026-11","monthly":10,"purchased":90,"available":100}`
		require.JSONEq(t, acmes, w.get(w.user, "/balance").text())
		require.JSONEq(t, acmes, w.get(w.platform, "/balance?tenant=acme").text())
		w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.user, "/balance?tenant=globex") })
		w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.user, "/balance?tenant=unknown") })
		w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.get(w.platform, "/balance?tenant=unknown") })
	})

	t.Run("Ledger", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.start("a")
		got := w.get(w.user, "/tenants/acme/ledger")
		require.Equal(t, http.StatusOK, got.status)
		require.Len(t, got.at("entries"), 3)
		require.Equal(t, map[string]any{
			"seq": 3., "key": "charge/" + id + "/0", "kind": "charge", "period": "2026-11", "amount": map[string]any{"monthly": 2., "purchased": 0.},
			"run": id, "attempt": 0., "actor": map[string]any{"subject": "ann", "role": "customer_admin"}, "at": "2026-11-15T12:00:00Z",
		}, got.at("entries", 2))

		page := w.get(w.user, "/tenants/acme/ledger?limit=2")
		require.Equal(t, 2, page.int("nextAfter"))
		page = w.get(w.user, "/tenants/acme/ledger?limit=2&after=2")
		require.Len(t, page.at("entries"), 1)
		require.NotContains(t, page.json(), "nextAfter")
		require.Empty(t, w.get(w.user, "/tenants/acme/ledger?after=9223372036854775807").at("entries"))
		for query, field := range map[string]string{"after=-1": "after", "after=x": "after", "limit=0": "limit", "limit=1001": "limit"} {
			require.Equal(t, []string{field}, w.get(w.user, "/tenants/acme/ledger?"+query).fields())
		}
		w.refused(http.StatusNotFound, core.CodeTenantNotFound, func() answer { return w.get(w.platform, "/tenants/unknown/ledger") })
	})
}
