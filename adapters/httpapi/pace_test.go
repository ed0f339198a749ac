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
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

// hangTimeout bounds waits; only a hang reaches it.
const hangTimeout = time.Minute

// slowClient is a connection that a test writes to as it likes.
type slowClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, server *httptest.Server) *slowClient {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
	require.NoError(t, conn.SetDeadline(time.Now().Add(hangTimeout)))
	return &slowClient{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (c *slowClient) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.conn, format, args...)
	require.NoError(c.t, err)
}

// answer reads one answer.
func (c *slowClient) answer() (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp, string(body)
}

// closed waits until the server has closed the connection.
func (c *slowClient) closed() {
	c.t.Helper()
	_, err := c.in.ReadByte()
	require.Error(c.t, err)
	require.False(c.t, errors.Is(err, os.ErrDeadlineExceeded), "the server keeps the connection")
}

// head is the head of a request with a body of a million bytes.
func head(method, path, token, contentType string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nIdempotency-Key: k\r\nContent-Length: 1000000\r\n\r\n",
		method, path, token, contentType)
}

// The server does not wait for a body that never comes if it need not read it, and not
// for long if it must. Either way it answers and closes the connection.
func TestMissingBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) {
		// As long as the test may take: what does not wait for the body shows by ending.
		o.api.Pace = httpapi.Pace{Body: time.Hour, UploadWindow: time.Hour}
	})
	run := w.start("a")
	for _, c := range []struct {
		method, path, token string
		status              int
	}{
		{"POST", "/workflow-runs", "", 401},
		{"POST", "/workflow-runs", "garbage", 401},
		{"POST", "/tenants", "", 401},
		{"GET", "/balance", "", 401},
		{"POST", "/nothing", "", 404},
		{"POST", "/workflow-runs/", "", 404},
		{"PUT", "/workflow-runs", "", 405},
		{"OPTIONS", "/workflow-runs", "", 204},
		{"GET", "/healthz", "", 200},
		{"GET", "/balance", w.admin, 200},
		{"POST", "/workflow-runs?tenant=globex", w.admin, 403},
		{"POST", "/tenants", w.admin, 403},
		{"POST", "/workflow-runs", w.admin, 415},
		{"PATCH", "/templates/x?tenant=acme", w.platform, 415},
		{"POST", "/workflow-runs/unknown/retry-failed", w.admin, 404},
		{"POST", "/workflow-runs/" + run + "/retry-failed", w.admin, 413},
	} {
		var clients []*slowClient // all at once: each has half a second to read its answer
		for _, beginning := range []string{"", "{", strings.Repeat(" ", 5000)} {
			client := dial(t, w.server)
			client.send("%s%s", head(c.method, c.path, c.token, "text/plain"), beginning)
			clients = append(clients, client)
		}
		for _, client := range clients {
			resp, body := client.answer()
			require.Equal(t, c.status, resp.StatusCode, "%s %s: %s", c.method, c.path, body)
			require.True(t, resp.Close, "%s %s", c.method, c.path)
			client.closed()
		}
	}
	client := dial(t, w.server)
	client.send("POST /tenants HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, _ := client.answer()
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	client.closed()
}

func TestBodyTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) {
		o.api.Pace = httpapi.Pace{Body: 50 * time.Millisecond, UploadWindow: 50 * time.Millisecond}
	})
	const form = "multipart/form-data; boundary=x"
	for _, c := range []struct{ method, path, token, contentType, beginning string }{
		{"POST", "/tenants", w.platform, "application/json", ""},
		{"POST", "/tenants", w.platform, "application/json", `{"id":"x"`},
		{"POST", "/tenants/acme/purchases", w.platform, "application/json", `{`},
		{"PATCH", "/templates/summarise?tenant=acme", w.platform, "application/json", `{"name":`},
		{"POST", "/workflow-runs", w.admin, "application/json", `{"files":[{"name":"a"`},
		{"POST", "/workflow-runs", w.admin, form, ""},
		{"POST", "/workflow-runs?template=summarise", w.admin, form, "--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\nhalf a fi"},
		{"POST", "/workflow-runs", w.admin, form, "--x\r\nContent-Disposition: form-data; name=templ"},
	} {
		client := dial(t, w.server)
		client.send("%s%s", head(c.method, c.path, c.token, c.contentType), c.beginning)
		resp, body := client.answer()
		require.Equal(t, http.StatusRequestTimeout, resp.StatusCode, "%s %s: %s", c.method, c.path, body)
		require.Contains(t, body, `"code":"request_timeout"`)
		client.closed()
	}
	client := dial(t, w.server)
	client.send("POST /workflow-runs/%s/cancel HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n", w.start("a"), w.admin)
	resp, _ := client.answer()
	require.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
	client.closed()
}

