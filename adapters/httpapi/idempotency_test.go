package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// repeatable says how a POST is sent twice.
type repeatable struct {
	// request makes what is needed and gives the path and body of a request that is
	// accepted, and another body that is a request for something else; nil: it has no body.
	request     func(w *world) (path string, body, other any)
	otherPath   func(w *world) string // something else, of a request without a body; nil: there is none
	token       func(w *world) string
	notRepeated string // why a repeat is no repeat; empty: it is one
	// secretGone: the first answer has a secret that is kept nowhere, so a repeat is refused
	// as secret_not_repeated, and makes nothing.
	secretGone bool
}

// changeOfABulk is a change of a bulk continue, and another one of the same.
func changeOfABulk(change, other, before string) repeatable {
	first := func(w *world) string {
		return "/bulk-continues/" + w.get(w.admin, "/bulk-continues").at("bulkContinues", 0, "id").(string) + "/"
	}
	return repeatable{
		token: admin, request: func(w *world) (string, any, any) {
			w.closed("fail-a")
			require.Equal(w.t, http.StatusCreated, w.post(w.admin, "/bulk-continues", map[string]any{}).status)
			if before != "" {
				require.Equal(w.t, http.StatusOK, w.post(w.admin, first(w)+before, nil).status)
			}
			return first(w) + change, nil, nil
		},
		otherPath: func(w *world) string { return first(w) + other },
	}
}

func platform(w *world) string { return w.platform }
func admin(w *world) string    { return w.admin }

