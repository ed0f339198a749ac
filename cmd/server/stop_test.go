package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

func (p *process) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn, bufio.NewReader(conn)
}

// With any behaviour of clients, a stop ends within the drain timeout and with code 0.
func TestStopWithMisbehavingClients(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--drain-timeout=1s", "--body-timeout=1h", "--header-timeout=1h", "--write-timeout=1h")
	token := p.token(t, demoAdmin)
	for _, said := range []string{
		"",                                     // silence
		"GET /balance HTTP/1.1\r\nHost: x\r\n", // half a head
		"POST /tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", // a body that never comes
		"POST /workflow-runs/x/cancel HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 100\r\n\r\n",
		"POST /workflow-runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
			"\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\nhalf",
		strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 2000), // answers that are not read
	} {
		conn, _ := p.dial(t)
		go func() { _, _ = io.WriteString(conn, said) }() // it may block, and ends with the connection
	}
	kept, in := p.dial(t) // a connection that is kept open
	_, err := fmt.Fprint(kept, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_, err = http.ReadResponse(in, nil)
	require.NoError(t, err)

	began := time.Now()
	require.Zero(t, p.stop(t), p.log.String())
	require.Less(t, time.Since(began), 20*time.Second, "the drain time is 1s")
	require.Contains(t, p.log.String(), "msg=stopped")
}

// 600 connections whose bodies never come, with a limit of 512 descriptors: other clients
// are served meanwhile.
func TestStalledConnections(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	p := startBy(t, []string{shell, "-c", `ulimit -n 512 && exec "$0" "$@"`}, "--demo", "--drain-timeout=1s")
	for range 600 {
		conn, _ := p.dial(t)
		_, err := fmt.Fprint(conn, "POST /workflow-runs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n")
		require.NoError(t, err)
	}
	for range 5 {
		status, _ := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
		require.Equal(t, http.StatusOK, status)
	}
	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, status, "%v", run)
	require.Zero(t, p.stop(t))
	require.Contains(t, p.log.String(), "out of connections")
	require.NotContains(t, p.log.String(), "too many open files")
}

// Headers are bounded at 32 KB.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	ask := func(n int) int {
		conn, in := p.dial(t)
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", n)) // the answer may come first
		}()
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		return res.StatusCode
	}
	require.Equal(t, http.StatusOK, ask(27<<10))
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, ask(33<<10))
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, ask(1<<20))
	require.Zero(t, p.stop(t))
}

// Warnings for the operator are logged at the start, and do not contain the secret.
func TestWarnings(t *testing.T) {
	t.Parallel()
	provider := fakellm.New(fakellm.Always(fakellm.OK()))
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	const weak = "changeme-changeme-changeme-changeme"
	p := start(t, "--jwt-secret="+weak, "--llm-base-url="+base, "--llm-model=m")
	require.Zero(t, p.stop(t))
	require.Contains(t, p.log.String(), "may be guessed")
	require.NotContains(t, p.log.String(), "TLS")
	require.NotContains(t, p.log.String(), weak)

	// Where other machines can reach it, a secret that may be guessed is refused.
	const good = "9b2f6c0e1d7a48c3b5e0f1a29d8c7b64"
	for _, secrets := range [][]string{{"--jwt-secret=" + weak}, {"--jwt-secret=" + good, "--jwt-secrets=" + weak}, {"--jwt-secrets=" + good + "," + weak}} {
		var out, logs bytes.Buffer
		line := append([]string{"serve", "--listen=0.0.0.0:0", "--database-url=memory:", "--llm-base-url=" + base, "--llm-model=m"}, secrets...)
		require.Equal(t, 1, run(t.Context(), line, &out, &logs))
		require.Contains(t, logs.String(), "may be guessed")
		require.NotContains(t, logs.String(), weak)
	}
	p = start(t, "--listen=0.0.0.0:0", "--jwt-secret="+good, "--llm-base-url="+base, "--llm-model=m")
	require.Zero(t, p.stop(t))
	require.Contains(t, p.log.String(), "put a TLS proxy in front of it")

	p = start(t, "--jwt-secret="+good, "--llm-base-url="+base, "--llm-model=m")
	require.NotContains(t, p.log.String(), "may be guessed")
	require.NotContains(t, p.log.String(), "TLS")
	require.Zero(t, p.stop(t))
}

// The server is not ready if the queue accepts no jobs or the database is read-only; a
// request that needs it is answered with 503, which is no fault of the server.
func TestReadiness(t *testing.T) {
	t.Parallel()
	empty := pgtest.NewEmpty(t)
	p := start(t, "--demo", "--queue-url="+empty.URL)
	require.Equal(t, http.StatusServiceUnavailable, p.ready(t), "the queue's database was never migrated")
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "redrive migrate") }, time.Minute, 5*time.Millisecond)
	code, _, logs := command("migrate", "--database-url="+empty.URL)
	require.Zero(t, code, logs)
	require.Eventually(t, func() bool { return p.ready(t) == http.StatusOK }, time.Minute, 20*time.Millisecond)
	require.Zero(t, p.stop(t))

	db := pgtest.New(t)
	p = start(t, "--demo", "--database-url="+db.URL, "--files="+t.TempDir())
	require.Equal(t, http.StatusOK, p.ready(t))
	readOnly(t, db.URL)
	require.Eventually(t, func() bool { return p.ready(t) == http.StatusServiceUnavailable }, time.Minute, 20*time.Millisecond)
	status, refusal := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusServiceUnavailable, status, "%v", refusal)
	require.Equal(t, "unavailable", refusal["code"])
	status, _ = p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.Equal(t, http.StatusOK, status, "reading goes on")
	require.Zero(t, p.stop(t))
}

// readOnly makes a database read-only, and ends the connections to it.
func readOnly(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), `DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
	END $$`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
}
