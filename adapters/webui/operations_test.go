package webui_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/webui"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// badDay is a server with every kind of trouble that the operations page shows.
func badDay() webui.Operations {
	at := time.Date(2026, 11, 10, 9, 30, 0, 0, time.UTC)
	return webui.Operations{
		Running: 3, Received: 1200,
		Breakers: []webui.Breaker{
			{Endpoint: "api.example.org", Open: true, Ours: true, DownSince: at, Failures: 4, Fault: core.Failure{Code: core.FailureQuota, Message: "insufficient_quota"}},
			{
				Endpoint: "slow.example.org", Open: true, DownSince: at, Failures: 2, Templates: []string{"acme/summarise"},
				Fault: core.Failure{Code: "odd", Message: "<b>teapot</b>"},
			},
			{Endpoint: "well.example.org", Fault: core.Failure{Code: core.FailureTimeout}},
		},
		Queue: ports.QueueDepth{
			Waiting: ports.Count{N: 10_000, More: true}, Taken: ports.Count{N: 64}, Dead: ports.Count{N: 1}, Oldest: at,
		},
		DeadLetters: []webui.DeadLetter{{ID: "17", At: at, Reason: "undecodable"}},
	}
}

func operationsWorld(t *testing.T, o *webui.Operations) *world {
	return newWorld(t, func(w *options) {
		w.script = func(fakellm.Request) fakellm.Action { return fakellm.Unauthorized() }
		w.page.Operations = func(context.Context) webui.Operations { return *o }
	})
}

// words is the text of a page with runs of white space as single spaces.
func (p shown) words() string { return strings.Join(strings.Fields(p.text), " ") }

func TestOperationsSayWhatToDo(t *testing.T) {
	t.Parallel()
	o := badDay()
	w := operationsWorld(t, &o)
	id := w.closed("a.txt")
	v := w.signedIn(pat)
	page := v.get("/ui/operations")
	require.Equal(t, http.StatusOK, page.status)
	for _, says := range []string{
		"<dt>Waiting jobs</dt><dd>more than 10,000</dd>", "<dt>Jobs in hand</dt><dd>64</dd>", "<dt>Oldest waiting since</dt><dd>10 Nov",
		"<dt>Unreadable messages</dt><dd>1</dd>", "<code>redrive queue dead</code>", `<span class="id">17</span> undecodable`,
		"This server&#39;s account with the provider is out of money.", "To do: pay the provider&#39;s account, or raise its limit.",
		"&lt;b&gt;teapot&lt;/b&gt;", "Only for acme/summarise.", "Jobs wait and are tried again by themselves.",
		"/ui/runs/" + string(id), "The provider refused this server&#39;s credential.",
	} {
		require.Contains(t, page.words(), says)
	}
	require.NotContains(t, page.text, "Nothing needs attention.")
	require.NotContains(t, page.text, "The provider did not answer in time.", "a provider that is asked again has no fault")

	req, err := http.NewRequest(http.MethodGet, w.server.URL+"/ui/operations", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Language", "de")
	german := v.do(req).words()
	require.Contains(t, german, "<dt>Wartende Aufträge</dt><dd>mehr als 10.000</dd>")
	require.Contains(t, german, "das Konto beim Anbieter ausgleichen")
}

// If the queue's figures are not known the page says so, and shows the rest.
func TestOperationsOfASilentQueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue, letters error
		says           string
		fine           bool
	}{
		"Unknown": {ports.ErrUnknownDepth, nil, "This queue cannot count its jobs.", true},
		"Down":    {errors.New("dial tcp 10.0.0.7:5432: refused"), errors.New("dial tcp 10.0.0.7:5432: refused"), "The queue did not answer", false},
		"Letters": {nil, errors.New("dial tcp 10.0.0.7:5432: refused"), "They could not be listed.", false},
		"Empty":   {nil, nil, "<dt>Oldest waiting since</dt><dd>–</dd>", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := webui.Operations{Running: 3, QueueErr: c.queue, LettersErr: c.letters}
			w := operationsWorld(t, &o)
			page := w.signedIn(pat).get("/ui/operations")
			require.Equal(t, http.StatusOK, page.status)
			require.Contains(t, page.words(), c.says)
			require.Contains(t, page.words(), "<dt>Jobs running</dt><dd>3</dd>")
			require.Equal(t, c.fine, strings.Contains(page.text, "Nothing needs attention."))
			require.NotContains(t, page.text, "10.0.0.7")
			require.Equal(t, !c.fine, strings.Contains(w.logs.String(), "10.0.0.7"), "the log says why")
		})
	}
}

// The page with everything on it is accessible in every look.
func TestOperationsAreAccessible(t *testing.T) {
	t.Parallel()
	o := badDay()
	w := operationsWorld(t, &o)
	w.closed("a.txt")
	for _, l := range looks {
		b := w.browser(t)
		b.as(l)
		b.signIn("operator")
		b.Open("/ui/operations")
		b.Until(`document.querySelector("#queue")`)
		b.accessible("operations-bad-day", l)
	}
}