// repeatables has a row for each POST of the API. A new one needs its row: either a repeat
// under its Idempotency-Key has no second effect, or there is a reason.
var repeatables = map[string]repeatable{
	"/workflow-runs": {token: admin, request: func(*world) (string, any, any) {
		return "/workflow-runs", inline("summarise", "a.txt"), inline("summarise", "b.txt")
	}},
	"/workflow-runs/:id/retry-failed": {
		token: admin, request: func(w *world) (string, any, any) {
			return "/workflow-runs/" + w.closed("fail-a") + "/retry-failed", nil, nil
		},
		otherPath: func(w *world) string { return "/workflow-runs/" + w.closed("fail-b") + "/retry-failed" },
	},
	"/workflow-runs/:id/cancel": {
		token: admin, request: func(w *world) (string, any, any) {
			return "/workflow-runs/" + w.start("a.txt") + "/cancel", nil, nil
		},
		otherPath: func(w *world) string { return "/workflow-runs/" + w.start("b.txt") + "/cancel" },
	},
	"/tenants/:id/allowances": {token: platform, request: func(*world) (string, any, any) {
		return "/tenants/acme/allowances", map[string]any{"period": "2026-12", "amount": 5}, map[string]any{"period": "2026-12", "amount": 6}
	}},
	"/tenants/:id/purchases": {token: platform, request: func(*world) (string, any, any) {
		return "/tenants/acme/purchases", map[string]any{"amount": 5}, map[string]any{"amount": 6}
	}},
	"/templates": {token: platform, request: func(*world) (string, any, any) {
		template := func(name string) any {
			return map[string]any{"name": name, "instructions": "Do it.", "creditsPerRun": 1, "mode": "per_file"}
		}
		return "/templates?tenant=acme", template("One"), template("Two")
	}},
	"/templates/:id/publish": {
		token: platform, request: func(w *world) (string, any, any) {
			w.template("another", 1, core.ModePerFile)
			return "/templates/summarise/publish?tenant=acme", nil, nil
		},
		otherPath: func(*world) string { return "/templates/another/publish?tenant=acme" },
	},
	"/tenants/:id/refunds": {token: platform, request: func(w *world) (string, any, any) {
		charge := "charge/" + w.closed("a.txt") + "/0"
		refund := func(amount int) any {
			return map[string]any{"charge": charge, "amount": amount, "reason": "the result was empty"}
		}
		return "/tenants/acme/refunds", refund(1), refund(2)
	}},
	"/tenants/:id/suspend": {token: platform, request: func(*world) (string, any, any) {
		return "/tenants/acme/suspend", map[string]any{"reason": "unpaid"}, map[string]any{"reason": "abuse"}
	}},
	"/tenants/:id/reopen": {token: platform, request: func(w *world) (string, any, any) {
		require.Equal(w.t, http.StatusOK, w.post(w.platform, "/tenants/acme/suspend", map[string]any{"reason": "unpaid"}).status)
		return "/tenants/acme/reopen", nil, nil
	}},
	"/bulk-continues": {token: admin, request: func(w *world) (string, any, any) {
		w.closed("fail-a")
		return "/bulk-continues", map[string]any{}, map[string]any{"template": "summarise"}
	}},
	"/bulk-continues/preview":    {notRepeated: "it changes nothing"},
	"/bulk-continues/:id/pause":  changeOfABulk("pause", "abort", ""),
	"/bulk-continues/:id/resume": changeOfABulk("resume", "resume?maxPrice=100", "pause"),
	"/bulk-continues/:id/abort":  changeOfABulk("abort", "pause", ""),
	// Nothing lasts of a ticket, and only its hash is kept. A client whose answer was lost
	// needs one that it has not, and the lost one is gone within a minute.
	"/event-tickets": {notRepeated: "a ticket is good once and for a minute: a repeat makes another one"},
	"/webhook-endpoints": {token: admin, request: func(*world) (string, any, any) {
		endpoint := func(url string) any { return map[string]any{"url": url, "events": []string{"run.closed"}} }
		return "/webhook-endpoints", endpoint("https://example.com/a"), endpoint("https://example.com/b")
	}},
	"/webhook-endpoints/:id/rotate-secret": {
		token: admin, request: func(w *world) (string, any, any) {
			return "/webhook-endpoints/" + w.hook("https://example.com/a", "run.closed").str("id") + "/rotate-secret", nil, nil
		},
		otherPath: func(w *world) string {
			return "/webhook-endpoints/" + w.hook("https://example.com/b", "run.closed").str("id") + "/rotate-secret"
		},
	},
	"/webhook-endpoints/:id/ping": {
		token: admin, request: func(w *world) (string, any, any) {
			return "/webhook-endpoints/" + w.hook("https://example.com/a", "run.closed").str("id") + "/ping", nil, nil
		},
		otherPath: func(w *world) string {
			return "/webhook-endpoints/" + w.hook("https://example.com/b", "run.closed").str("id") + "/ping"
		},
	},
	"/webhook-endpoints/:id/deliveries/:event/redeliver": {
		token: admin, request: func(w *world) (string, any, any) { return w.pinged("https://example.com/a") + "/redeliver", nil, nil },
		otherPath: func(w *world) string { return w.pinged("https://example.com/b") + "/redeliver" },
	},
	"/api-keys": {token: admin, secretGone: true, request: func(*world) (string, any, any) {
		apiKey := func(name string) any { return map[string]any{"name": name, "role": "customer_user"} }
		return "/api-keys", apiKey("ci"), apiKey("cd")
	}},
	"/tenants": {token: platform, request: func(*world) (string, any, any) {
		return "/tenants", map[string]any{"id": "fresh", "name": "Fresh", "monthlyAllowance": 3}, map[string]any{"id": "fresh", "name": "Other"}
	}},
}

func TestEveryPostIsRepeatable(t *testing.T) {
	t.Parallel()
	for _, line := range httpapi.RouteTable() {
		method, pattern, _ := strings.Cut(line, " ")
		if method != http.MethodPost {
			continue
		}
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			r, ok := repeatables[pattern]
			require.True(t, ok, "%s needs a row in repeatables", line)
			if r.notRepeated != "" {
				return
			}
			w := newWorld(t)
			path, body, other := r.request(w)
			token := r.token(w)
			first := w.post(token, path, body, key("k"))
			require.Less(t, first.status, 300, first.text())
			require.Empty(t, first.header.Get("Idempotency-Replayed"))
			effect := w.state()
			for range 2 {
				again := w.post(token, path, body, key("k"))
				require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
				require.Equal(t, effect, w.state(), "nothing more happened")
				if r.secretGone {
					require.Equal(t, http.StatusConflict, again.status, again.text())
					require.Equal(t, string(core.CodeSecretNotRepeated), again.str("code"))
					require.Equal(t, first.str("id"), again.str("made"))
					require.Equal(t, true, again.at("newKey"))
					continue
				}
				require.Equal(t, first.status, again.status, again.text())
				require.JSONEq(t, first.text(), again.text())
				require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
			}
			otherPath := path
			if r.otherPath != nil {
				otherPath = r.otherPath(w)
			}
			if other == nil && r.otherPath == nil {
				return // nothing tells one request of this tenant from another
			}
			w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer { return w.post(token, otherPath, other, key("k")) })
			for _, bad := range []string{"", "with a space", "ünicode", strings.Repeat("x", 256)} {
				w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
					got := w.post(token, path, body, key(bad))
					require.Equal(t, []string{"Idempotency-Key"}, got.fields(), "%q", bad)
					return got
				})
			}
		})
	}
	for pattern := range repeatables {
		require.Contains(t, httpapi.RouteTable(), http.MethodPost+" "+pattern)
	}
}