// An upload may take longer than other bodies while data arrives, up to a limit.
func TestUploads(t *testing.T) {
	t.Parallel()
	const boundary = "x"
	begin := func(w *world) *slowClient {
		client := dial(t, w.server)
		client.send("POST /workflow-runs?template=summarise HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: multipart/form-data; boundary=%s\r\nTransfer-Encoding: chunked\r\n\r\n", w.admin, boundary)
		return client
	}
	chunk := func(c *slowClient, text string) { c.send("%x\r\n%s\r\n", len(text), text) }
	const opening = "--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n"

	t.Run("FastEnough", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *options) {
			o.api.Pace = httpapi.Pace{Body: 20 * time.Millisecond, UploadRate: 100, UploadWindow: 10 * time.Second}
		})
		client := begin(w)
		chunk(client, opening)
		for range 10 { // longer in all than any other body may be
			time.Sleep(10 * time.Millisecond)
			chunk(client, strings.Repeat("a", 200))
		}
		chunk(client, "\r\n--x--\r\n")
		client.send("0\r\n\r\n")
		resp, body := client.answer()
		require.Equal(t, http.StatusCreated, resp.StatusCode, body)
	})

	t.Run("TooSlow", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *options) {
			o.api.Pace = httpapi.Pace{UploadRate: 1 << 20, UploadWindow: 200 * time.Millisecond}
		})
		client := begin(w)
		chunk(client, opening)
		stop := make(chan struct{})
		var trickle sync.WaitGroup
		trickle.Go(func() { // never silent for long
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					if _, err := io.WriteString(client.conn, "1\r\na\r\n"); err != nil {
						return
					}
				}
			}
		})
		resp, body := client.answer()
		close(stop)
		trickle.Wait()
		require.Equal(t, http.StatusRequestTimeout, resp.StatusCode, body)
	})

	t.Run("TooLong", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *options) {
			o.api.Pace = httpapi.Pace{UploadRate: 1, UploadWindow: time.Second, Upload: 200 * time.Millisecond}
		})
		client := begin(w)
		chunk(client, opening)
		stop := make(chan struct{})
		var going sync.WaitGroup
		going.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					if _, err := io.WriteString(client.conn, "8\r\naaaaaaaa\r\n"); err != nil {
						return
					}
				}
			}
		})
		resp, body := client.answer()
		close(stop)
		going.Wait()
		require.Equal(t, http.StatusRequestTimeout, resp.StatusCode, body)
	})
}

// front is a server with the front and one handler.
func front(t *testing.T, pace httpapi.Pace, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(httpapi.FrontWith(handler, slog.New(slog.DiscardHandler), pace))
	t.Cleanup(server.Close)
	return server
}

// The deadline of the body does not apply to the rest of the request: once the body is
// read, the handler may take any time and its context is not cancelled.
func TestBodyDeadlineEndsWithBody(t *testing.T) {
	t.Parallel()
	server := front(t, httpapi.Pace{Body: 50 * time.Millisecond}, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(err)
		}
		select {
		case <-req.Context().Done():
			http.Error(w, "the client was taken for gone", http.StatusTeapot)
		case <-time.After(200 * time.Millisecond):
			_, _ = w.Write(body)
		}
	})
	client := dial(t, server)
	for range 2 { // the connection is used again
		client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		resp, body := client.answer()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, "hello", body)
		require.False(t, resp.Close)
	}
}

