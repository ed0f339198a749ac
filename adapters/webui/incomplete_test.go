package webui_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/partial"
	"github.com/redrive/redrive/ports"
)

// Pages over all tenants show what can be had, with a notice of what is missing.
func TestPagesSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	var s *partial.Store
	w := newWorld(t, func(o *options) {
		o.wrap = func(store ports.Store) ports.Store {
			s = partial.New(store)
			return s
		}
	})
	w.closed("a-timeout.txt")
	for i := range 120 {
		_, err := w.svc.CreateTenant(t.Context(), core.System, core.TenantID(fmt.Sprintf("t-%03d", i)), "T", 0)
		require.NoError(t, err)
	}
	bulk, _, err := w.svc.CreateBulk(t.Context(), pat, app.BulkRequest{})
	require.NoError(t, err)
	v := w.signedIn(pat)
	pages := []string{"/ui/tenants", "/ui/audit", "/ui/operations"}
	for _, path := range append(pages, "/ui/bulk/"+string(bulk.Bulk.ID)) {
		require.NotContains(t, v.get(path).words(), "does not answer", path)
	}
	s.Cut("acme", "t-050")
	for _, path := range pages {
		page := v.get(path)
		require.Equal(t, http.StatusOK, page.status, path)
		require.Contains(t, page.words(), "A part of the database does not answer at the moment. 2 tenants are missing here: acme and t-050.", path)
		require.NotContains(t, page.words(), "Nothing needs attention.", path)
	}
	require.NotContains(t, v.get("/ui/tenants").words(), "t-050</span>")
	require.Contains(t, v.get("/ui/tenants").words(), "t-051</span>")
	page := v.get("/ui/bulk/" + string(bulk.Bulk.ID))
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.words(), "nothing is known of 1 of the runs", "the page of the bulk continue")
	next := v.get("/ui/tenants?after=t-098&partial=1")
	require.Contains(t, next.words(), "2 tenants are missing")
	require.Contains(t, v.get("/ui/tenants").text, "partial=1", "the link to the next page")
	s.Heal()
	require.Contains(t, v.get("/ui/tenants?after=t-098&partial=1").words(), "A page before this one was incomplete")
	require.NotContains(t, v.get("/ui/tenants").words(), "incomplete")

	s.Cut("t-001")
	req, err := http.NewRequest(http.MethodGet, w.server.URL+"/ui/tenants", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Language", "de")
	require.Contains(t, v.do(req).words(), "Hier fehlt der Mandant t-001.")
}