// A refusal that is kept under its key says that another try needs a new one, if another try
// makes sense; one that is not kept does not.
func TestRefusalsUnderAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	costly := make([]string, 60) // 120 credits
	for i := range costly {
		costly[i] = fmt.Sprint("file-", i)
	}
	ask := func(opts ...option) answer {
		return w.post(w.admin, "/workflow-runs", inline("summarise", costly...), opts...)
	}
	require.NotContains(t, ask().json(), "newKey", "without a key nothing is kept")
	for i := range 2 {
		got := ask(key("k"))
		require.Equal(t, http.StatusPaymentRequired, got.status)
		require.Equal(t, true, got.at("newKey"))
		require.Contains(t, got.str("detail"), "use a new one")
		require.Equal(t, i > 0, got.header.Get("Idempotency-Replayed") == "true")
	}
	w.post(w.platform, "/tenants/acme/purchases", map[string]any{"amount": 100}, key("more"))
	require.Equal(t, http.StatusPaymentRequired, ask(key("k")).status, "the first answer stands")
	require.Equal(t, http.StatusCreated, ask(key("k2")).status)

	// What nobody can cure, and what is not kept, promise nothing.
	done := w.closed("a.txt")
	got := w.post(w.admin, "/workflow-runs/"+done+"/retry-failed", nil, key("done"))
	require.Equal(t, "no_errors_to_retry", got.str("code"))
	require.NotContains(t, got.json(), "newKey")
	got = w.post(w.admin, "/workflow-runs/"+done+"/cancel", nil, key("done"))
	require.Equal(t, "run_not_running", got.str("code"))
	require.NotContains(t, got.json(), "newKey")

	// After its time a refusal is forgotten, and what was charged is not.
	before := w.state()
	w.clock.Advance(25 * time.Hour)
	require.NoError(t, w.svc.ForgetKeys(t.Context()))
	require.Equal(t, http.StatusCreated, ask(key("k2")).status)
	require.Equal(t, before, w.state(), "a repeat after its time charges nothing")
	again := w.post(w.platform, "/tenants/acme/purchases", map[string]any{"amount": 100}, key("more"))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, before, w.state(), "and adds nothing")
	w.post(w.platform, "/tenants/acme/purchases", map[string]any{"amount": 200}, key("much-more"))
	free := ask(key("k"))
	require.Equal(t, http.StatusCreated, free.status, "the refused key is free again: %s", free.text())
}

// While the first request is not decided, a repeat is told to come again.
func TestARepeatOfWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.start("a.txt")
	w.store.holdKeys(true)
	got := w.refused(http.StatusConflict, core.CodeIdempotencyInProgress, func() answer {
		return w.post(w.admin, "/workflow-runs/"+id+"/cancel", nil, key("k"))
	})
	require.NotEmpty(t, got.header.Get("Retry-After"))
	w.store.holdKeys(false)
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+id+"/cancel", nil, key("k")).status)
}

