package webui_test

import (
	"net"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// restart stops the server and starts another on the same address, over the same store.
func (w *world) restart(between func()) {
	w.t.Helper()
	address := w.server.Listener.Addr().String()
	handler := w.server.Config.Handler
	stopServer(w.server)
	between()
	listener, err := net.Listen("tcp", address)
	require.NoError(w.t, err)
	again := httptest.NewUnstartedServer(handler)
	require.NoError(w.t, again.Listener.Close())
	again.Listener = listener
	again.Start()
	w.t.Cleanup(func() { stopServer(again) })
	w.server = again
}

// A page that is open while the server restarts recovers by itself and is up to date.
func TestServerRestartsMidRun(t *testing.T) { onEachStore(t, serverRestartsMidRun) }

func serverRestartsMidRun(t *testing.T, on store) {
	release := make(chan struct{})
	w := newWorld(t, on, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			if in.File == "first.txt" {
				return fakellm.OK()
			}
			return fakellm.Hold(release, fakellm.OK())
		}
	})
	b := w.browser(t)
	b.signIn("admin")
	id := w.run("first.txt", "second.txt", "third.txt")
	b.Open("/ui/runs/" + string(id))
	b.Until(`document.querySelector("#said").innerText.startsWith("1 of 3 files done")`)
	require.True(t, eval[bool](b, `window.stayed = true`))
	w.restart(func() {
		close(release)
		w.await(id)
	})
	b.Until(`document.querySelector("#said").innerText.startsWith("3 of 3 files done")`)
	require.Contains(t, b.Text("#run-head"), "Completed")
	require.Contains(t, b.Text("#continue-says"), "Every file is completed.")
	require.True(t, eval[bool](b, `window.stayed`), "the page was loaded again")
}

// When a session ends while a page is open, the page redirects to the sign-in, and back.
func TestSessionEndsWhileThePageIsOpen(t *testing.T) { onEachStore(t, sessionEndsWhileThePageIsOpen) }

func sessionEndsWhileThePageIsOpen(t *testing.T, on store) {
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	w := newWorld(t, on, func(o *options) {
		o.script = func(fakellm.Request) fakellm.Action { return fakellm.Hold(stuck, fakellm.OK()) }
	})
	b := w.browser(t)
	b.signIn("admin")
	id := w.run("first.txt")
	b.Open("/ui/runs/" + string(id) + "?files=waiting")
	b.Until(`document.querySelector("#said")`)
	w.revokeAll()
	b.Until(`location.pathname === "/ui/sign-in" && document.body.innerText.includes("Your session has ended")`)
	b.Click(`form:has([value="admin"]) button`)
	b.Until(`location.pathname + location.search === "/ui/runs/` + string(id) + `?files=waiting" && document.querySelector("#said")`)
}

// Two tabs show the same: an action in one appears in the other.
func TestTwoTabs(t *testing.T) { onEachStore(t, twoTabs) }

func twoTabs(t *testing.T, on store) {
	w := newWorld(t, on)
	one := w.browser(t)
	one.signIn("admin")
	id := w.closed("a-timeout.txt", "b.txt")
	run := "/ui/runs/" + string(id)
	one.Open(run)
	two := &tab{Tab: one.Another()}
	two.Open(run)
	two.Until(`document.querySelector("#continue-button").disabled === false`)
	before := w.balance(acme)
	two.Click("#continue-button")
	two.Until(`document.body.innerText.includes("Every file is completed.")`)
	// The first one is stale, and says so.
	one.Click("#continue-button")
	one.Until(`document.body.innerText.includes("Every file is completed.")`)
	w.await(id)
	require.Equal(t, before-2, w.balance(acme))
}
