package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi/client"
)

// answering is a server that gives these answers, one after the other, and keeps what it
// was asked.
type answering struct {
	mu      sync.Mutex
	answers []http.HandlerFunc
	asked   []*http.Request
	bodies  []string
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.asked, a.bodies = append(a.asked, r), append(a.bodies, string(body))
	if len(a.answers) == 0 {
		a.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
		return
	}
	next := a.answers[0]
	a.answers = a.answers[1:]
	a.mu.Unlock()
	next(w, r)
}

func serve(t *testing.T, answers ...http.HandlerFunc) (*answering, *client.ClientWithResponses) {
	t.Helper()
	a := &answering{answers: answers}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c, err := client.NewClientWithResponses(server.URL, client.WithToken("secret"), client.WithRetries(3))
	require.NoError(t, err)
	return a, c
}

func problem(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "status": status, "title": "No", "detail": "do this"})
	}
}

func breaks(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func balance(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"tenant": "acme", "available": 5}`))
}

func TestRetries(t *testing.T) {
	t.Parallel()
	deed := func(key string) func(context.Context, *client.ClientWithResponses) error {
		return func(ctx context.Context, c *client.ClientWithResponses) error {
			_, err := client.Check(c.PurchaseCreditsWithResponse(ctx, "acme", &client.PurchaseCreditsParams{IdempotencyKey: key}, client.NewPurchase{Amount: 1}))
			return err
		}
	}
	read := func(ctx context.Context, c *client.ClientWithResponses) error {
		_, err := client.Check(c.GetBalanceWithResponse(ctx, &client.GetBalanceParams{}))
		return err
	}
	noKey := func(ctx context.Context, c *client.ClientWithResponses) error {
		_, err := client.Check(c.CancelRunWithResponse(ctx, "run-1", nil))
		return err
	}
	for name, c := range map[string]struct {
		do      func(context.Context, *client.ClientWithResponses) error
		answers []http.HandlerFunc
		asked   int
		code    client.Code // of the error
	}{
		"read":                      {read, []http.HandlerFunc{breaks, problem(503, "unavailable"), balance}, 3, ""},
		"read, three times at most": {read, []http.HandlerFunc{problem(503, "unavailable"), problem(503, "unavailable"), problem(503, "unavailable"), balance}, 3, "unavailable"},
		"not allowed":               {read, []http.HandlerFunc{problem(403, "wrong_tenant"), balance}, 1, "wrong_tenant"},
		"under a key":               {deed("k"), []http.HandlerFunc{breaks, problem(500, "outcome_unknown"), problem(402, "insufficient_credits")}, 3, "insufficient_credits"},
		"in progress":               {deed("k"), []http.HandlerFunc{problem(409, "idempotency_in_progress"), problem(409, "price_changed")}, 2, "price_changed"},
		"too many":                  {deed("k"), []http.HandlerFunc{problem(429, "upload_quota_exceeded"), problem(400, "invalid_request")}, 2, "invalid_request"},
		"a remembered failure":      {deed("k"), []http.HandlerFunc{problem(503, "enqueue_failed"), balance}, 1, "enqueue_failed"},
		"without a key":             {noKey, []http.HandlerFunc{problem(503, "unavailable"), balance}, 1, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, to := serve(t, c.answers...)
			err := c.do(t.Context(), to)
			require.Equal(t, c.code, client.CodeOf(err), "%v", err)
			if c.code == "" {
				require.NoError(t, err)
			}
			require.Len(t, a.asked, c.asked)
			for i, r := range a.asked {
				require.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
				require.Equal(t, a.asked[0].Header.Get("Idempotency-Key"), r.Header.Get("Idempotency-Key"))
				require.Equal(t, a.bodies[0], a.bodies[i], "the body is sent again as well")
			}
		})
	}

	t.Run("EndWithTheContext", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		a, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			stop()
			problem(503, "unavailable")(w, r)
		})
		if err := read(ctx, c); client.CodeOf(err) != "unavailable" { // unless the answer was faster than the end
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Len(t, a.asked, 1)
	})
}

func TestErrorOfAProxy(t *testing.T) {
	t.Parallel()
	_, c := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusNotFound) })
	_, err := client.Check(c.GetBalanceWithResponse(t.Context(), &client.GetBalanceParams{}))
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 404, e.Status)
	require.EqualError(t, err, "redrive: status 404")
}

// events is a stream of these, which then breaks.
func events(texts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Join(texts, ""))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func state(id, status string) string {
	return fmt.Sprintf("id: %s\nevent: state\ndata: {\"run\":\"run-1\",\"status\":%q}\n\n", id, status)
}

func TestWatch(t *testing.T) {
	t.Parallel()

	t.Run("GoesOnAfterTheLastEvent", func(t *testing.T) {
		t.Parallel()
		a, c := serve(t,
			events(": hello\n\n", state("1", "RUNNING"), "event: of the future\ndata: 5\n\n", "data: {\"torn"),
			problem(503, "unavailable"),
			breaks,
			events("event: end\ndata: {\"code\":\"unavailable\",\"reason\":\"the server stops\"}\n\n"),
			events(state("2", "COMPLETED"), "event: closed\ndata: {\"run\":\"run-1\",\"status\":\"COMPLETED\"}\n\n"),
			events("event: end\ndata: {\"code\":\"unauthenticated\",\"reason\":\"the token has expired\"}\n\n"),
		)
		var got []string
		for e, err := range client.Watch(t.Context(), c, "run-1", "") {
			require.NoError(t, err)
			switch {
			case e.State != nil:
				got = append(got, "state "+string(e.State.Status))
			case e.Closed != nil:
				got = append(got, "closed "+string(e.Closed.Status))
			default:
				got = append(got, "end "+string(e.End.Code))
			}
		}
		require.Equal(t, []string{"state RUNNING", "state COMPLETED", "closed COMPLETED", "end unauthenticated"}, got)
		var after []string
		for _, r := range a.asked {
			after = append(after, r.Header.Get("Last-Event-Id"))
		}
		require.Equal(t, []string{"", "1", "1", "1", "1", "2"}, after)
	})

	t.Run("EndsWithARefusal", func(t *testing.T) {
		t.Parallel()
		_, c := serve(t, problem(404, "run_not_found"))
		_, err := client.AwaitClosed(t.Context(), c, "run-1")
		require.Equal(t, client.CodeRunNotFound, client.CodeOf(err))
	})

	t.Run("EndsWithItsReader", func(t *testing.T) {
		t.Parallel()
		a, c := serve(t, events(state("1", "COMPLETED")))
		closed, err := client.AwaitClosed(t.Context(), c, "run-1")
		require.NoError(t, err)
		require.Equal(t, client.RunStatusCOMPLETED, closed.Status)
		require.Len(t, a.asked, 1)
	})

	t.Run("EndsWithTheContext", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			stop()
			breaks(w, r)
		})
		_, err := client.AwaitClosed(ctx, c, "run-1")
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("DataThatIsNone", func(t *testing.T) {
		t.Parallel()
		_, c := serve(t, events("event: state\ndata: <html>\n\n"))
		_, err := client.AwaitClosed(t.Context(), c, "run-1")
		require.ErrorContains(t, err, "a state event")
	})
}

// A signature that the JavaScript library of Standard Webhooks (standardwebhooks 1.0.0) made,
// and what is changed in it.
func TestVerifyWebhook(t *testing.T) {
	t.Parallel()
	const (
		secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw=="
		other     = "whsec_bm90IHRoZSByaWdodCBzZWNyZXQ="
		signature = "v1,/Xy7FLfFISa1TZH7WLT+0x/orG5MlcutAFOpVan3/00="
		body      = `{"test": 2432232314}`
	)
	at := time.Unix(1614265330, 0)
	for name, c := range map[string]struct {
		id, signature, body string
		now                 time.Time
		secrets             []string
		ok                  bool
	}{
		"right":                {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at, []string{secret}, true},
		"a replaced secret":    {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at, []string{other, secret}, true},
		"several signatures":   {"msg_p5jXN8AQM9LWM0D4loKWxJek", "v2,x v1,AAAA " + signature, body, at, []string{secret}, true},
		"in time":              {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at.Add(5 * time.Minute), []string{secret}, true},
		"too late":             {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at.Add(5*time.Minute + time.Second), []string{secret}, false},
		"of the future":        {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at.Add(-6 * time.Minute), []string{secret}, false},
		"another body":         {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body + " ", at, []string{secret}, false},
		"another ID":           {"msg_other", signature, body, at, []string{secret}, false},
		"another secret":       {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at, []string{other}, false},
		"no secret":            {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at, nil, false},
		"a secret of no bytes": {"msg_p5jXN8AQM9LWM0D4loKWxJek", signature, body, at, []string{"whsec_"}, false},
		"no signature":         {"msg_p5jXN8AQM9LWM0D4loKWxJek", "", body, at, []string{secret}, false},
		"another version":      {"msg_p5jXN8AQM9LWM0D4loKWxJek", strings.Replace(signature, "v1", "v1a", 1), body, at, []string{secret}, false},
		"no ID":                {"", signature, body, at, []string{secret}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			h.Set("Webhook-Id", c.id)
			h.Set("Webhook-Timestamp", "1614265330")
			h.Set("Webhook-Signature", c.signature)
			err := client.VerifyWebhook(h, []byte(c.body), c.now, c.secrets...)
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, name != "a secret of no bytes", errors.Is(err, client.ErrWebhook))
		})
	}
}