// A repeat of a resume that comes after a pause lets nothing go on again.
func TestResumePauseResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.closed("fail-a")
	path := "/bulk-continues/" + w.post(w.admin, "/bulk-continues", map[string]any{}).str("id")
	for i, step := range []struct{ change, key, state, replayed string }{
		{"pause", "p1", "paused", ""},
		{"resume", "r1", "running", ""},
		{"pause", "p2", "paused", ""},
		{"resume", "r1", "paused", "true"},
		{"pause", "p1", "paused", "true"},
		{"resume", "r2", "running", ""},
		{"pause", "p2", "running", "true"},
	} {
		got := w.post(w.admin, path+"/"+step.change, nil, key(step.key))
		require.Equal(t, http.StatusOK, got.status, got.text())
		require.Equal(t, step.state, got.str("state"), "step %d", i)
		require.Equal(t, step.replayed, got.header.Get("Idempotency-Replayed"), "step %d", i)
	}
}

// A refused bulk continue stays refused under its key, and says that another try needs a new one.
func TestRefusedBulkContinueUnderAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 2 {
		got := w.post(w.admin, "/bulk-continues", map[string]any{}, key("k"))
		require.Equal(t, "bulk_empty", got.str("code"), got.text())
		require.Equal(t, true, got.at("newKey"))
		require.Equal(t, i > 0, got.header.Get("Idempotency-Replayed") == "true")
		w.closed("fail-a")
	}
	require.Equal(t, http.StatusCreated, w.post(w.admin, "/bulk-continues", map[string]any{}, key("k2")).status)
}

// An answer with a secret is repeated to whom it was given, as long as the secret is that of
// the endpoint.
func TestSecretsAreRepeatedToTheirOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	colleague := w.token(core.Actor{Subject: "bob", Tenant: acme, Role: core.RoleCustomerAdmin})
	body := map[string]any{"url": "https://example.com/a", "events": []string{"run.closed", "run.continued"}}
	create := func(token string) answer { return w.post(token, "/webhook-endpoints", body, key("k")) }
	made := create(w.admin)
	require.Equal(t, http.StatusCreated, made.status, made.text())
	require.NotEmpty(t, made.str("secret"))
	id := made.str("id")
	for _, other := range []string{colleague, w.platform} {
		w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer {
			return w.post(other, "/webhook-endpoints?tenant=acme", body, key("k"))
		})
	}

	// A repeat is how the endpoint is now.
	w.clock.Advance(time.Minute)
	require.Equal(t, http.StatusOK, w.write(http.MethodPatch, w.admin, "/webhook-endpoints/"+id, map[string]any{"description": "renamed"}).status)
	again := create(w.admin)
	require.Equal(t, http.StatusCreated, again.status, again.text())
	require.Equal(t, made.str("secret"), again.str("secret"))
	require.Equal(t, "renamed", again.str("description"))

	// A secret that was replaced is shown no more; the one that replaced it is.
	rotate := func(token, k string) answer {
		return w.post(token, "/webhook-endpoints/"+id+"/rotate-secret", nil, key(k))
	}
	first := rotate(w.admin, "r1")
	require.Equal(t, http.StatusOK, first.status, first.text())
	require.NotEqual(t, made.str("secret"), first.str("secret"))
	require.Equal(t, first.text(), rotate(w.admin, "r1").text())
	w.refused(http.StatusUnprocessableEntity, core.CodeIdempotencyKeyReused, func() answer { return rotate(colleague, "r1") })
	gone := func(ask func() answer) {
		t.Helper()
		got := w.refused(http.StatusConflict, core.CodeSecretNotRepeated, ask)
		require.Equal(t, id, got.str("made"))
		require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
		require.Equal(t, true, got.at("newKey"))
		require.NotContains(t, got.text(), "whsec_")
	}
	gone(func() answer { return create(w.admin) })
	require.Equal(t, http.StatusOK, rotate(w.admin, "r2").status)
	gone(func() answer { return rotate(w.admin, "r1") })
	require.Equal(t, http.StatusNoContent, w.write(http.MethodDelete, w.admin, "/webhook-endpoints/"+id, nil).status)
	gone(func() answer { return create(w.admin) })
	gone(func() answer { return rotate(w.admin, "r2") })

	// After its time the key is free again.
	w.clock.Advance(25 * time.Hour)
	require.NoError(t, w.svc.ForgetKeys(t.Context()))
	w.admin = w.token(core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin})
	require.NotEqual(t, id, create(w.admin).str("id"))
}
