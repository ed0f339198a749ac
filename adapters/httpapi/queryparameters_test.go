package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// A parameter that a request does not have is refused, and nothing is done: a maxPrice that is
// misspelled would be no limit, and a filter would leave nothing out.
func TestUnknownParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	failed := w.closed("fail-a")
	for path, c := range map[string]struct {
		method string
		body   any
		fields []string
	}{
		"/workflow-runs?maxprice=1":                                  {http.MethodPost, inline("summarise", "a"), []string{"maxprice"}},
		"/workflow-runs/" + failed + "/retry-failed?max_price=0":     {http.MethodPost, nil, []string{"max_price"}},
		"/bulk-continues?alltenants=true":                            {http.MethodPost, map[string]any{}, []string{"alltenants"}},
		"/workflow-runs?stauts=FAILED&limit=5&Limit=6":               {http.MethodGet, nil, []string{"Limit", "stauts"}},
		"/workflow-runs?=1":                                          {http.MethodGet, nil, []string{""}},
		"/balance?" + strings.Repeat("x", 100) + "=1":                {http.MethodGet, nil, []string{strings.Repeat("x", 64) + "…"}},
		"/workflow-runs/" + failed + "?fields=id":                    {http.MethodGet, nil, []string{"fields"}},
		"/audit-log?" + url.QueryEscape("a\x00b") + "=1&tenant=acme": {http.MethodGet, nil, []string{"a\x00b"}},
	} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			got := w.write(c.method, w.admin, path, c.body)
			require.Equal(t, c.fields, got.fields(), path)
			return got
		})
	}
	got := w.get(w.admin, "/workflow-runs?stauts=FAILED")
	require.Contains(t, got.at("errors", 0, "message"), "has continuable, createdBy, cursor, file, from, limit, status, template, tenant, to")
	require.Contains(t, w.get(w.platform, "/event-tickets?tenant=acme").str("code"), "method_not_allowed")

	// Who may not use it learns nothing of it, and what needs no credential takes anything: a
	// check of health may have a word of its monitor.
	require.Equal(t, http.StatusUnauthorized, w.get("", "/workflow-runs?stauts=FAILED").status)
	require.Equal(t, http.StatusForbidden, w.get(w.stranger, "/workflow-runs/"+failed+"?x=1").status)
	require.Equal(t, http.StatusOK, w.get("", "/healthz?from=monitor").status)
}

// Every operation has its parameters from the document, under its own path.
func TestParametersOfQueriesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	names := httpapi.ParametersOfQueries()
	for _, line := range httpapi.RouteTable() {
		method, pattern, _ := strings.Cut(line, " ")
		if strings.HasPrefix(pattern, "/docs") {
			continue // a page for people
		}
		path := httpapi.DocumentPath(pattern)
		require.Contains(t, names, method+" "+path)
	}
	require.Equal(t, []string{"maxPrice"}, names["POST /workflow-runs/{id}/retry-failed"])
	require.Contains(t, names["GET /tenants/{id}/statements/{period}"], "format")
}

// A range that ends before it begins would find nothing, and say so of what is there.
func TestTimeRangesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/workflow-runs", "/audit-log"} {
		for _, query := range []string{"from=2026-12-01&to=2026-01-01", "from=2026-12-01&to=2026-12-01"} {
			got := w.get(w.admin, path+"?"+query)
			require.Equal(t, http.StatusBadRequest, got.status, path)
			require.Equal(t, []string{"to"}, got.fields())
			require.Equal(t, "must be after from", got.at("errors", 0, "message"))
		}
		require.Equal(t, http.StatusOK, w.get(w.admin, path+"?from=2026-12-01&to=2026-12-02").status)
	}
}
