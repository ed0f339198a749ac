package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/browser"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// The page of a real server: one click to sign in, files that fail, the Continue button,
// and the cost.
func TestPage(t *testing.T) {
	t.Parallel()
	t.Run("Memory", func(t *testing.T) {
		t.Parallel()
		page(t)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		page(t, "--database-url="+pgtest.NewEmpty(t).URL, "--files="+t.TempDir())
	})
}

func page(t *testing.T, flags ...string) {
	p := start(t, append(flags, "--demo")...)
	b := browser.OpenTab(t, p.url, 1280, 860)
	b.Open("/")
	b.Click(`form:has([value="admin"]) button`)
	b.Until(`document.body.innerText.includes("No runs yet")`)
	b.Click(`.nav a[href="/ui/runs/new"]`)
	b.Until(`document.querySelector("#price")?.textContent.includes("Choose a template and files")`)
	b.Drop("#drop", "letter.txt", "invoice-rate-limit.txt", "report-timeout.txt", "memo-refuse.txt")
	b.Until(`document.querySelector("#price").textContent === "4 files × 10 credits = 40"`)
	b.Click("#start")
	b.Until(`document.querySelector("#continue-button")?.disabled === false`)
	require.Contains(t, b.Text("#continue-says"), "2 failed files × 10 credits = 20 (10 monthly + 10 purchased)")
	b.Click("#continue-button")
	b.Until(`document.querySelector("#continue-says")?.innerText.includes("There is nothing to continue")`)
	b.Until(`document.querySelector("#receipt")?.innerText.includes("60 credits\n50 monthly + 10 purchased")`)
	require.Contains(t, b.Text("#said"), "4 of 4 files done")
	require.Empty(t, browser.Eval[[]string](b, `window.violations`))
	_, balance := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.InDelta(t, 90, balance["available"], 0)
	b.Click(`.nav a[href="/ui/credits"]`)
	b.Until(`document.querySelector(".figures")?.innerText.includes("90")`)
	require.Equal(t, "/docs", browser.Eval[string](b, `document.querySelector("#foot a").getAttribute("href")`))

	operator := browser.OpenTab(t, p.url, 1280, 860)
	operator.Open("/ui/sign-in?next=/ui/operations")
	operator.Click(`form:has([value="operator"]) button`)
	operator.Until(`document.body.innerText.includes("Nothing needs attention.") && document.body.innerText.includes("Jobs running")`)
	require.Zero(t, p.stop(t), "pages that are open hold up no stop")
}

// A page that is open while its server is killed recovers by itself at the next server:
// still signed in and up to date.
func TestPageOutlivesItsServer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	provider := fakellm.New(func(in fakellm.Request) fakellm.Action {
		if strings.Contains(in.File, "slow") {
			return fakellm.Hold(release, fakellm.OK())
		}
		return fakellm.OK()
	})
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	flags := []string{
		"--demo", "--database-url=" + pgtest.NewEmpty(t).URL, "--files=" + t.TempDir(), "--llm-base-url=" + base, "--llm-model=m",
		"--lease=1s", "--recover-every=100ms",
	}
	p := start(t, flags...)
	b := browser.OpenTab(t, p.url, 1280, 860)
	b.Open("/")
	b.Click(`form:has([value="admin"]) button`)
	b.Until(`document.body.innerText.includes("No runs yet")`)
	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs",
		`{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"slow","text":"B"}]}`)
	require.Equal(t, http.StatusCreated, status, "%v", run)
	b.Open("/ui/runs/" + run["id"].(string))
	b.Until(`document.querySelector("#said")?.innerText.startsWith("1 of 2 files done")`)
	require.True(t, browser.Eval[bool](b, `window.stayed = true`))

	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait() // it was killed
	close(release)
	p = start(t, append(flags, "--listen="+strings.TrimPrefix(p.url, "http://"))...)
	b.Until(`document.querySelector("#said").innerText.startsWith("2 of 2 files done")`)
	require.Contains(t, b.Text("#continue-says"), "Every file is completed.")
	require.True(t, browser.Eval[bool](b, `window.stayed`), "the page was loaded again")
	require.Zero(t, p.stop(t))
}

// The page gets its own paths and the API all others.
func TestPageBesideTheAPI(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	get := func(path string) (int, string) {
		res, err := http.Get(p.url + path)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, res.Header.Get("Content-Type") + " " + string(text)
	}
	for _, path := range []string{"/", "/ui", "/ui/"} {
		status, text := get(path)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, "Sign in", path)
	}
	status, text := get("/uiX")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, text, "application/problem+json")
	status, _ = get("/ui/nothing")
	require.Equal(t, http.StatusNotFound, status)
	status, text = get("/docs")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "<title>Redrive API</title>")
	status, _ = get("/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Zero(t, p.stop(t))
}

// A client without a session that announces a form and sends none is disconnected.
func TestPageDisconnectsSilentClients(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--body-timeout=300ms")
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprint(conn, "POST /ui/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken=")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer, err := io.ReadAll(conn) // ends when the server closes
	require.NoError(t, err)
	require.Contains(t, string(answer), "Connection: close")
	require.Zero(t, p.stop(t))
}