// A client that does not read is dropped, and one that reads slowly is not.
func TestClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	written := make(chan error, 1)
	server := front(t, httpapi.Pace{Write: 300 * time.Millisecond}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/streamed" {
			for range 3 {
				_, err := io.WriteString(w, "piece ")
				if err == nil {
					err = http.NewResponseController(w).Flush()
				}
				if err != nil {
					panic(err)
				}
				time.Sleep(200 * time.Millisecond) // longer in all than one deadline
			}
			return
		}
		_, err := w.Write(make([]byte, size))
		written <- err
	})

	deaf := dial(t, server)
	deaf.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-written:
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	case <-time.After(hangTimeout):
		t.Fatal("the handler still writes")
	}

	client := dial(t, server)
	client.send("GET /streamed HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, body := client.answer()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "piece piece piece ", body)

	reader := dial(t, server)
	reader.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	got, err := http.ReadResponse(reader.in, nil)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, got.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, <-written)
}

// 200 connections without a token, with bodies that never come, cost little while
// they last and are gone soon.
func TestStalledConnections(t *testing.T) { //nolint:paralleltest // it measures what the process has
	const connections = 200
	w := newWorld(t, func(o *options) { o.api.Pace = httpapi.Pace{Body: time.Second} })
	var open atomic.Int64
	server := httptest.NewUnstartedServer(w.server.Config.Handler)
	server.Config.ReadHeaderTimeout = time.Second
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		default:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range connections {
		client := dial(t, server)
		switch i % 4 {
		case 0: // says nothing
		case 1: // says half a head
			client.send("POST /workflow-runs HTTP/1.1\r\nHost: x\r\n")
		case 2:
			client.send("%s", head("POST", "/workflow-runs", "", "multipart/form-data; boundary=x"))
		case 3:
			client.send("%s", head("POST", "/tenants", "garbage", "application/json"))
		}
	}
	require.Eventually(t, func() bool { return open.Load() > 0 }, hangTimeout, time.Millisecond)
	runtime.GC()
	runtime.ReadMemStats(&during)
	require.Less(t, int64(during.HeapInuse+during.StackInuse)-int64(before.HeapInuse+before.StackInuse), int64(connections*64<<10))
	require.Eventually(t, func() bool { return open.Load() == 0 }, hangTimeout, 10*time.Millisecond, "connections stay")
}

// Long text of a client is cut in the log and in the answer.
func TestLongTextIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.fail(errors.New(strings.Repeat("e", 100_000)))
	long := strings.Repeat("ä", 10_000)
	for _, c := range []struct{ method, path string }{
		{"GET", "/" + strings.Repeat("x", 20_000)},
		{"GET", "/workflow-runs/" + strings.Repeat("%C3%A4", 3000)},
		{strings.Repeat("M", 20_000), "/balance"},
		{"GET", "/balance"},
		{"GET", "/balance?tenant=" + strings.Repeat("t", 20_000)},
	} {
		resp, body := w.rawRequest(c.method, c.path)
		require.GreaterOrEqual(t, resp.StatusCode, 400)
		require.Less(t, len(body), 2000)
	}
	w.get(w.admin, "/balance", header("X-Request-Id", long))
	for line := range strings.Lines(w.logs.String()) {
		require.Less(t, len(line), 3000)
	}
}

// Config.Authenticated is called for requests with a valid token only.
func TestAuthenticatedIsCalled(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	w := newWorld(t, func(o *options) { o.api.Authenticated = func(context.Context) { calls.Add(1) } })
	w.get("", "/balance")
	w.get("garbage", "/balance")
	w.get("", "/healthz")
	w.get("", "/nothing")
	require.Zero(t, calls.Load())
	w.get(w.admin, "/balance")
	w.get(w.stranger, "/balance?tenant=acme")
	require.EqualValues(t, 2, calls.Load())
}
