package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

// rawRequest sends a request line that net/http's client would refuse, and reads the answer.
func (w *world) rawRequest(method, target string) (*http.Response, string) {
	t := w.t
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, target, w.admin)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(body)
}

// The faults of the router that a client must not notice (see the package comment).
func TestRouter(t *testing.T) {
	t.Parallel()

	t.Run("PathsThatItPanicsOn", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, path := range []string{
			"/workflow-runs/%00", "/workflow-runs/%00/cancel", "/tenants/%00/ledger", "/%00", "/workflow-runs/a%0ab", "/workflow-runs/%ff",
		} {
			resp, body := w.rawRequest(http.MethodGet, path)
			require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
			require.Contains(t, body, `"code":"not_found"`)
		}
		require.NotContains(t, w.logs.String(), "panic")
	})

	t.Run("PathsThatItRedirects", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("fail-a")
		for _, path := range []string{
			"/workflow-runs/", "/workflow-runs/" + id + "/", "/workflow-runs/" + id + "/retry-failed/", "//workflow-runs",
			"/x/../workflow-runs", "/./workflow-runs", "/workflow-runs//" + id, "/workflow-runs/" + id + "%2Fcancel", "//evil.example/", "/",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				before := w.state()
				resp, body := w.rawRequest(method, path)
				require.Equal(t, http.StatusNotFound, resp.StatusCode, "%s %s", method, path)
				require.Contains(t, body, `"code":"not_found"`)
				require.Empty(t, resp.Header.Get("Location"))
				require.Equal(t, before, w.state())
			}
		}
		_, body := w.rawRequest(http.MethodPost, "/workflow-runs/")
		require.Contains(t, body, "do not end in a slash")
	})

	t.Run("EncodedParameters", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("fail-a")
		encoded := fmt.Sprintf("/workflow-runs/%%%02x%s", id[0], id[1:])
		require.Equal(t, id, w.get(w.admin, encoded).str("id"))
		for _, path := range []string{"/workflow-runs/a%20b", "/workflow-runs/%C3%A9", "/workflow-runs/" + strings.Repeat("x", 65), "/workflow-runs/%2525"} {
			got := w.get(w.admin, path)
			require.Equal(t, http.StatusNotFound, got.status)
			require.Equal(t, "run_not_found", got.str("code"), path)
		}
		require.Equal(t, "template_not_found", w.get(w.admin, "/templates/a%20b").str("code"))
		require.Equal(t, "wrong_tenant", w.get(w.admin, "/tenants/a%20b").str("code"))
		require.Equal(t, "tenant_not_found", w.get(w.platform, "/tenants/a%20b").str("code"))
	})

	t.Run("WrongMethods", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, c := range []struct{ method, path, allow string }{
			{"PUT", "/workflow-runs", "GET, HEAD, OPTIONS, POST"},
			{"DELETE", "/workflow-runs/x", "GET, HEAD, OPTIONS, PATCH"},
			{"GET", "/workflow-runs/x/cancel", "OPTIONS, POST"}, // a parameter with more path behind it
			{"DELETE", "/workflow-runs/x/retry-failed", "GET, HEAD, OPTIONS, POST"},
			{"POST", "/workflow-runs/x/receipt", "GET, HEAD, OPTIONS"},
			{"GET", "/templates/x/publish", "OPTIONS, POST"},
			{"GET", "/tenants/x/purchases", "OPTIONS, POST"},
			{"POST", "/healthz", "GET, HEAD, OPTIONS"},
			{"BREW", "/balance", "GET, HEAD, OPTIONS"},
			{"TRACE", "/balance", "GET, HEAD, OPTIONS"},
		} {
			got := w.write(c.method, "", c.path, nil)
			require.Equal(t, http.StatusMethodNotAllowed, got.status, "%s %s", c.method, c.path)
			require.Equal(t, "method_not_allowed", got.str("code"))
			require.Equal(t, c.allow, got.header.Get("Allow"), "%s %s", c.method, c.path)

			options := w.write(http.MethodOptions, "", c.path, nil)
			require.Equal(t, http.StatusNoContent, options.status)
			require.Equal(t, c.allow, options.header.Get("Allow"))
			require.Empty(t, options.body)
		}
	})

	t.Run("UnknownPaths", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, path := range []string{"/nothing", "/workflow-runs/x/nothing", "/workflow-runs/x/files/y", "/balancé"} {
			for _, method := range []string{"GET", "POST", "OPTIONS", "BREW"} {
				got := w.write(method, "", path, nil)
				require.Equal(t, http.StatusNotFound, got.status, "%s %s", method, path)
				require.Equal(t, "not_found", got.str("code"))
			}
		}
	})

	t.Run("HEAD", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("a")
		for _, path := range []string{"/healthz", "/balance", "/workflow-runs", "/workflow-runs/" + id, "/workflow-runs/unknown"} {
			get := w.get(w.admin, path)
			req := w.request(call{method: http.MethodHead, path: path, token: w.admin})
			resp, err := w.client.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, get.status, resp.StatusCode)
			require.Equal(t, get.header.Get("Content-Type"), resp.Header.Get("Content-Type"))
			if get.status == http.StatusOK { // an error carries the request's ID
				require.EqualValues(t, len(get.body), resp.ContentLength)
			}
		}
	})

	t.Run("ErrorsThatNobodyHandled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.fail(errors.New("an unexpected error"))
		got := w.get(w.admin, "/balance")
		require.Equal(t, http.StatusInternalServerError, got.status, "and not an empty 200")
		require.Equal(t, "internal", got.str("code"))
	})
}

