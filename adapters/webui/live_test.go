package webui_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

// statusIs is a script that says whether the list shows a run with this status.
func statusIs(id core.RunID, status string) string {
	return fmt.Sprintf(`(document.getElementById("run-%s")?.innerText || "").includes(%q)`, id, status)
}

// The list of runs changes by itself, by the events of its tenant: a run that begins is there,
// also if none ran when the page was loaded, and its status is that of the run.
func TestRunsListFollowsItsTenant(t *testing.T) { onEachStore(t, runsListFollowsItsTenant) }

func runsListFollowsItsTenant(t *testing.T, on store) {
	release, demo := make(chan struct{}), fakellm.Demo(fakellm.DemoOptions{Failures: 100})
	w := newWorld(t, on, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			if in.File == "held.txt" {
				return fakellm.Hold(release, fakellm.OK())
			}
			return demo(in)
		}
	})
	older := w.closed("a-timeout.txt")
	b := w.browser(t)
	b.signIn("admin")
	b.Open("/ui/runs")
	b.Until(statusIs(older, "Failed"))
	require.True(t, eval[bool](b, `window.stayed = true`))
	require.Empty(t, eval[string](b, `document.querySelector("main").dataset.poll || ""`), "nothing runs, so nothing is polled")
	require.True(t, eval[bool](b, `document.querySelector(".pick").click(), document.querySelector(".pick").focus(), true`))

	run := w.run("held.txt")
	b.Until(statusIs(run, "Running"))
	// What is ticked, and has the focus, is still the same run, below the new one.
	require.Equal(t, []string{string(older)}, eval[[]string](b, `[...document.querySelectorAll(".pick:checked")].map((e) => e.value)`))
	require.Equal(t, string(older), eval[string](b, `document.activeElement.value`))
	close(release)
	b.Until(statusIs(run, "Completed"))
	require.True(t, eval[bool](b, `window.stayed`), "the page was loaded again")
	require.Equal(t, []string{string(older)}, eval[[]string](b, `[...document.querySelectorAll(".pick:checked")].map((e) => e.value)`))

	// A page that nobody sees has no stream; when it is seen again it is up to date.
	see := func(hidden bool) {
		require.True(t, eval[bool](b, fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %t, configurable: true}), document.dispatchEvent(new Event("visibilitychange"))`, hidden)))
	}
	streams := func() int32 { return w.streams.ofTenants.Load() }
	require.EqualValues(t, 1, streams())
	see(true)
	require.Eventually(t, func() bool { return streams() == 0 }, 10*time.Second, 5*time.Millisecond)
	later := w.closed("good.txt")
	see(false)
	b.Until(statusIs(later, "Completed"))
	require.Eventually(t, func() bool { return streams() == 1 }, 10*time.Second, 5*time.Millisecond)
}

// Without events the list asks again for as long as a run is running.
func TestRunsListWithoutEvents(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, func(o *options) {
		o.polls = true
		o.script = func(fakellm.Request) fakellm.Action { return fakellm.Hold(release, fakellm.OK()) }
	})
	run := w.run("held.txt")
	b := w.browser(t)
	b.signIn("admin")
	b.Open("/ui/runs")
	b.Until(statusIs(run, "Running"))
	close(release)
	b.Until(statusIs(run, "Completed"))
	require.EqualValues(t, 0, w.streams.ofTenants.Load())
}

// A stream that is refused, because there are too many, leaves the list as it is without
// events.
func TestRunsListOfTooManyStreams(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, func(o *options) {
		o.maxStreams = 1
		o.script = func(fakellm.Request) fakellm.Action { return fakellm.Hold(release, fakellm.OK()) }
	})
	run := w.run("held.txt")
	one := w.browser(t)
	one.signIn("admin")
	one.Open("/ui/runs")
	require.Eventually(t, func() bool { return w.streams.ofTenants.Load() == 1 }, 10*time.Second, 5*time.Millisecond)
	two := one.Another()
	two.Open("/ui/runs")
	two.Until(statusIs(run, "Running"))
	close(release)
	two.Until(statusIs(run, "Completed"))
	one.Until(statusIs(run, "Completed"))
}
