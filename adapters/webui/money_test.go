package webui_test

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
)

func TestCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a-timeout.txt", "b.txt")
	w.retry(id)
	w.await(id)
	v := w.signedIn(ann)
	p := v.get("/ui/credits")
	require.Regexp(t, `<dd>94</dd>`, p.text)
	require.Contains(t, p.text, "4 credits then lapse.")
	require.Contains(t, p.text, "6 (6 monthly)", "spent")
	require.Contains(t, p.text, `role="img" aria-label="`)
	require.Contains(t, p.text, "4 credits of the allowance left (line), 6 credits spent (bars by day).")
	require.Contains(t, p.text, `<a href="/ui/templates/summarise"><bdi>Summarise</bdi></a>`)
	require.NotContains(t, p.text, "/ui/tenants/")

	require.NotContains(t, v.get("/ui/credits?kind=purchase").text, "Continue 1")
	require.Contains(t, v.get("/ui/credits?kind=charge").text, "Continue 1")
	require.Contains(t, v.get("/ui/credits?kind=refund").text, "Nothing was booked yet")
	require.Contains(t, v.get("/ui/credits?period=2020-01").text, "January 2020")
	require.NotContains(t, v.get("/ui/credits?period=2020-01").text, "Continue 1")
	p = v.get("/ui/credits/statement")
	require.Contains(t, p.text, "Statement: ")
	require.Contains(t, p.text, "Tenant acme")
	require.Contains(t, p.text, "Charge · Continue 1")

	rows, err := csv.NewReader(strings.NewReader(v.get("/ui/credits/ledger.csv").text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 5)
	require.Equal(t, []string{"charge", "-2", "0", string(id), "1"}, []string{rows[4][2], rows[4][4], rows[4][5], rows[4][6], rows[4][7]})
}

func TestRunsAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.template("other", "Another", 1)
	ok, failed := w.closed("letter.txt"), w.closed("a-timeout.txt")
	other := w.closedWith("other", "report.txt")
	v := w.signedIn(ann)
	for query, want := range map[string][]core.RunID{
		"":                                  {ok, failed, other},
		"?status=FAILED":                    {failed},
		"?file=LETTER":                      {ok},
		"?template=other":                   {other},
		"?by=ann&status=COMPLETED":          {ok, other},
		"?by=none":                          nil,
		"?from=2020-01-01&to=2020-01-31":    nil,
		"?from=2020-01-01":                  {ok, failed, other},
		"?status=nonsense&before=x&from=no": {ok, failed, other},
	} {
		p := v.get("/ui/runs" + query)
		require.Equal(t, http.StatusOK, p.status)
		for _, id := range []core.RunID{ok, failed, other} {
			found := false
			for _, w := range want {
				found = found || w == id
			}
			require.Equal(t, found, strings.Contains(p.text, "/ui/runs/"+string(id)), "%s: %s", query, id)
		}
	}
	require.Contains(t, v.get("/ui/runs?by=none").text, "No runs here")
}

func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) {
		o.script = func(fakellm.Request) fakellm.Action { return fakellm.Unauthorized() }
	})
	operator := w.signedIn(pat)
	require.Contains(t, operator.get("/ui/operations").text, "Nothing needs attention.")
	require.Equal(t, http.StatusForbidden, w.signedIn(ann).get("/ui/operations").status)
	id := w.run("a.txt")
	run := w.await(id)
	require.Equal(t, core.RunInterrupted, run.Status)
	p := operator.get("/ui/operations")
	require.Contains(t, p.text, "/ui/runs/"+string(id))
	require.Contains(t, p.text, "The provider refused this server&#39;s credential.")
	p = w.signedIn(ann).get("/ui/runs/" + string(id))
	require.Contains(t, p.text, "The provider refused this server&#39;s credential.")
	require.Contains(t, p.text, "our fault, free to continue")
	require.Contains(t, p.text, "1 interrupted file is free")
	require.Contains(t, w.signedIn(ann).post("/ui/runs/"+string(id)+"/continue", url.Values{"price": {"0"}, "attempt": {"0"}, "key": {"k"}}).path, "notice=continued")
}