func TestPanics(t *testing.T) {
	t.Parallel()

	t.Run("AreA500", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.breakDown("the secret of the panic")
		got := w.get(w.admin, "/balance")
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.Equal(t, "internal", got.str("code"))
		require.NotContains(t, got.text(), "secret")
		require.Contains(t, w.logs.String(), "the secret of the panic")
		require.Contains(t, w.logs.String(), got.str("requestId"))
		w.store.breakDown(nil)
		require.Equal(t, http.StatusOK, w.get(w.admin, "/balance").status, "the server goes on")
	})

	t.Run("CutAnAnswerThatHasBegun", func(t *testing.T) {
		t.Parallel()
		logs := &logBuffer{}
		half := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(rw, "half an ans")
			if err == nil {
				err = http.NewResponseController(rw).Flush() // finds the server's writer behind ours
			}
			if err == nil {
				panic("in the middle of it")
			}
			panic(err)
		})
		server := httptest.NewServer(httpapi.Front(half, slog.New(slog.NewJSONHandler(logs, nil))))
		t.Cleanup(server.Close)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/x", nil)
		require.NoError(t, err)
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "half an answer must not pass for a whole one")
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "half an ans", string(body))
		require.Contains(t, logs.String(), "in the middle of it")
	})

	t.Run("AbortsArePassedOn", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.breakDown(http.ErrAbortHandler)
		resp, err := w.client.Do(w.request(call{
			method: http.MethodPost, path: "/workflow-runs", token: w.admin, contentType: "application/json",
			body: []byte(`{"template":"summarise","files":[{"name":"a","text":""}]}`),
		}))
		if err == nil {
			require.NoError(t, resp.Body.Close())
		}
		require.Error(t, err, "the connection was to be cut")
	})
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.get(w.admin, "/balance", header("X-Request-Id", "trace-42.a_B"))
	require.Equal(t, "trace-42.a_B", got.header.Get("X-Request-Id"))
	require.Contains(t, w.logs.String(), `"request_id":"trace-42.a_B"`)
	seen := map[string]bool{}
	for _, bad := range []string{"", "two words", `quote"`, strings.Repeat("x", 65), "ümlaut"} {
		id := w.get(w.admin, "/balance", header("X-Request-Id", bad)).header.Get("X-Request-Id")
		require.NotEqual(t, bad, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.get(w.admin, "/workflow-runs/unknown?token=in-the-query", header("X-Request-Id", "the-one"))
	found := false
	for line := range strings.Lines(w.logs.String()) {
		if !strings.Contains(line, `"request_id":"the-one"`) {
			continue
		}
		found = true
		for _, part := range []string{
			`"msg":"request"`, `"method":"GET"`, `"path":"/workflow-runs/unknown"`, `"route":"/workflow-runs/:id"`, `"status":404`,
			`"code":"run_not_found"`, `"subject":"ann"`, `"tenant":"acme"`, `"role":"customer_admin"`, `"took":`, `"bytes":`,
		} {
			require.Contains(t, line, part)
		}
		require.NotContains(t, line, "in-the-query")
	}
	require.True(t, found)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	ready := make(chan error, 1)
	w := newWorld(t, func(o *options) { o.api.Ready = func(context.Context) error { return <-ready } })
	require.Equal(t, "ok", w.get("", "/healthz").str("status"))

	ready <- nil
	require.Equal(t, "ready", w.get("", "/readyz").str("status"))
	ready <- errors.New("the database at 10.0.0.9 does not answer")
	got := w.get("", "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "unavailable", got.str("code"))
	require.NotContains(t, got.text(), "10.0.0.9")
	require.Contains(t, w.logs.String(), "10.0.0.9")

	// Concurrent requests share one check.
	var looks atomic.Int64
	began, free := make(chan struct{}), make(chan struct{})
	flooded := newWorld(t, func(o *options) {
		o.api.Ready = func(context.Context) error {
			if looks.Add(1) == 1 {
				close(began)
			}
			<-free
			return nil
		}
	})
	var asking sync.WaitGroup
	ask := func() { require.Equal(t, http.StatusOK, flooded.get("", "/readyz").status) }
	asking.Go(ask)
	<-began
	asking.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := flooded.client.Do(flooded.request(call{method: http.MethodGet, path: "/readyz"}).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded, "it waits for the look that is under way")
	})
	asking.Go(ask)
	time.Sleep(100 * time.Millisecond) // for a second check, which must not begin
	require.EqualValues(t, 1, looks.Load())
	close(free)
	asking.Wait()

	always := newWorld(t)
	require.Equal(t, http.StatusOK, always.get("", "/readyz").status)
}
