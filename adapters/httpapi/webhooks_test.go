package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// receiver is a tenant's own server.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []received
}

type received struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.got = append(r.got, received{req.Header, body})
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// take gives what came since the last call, each verified by the library of Standard
// Webhooks and by the document.
func (r *receiver) take(t *testing.T, secret string) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	verifier, err := standard.NewWebhook(secret)
	require.NoError(t, err)
	var bodies []map[string]any
	for _, g := range r.got {
		// The world's clock is its own, so the library is not asked for the time.
		require.NoError(t, verifier.VerifyIgnoringTimestamp(g.body, g.header))
		var body map[string]any
		require.NoError(t, json.Unmarshal(g.body, &body))
		require.Equal(t, g.header.Get("Webhook-Id"), body["id"])
		item := document().Webhooks[body["type"].(string)]
		require.NotNil(t, item, "%s is not in the document", body["type"])
		schema := item.Post.RequestBody.Value.Content["application/json"].Schema.Value
		require.NoError(t, schema.VisitJSON(body, openapi3.EnableJSONSchema2020()), "%s", g.body)
		bodies = append(bodies, body)
	}
	r.got = nil
	return bodies
}

// deliver sends what is due.
func (w *world) deliver() {
	w.t.Helper()
	ctx := w.t.Context()
	keys, err := w.svc.DueWebhooks(ctx, ports.EndpointKey{}, 100)
	require.NoError(w.t, err)
	for _, k := range keys {
		claimed, err := w.svc.ClaimWebhooks(ctx, k, 100, ports.SkipLocked)
		require.NoError(w.t, err)
		for _, c := range claimed {
			require.NoError(w.t, w.svc.SendWebhook(ctx, c))
		}
	}
}

func (w *world) hook(url string, events ...string) answer {
	w.t.Helper()
	got := w.post(w.admin, "/webhook-endpoints", map[string]any{"url": url, "description": "Our ledger", "events": events})
	require.Equal(w.t, http.StatusCreated, got.status, got.text())
	return got
}

// pinged makes an endpoint and gives the path of a ping's delivery to it.
func (w *world) pinged(url string) string {
	w.t.Helper()
	path := "/webhook-endpoints/" + w.hook(url, "run.closed").str("id")
	ping := w.post(w.admin, path+"/ping", nil)
	require.Equal(w.t, http.StatusAccepted, ping.status, ping.text())
	return path + "/deliveries/" + ping.str("event")
}

func TestWebhookJourney(t *testing.T) {
	t.Parallel()
	w, theirs := newWorld(t), newReceiver(t)
	made := w.hook(theirs.URL+"/redrive", "run.closed", "run.continued", "run.interrupted", "credits.low")
	secret, path := made.str("secret"), "/webhook-endpoints/"+made.str("id")
	require.Equal(t, path, made.header.Get("Location"))
	require.Regexp(t, `^whsec_`, secret)
	require.Equal(t, "no-store", made.header.Get("Cache-Control"), "it has a secret")
	for _, p := range []string{"/webhook-endpoints", path} {
		require.NotContains(t, w.get(w.admin, p).text(), "whsec_", "a secret is shown once")
	}

	require.Equal(t, 95, w.write(http.MethodPatch, w.admin, "/low-credits", map[string]any{"threshold": 95}).int("threshold"))
	require.Equal(t, 95, w.get(w.admin, "/low-credits").int("threshold"))
	run := w.closed("done", "fail-this", "done-too") // 100 credits less 6
	w.deliver()
	got := theirs.take(t, secret)
	require.Len(t, got, 2)
	w.script.heal()
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+run+"/retry-failed", nil).status)
	w.deliver()
	got = theirs.take(t, secret)
	require.Len(t, got, 1)
	require.Equal(t, "run.continued", got[0]["type"])
	require.Equal(t, run, got[0]["data"].(map[string]any)["runId"])

	// A failure shows in the log, with when it is tried next; by hand it is sent at once.
	theirs.answer(http.StatusServiceUnavailable)
	w.clock.Advance(time.Minute)
	require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+run+"/cancel", nil).status)
	w.deliver()
	log := w.get(w.admin, path+"/deliveries?limit=1")
	require.Equal(t, "pending", log.str("deliveries", 0, "status"))
	require.Equal(t, http.StatusServiceUnavailable, log.int("deliveries", 0, "tries", 0, "status"))
	require.NotEmpty(t, log.str("nextCursor"))
	require.Len(t, w.get(w.admin, path+"/deliveries?cursor="+log.str("nextCursor")).at("deliveries"), 3)
	require.Len(t, w.get(w.admin, path+"/deliveries?status=delivered").at("deliveries"), 3)
	require.NotEmpty(t, w.get(w.admin, path).str("failingSince"))
	theirs.answer(http.StatusOK)
	theirs.take(t, secret)
	delivery := path + "/deliveries/" + log.str("deliveries", 0, "event")
	require.Equal(t, http.StatusAccepted, w.post(w.admin, delivery+"/redeliver", nil).status)
	w.deliver()
	got = theirs.take(t, secret)
	require.Len(t, got, 1)
	require.Equal(t, "run.interrupted", got[0]["type"])
	one := w.get(w.admin, delivery)
	require.Equal(t, "delivered", one.str("status"))
	require.Equal(t, "run.interrupted", one.str("payload", "type"))
	require.Len(t, one.at("tries"), 2)

	// Both secrets sign for a day.
	next := w.post(w.admin, path+"/rotate-secret", nil).str("secret")
	require.NotEqual(t, secret, next)
	require.Equal(t, http.StatusAccepted, w.post(w.admin, path+"/ping", nil).status)
	w.deliver()
	theirs.mu.Lock()
	both := theirs.got
	theirs.mu.Unlock()
	require.Equal(t, "webhook.ping", theirs.take(t, secret)[0]["type"])
	theirs.mu.Lock()
	theirs.got = both
	theirs.mu.Unlock()
	require.Len(t, theirs.take(t, next), 1)
	require.NotEmpty(t, w.get(w.admin, path).str("previousSecretUntil"))

	// Paused by hand, it is sent nothing, and gets it when it is enabled.
	changed := w.write(http.MethodPatch, w.admin, path, map[string]any{"paused": true, "events": []string{"run.closed"}, "description": "x"})
	require.Equal(t, "by_hand", changed.str("pauseReason"), changed.text())
	w.refused(http.StatusConflict, core.CodeWebhookEndpointPaused, func() answer { return w.post(w.admin, path+"/ping", nil) })
	w.closed("another")
	w.deliver()
	require.Empty(t, theirs.take(t, next))
	w.write(http.MethodPatch, w.admin, path, map[string]any{"paused": false})
	w.deliver()
	require.Len(t, theirs.take(t, next), 1)

	gone := w.write(http.MethodDelete, w.admin, path, nil)
	require.Equal(t, http.StatusNoContent, gone.status)
	require.Empty(t, gone.body)
	require.Equal(t, http.StatusNotFound, w.get(w.admin, path).status)
	require.NotContains(t, w.logs.String(), secret)
	require.NotContains(t, w.logs.String(), theirs.URL, "an address may be a secret too")
}

func TestWebhookRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, body := range []any{
		map[string]any{},
		map[string]any{"url": "https://example.com"},
		map[string]any{"events": []string{"run.closed"}},
		map[string]any{"url": "https://example.com", "events": []string{}},
		map[string]any{"url": "https://example.com", "events": "run.closed"},
		map[string]any{"url": "https://example.com", "events": []any{1}},
		map[string]any{"url": "https://example.com", "events": []string{"webhook.ping"}},
		map[string]any{"url": "https://example.com", "events": []string{"a", "b", "c", "d", "e"}},
		map[string]any{"url": "https://10.0.0.1", "events": []string{"run.closed"}},
		map[string]any{"url": "https://169.254.169.254/latest", "events": []string{"run.closed"}},
		map[string]any{"url": "ftp://example.com", "events": []string{"run.closed"}},
		map[string]any{"url": "https://example.com", "events": []string{"run.closed"}, "secret": "mine"},
	} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.admin, "/webhook-endpoints", body) })
	}
	path := "/webhook-endpoints/" + w.hook("https://example.com", "run.closed").str("id")
	for _, body := range []any{map[string]any{"paused": "yes"}, map[string]any{"paused": 1}, map[string]any{"url": "https://10.0.0.1"}, map[string]any{"events": []string{}}} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.write(http.MethodPatch, w.admin, path, body) })
	}
	for _, query := range []string{"?status=lost", "?limit=0", "?limit=101", "?cursor=x", "?cursor=" + "ZDAvLg"} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.admin, path+"/deliveries"+query) })
	}
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodPatch, w.admin, "/low-credits", map[string]any{"threshold": -1})
	})
	w.refused(http.StatusNotFound, core.CodeWebhookDeliveryNotFound, func() answer { return w.post(w.admin, path+"/deliveries/none/redeliver", nil) })
	w.refused(http.StatusNotFound, core.CodeWebhookDeliveryNotFound, func() answer { return w.get(w.admin, path+"/deliveries/no%20id") })
	for range core.MaxWebhookPings {
		require.Equal(t, http.StatusAccepted, w.post(w.admin, path+"/ping", nil).status)
	}
	w.refused(http.StatusConflict, core.CodeTooManyPings, func() answer { return w.post(w.admin, path+"/ping", nil) })
	for range core.MaxWebhookEndpoints - 1 {
		w.hook("https://example.com", "run.closed")
	}
	w.refused(http.StatusConflict, core.CodeTooManyWebhookEndpoints, func() answer {
		return w.post(w.admin, "/webhook-endpoints", map[string]any{"url": "https://example.com", "events": []string{"run.closed"}})
	})
}
