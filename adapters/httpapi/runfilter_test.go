package httpapi_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestFindRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.template("translate", 1, core.ModePerFile)
	failed := w.closed("fail-a.txt")
	w.clock.Advance(24 * time.Hour)
	w.script.heal()
	completed := w.closed("Invoice 7.PDF", "b")
	w.clock.Advance(24 * time.Hour)
	other := w.post(w.user, "/workflow-runs", inline("translate", "a_b.txt")).str("id")

	for query, want := range map[string][]string{
		"":                                 {other, completed, failed},
		"status=RUNNING":                   {other},
		"continuable=true":                 {failed},
		"continuable=false":                {other, completed},
		"continuable=true&status=RUNNING":  {},
		"continuable=true&status=FAILED":   {failed},
		"status=FAILED,COMPLETED":          {completed, failed},
		"template=translate":               {other},
		"template=no-such-template":        {},
		"createdBy=ulf":                    {other},
		"createdBy=ann&status=FAILED":      {failed},
		"file=invoice":                     {completed},
		"file=.TXT":                        {other, failed},
		"file=a_b":                         {other},
		"file=%25":                         {},
		"from=2026-11-16":                  {other, completed},
		"from=2026-11-16T12:00:00.000001Z": {other},
		"to=2026-11-16":                    {failed},
		"from=2026-11-16T13:00:00%2B01:00&to=2026-11-17":                                      {completed},
		"file=a&template=summarise&createdBy=ann&status=FAILED&from=2026-11-01&to=2027-01-01": {failed},
	} {
		ids := []string{}
		cursor := ""
		for {
			got := w.get(w.admin, "/workflow-runs?limit=1&"+query+cursor)
			require.Equal(t, http.StatusOK, got.status, "%s: %s", query, got.text())
			for i := range got.at("runs").([]any) {
				ids = append(ids, got.str("runs", i, "id"))
			}
			next, _ := got.at("nextCursor").(string)
			if next == "" {
				break
			}
			cursor = "&cursor=" + url.QueryEscape(next)
		}
		require.Equal(t, want, ids, query)
	}
	require.Empty(t, w.get(w.stranger, "/workflow-runs?file=a").at("runs"))

	bad := w.get(w.admin, "/workflow-runs?status=FAILED,&template=%20&createdBy=%00&file=%0a&from=yesterday&to=2026-13-01&continuable=maybe")
	require.Equal(t, http.StatusBadRequest, bad.status)
	require.Equal(t, []string{"status", "template", "createdBy", "file", "from", "to", "continuable"}, bad.fields())
}
