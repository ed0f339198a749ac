package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/partial"
)

// partialWorld has tenants that can be cut off: acme, globex, and others-0 to others-4.
func partialWorld(t *testing.T) (*world, *partial.Store) {
	t.Helper()
	s := partial.New(memory.NewStore())
	w := newWorld(t, func(o *options) { o.store = s })
	for i := range 5 {
		got := w.post(w.platform, "/tenants", map[string]any{"id": fmt.Sprintf("others-%d", i), "name": "o"})
		require.Equal(t, http.StatusCreated, got.status, got.text())
	}
	return w, s
}

func (w *world) ofAll(path string) answer {
	w.t.Helper()
	got := w.get(w.platform, path)
	require.Equal(w.t, http.StatusOK, got.status, got.text())
	return got
}

// A list over all tenants of which some cannot be asked has the others, and says what is
// missing, on each page that follows too, so that nothing is skipped unnoticed.
func TestListsOfAllTenantsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, items, tenant string
	}{
		"tenants":   {"/tenants?limit=2", "tenants", "id"},
		"audit log": {"/audit-log?limit=2", "events", "tenant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := partialWorld(t)
			walk := func(path string) (seen []string, incomplete []bool) {
				for {
					page := w.ofAll(path)
					for _, item := range page.at(c.items).([]any) {
						seen = append(seen, item.(map[string]any)[c.tenant].(string))
					}
					incomplete = append(incomplete, page.at("incomplete") != nil)
					cursor, more := page.at("nextCursor").(string)
					if !more {
						return seen, incomplete
					}
					path = c.path + "&cursor=" + url.QueryEscape(cursor)
				}
			}
			whole, incomplete := walk(c.path)
			require.NotContains(t, incomplete, true)

			s.Cut("others-1", "others-3", acme)
			some, incomplete := walk(c.path)
			require.NotContains(t, incomplete, false)
			require.NotContains(t, some, "others-1")
			require.Contains(t, some, "others-4")
			first := w.ofAll(c.path)
			require.Equal(t, []any{"acme", "others-1", "others-3"}, first.at("incomplete", "tenants"))
			require.Equal(t, 3, first.int("incomplete", "tenantCount"))
			require.Equal(t, "A part of the database does not answer at the moment, so 3 tenants are missing here: acme, others-1, others-3. Nothing is lost; ask again in a while.",
				first.str("incomplete", "message"))

			// Whoever goes on when they are back is told on each page that earlier ones lack rows.
			s.Heal()
			_, incomplete = walk(c.path + "&cursor=" + url.QueryEscape(first.str("nextCursor")))
			require.NotContains(t, incomplete, false)
			next := w.ofAll(c.path + "&cursor=" + url.QueryEscape(first.str("nextCursor")))
			require.Contains(t, next.str("incomplete", "message"), "begin again without a cursor")
			require.Nil(t, next.at("incomplete", "tenants"))
			again, incomplete := walk(c.path)
			require.NotContains(t, incomplete, true)
			require.Equal(t, whole, again)
		})
	}
}

// Of many that are missing some are named.
func TestIncompleteNamesSomeTenants(t *testing.T) {
	t.Parallel()
	w, s := partialWorld(t)
	for i := range 30 {
		s.Cut(core.TenantID(fmt.Sprintf("t-%02d", i)))
	}
	page := w.ofAll("/tenants")
	require.Len(t, page.at("incomplete", "tenants"), 20)
	require.Equal(t, 30, page.int("incomplete", "tenantCount"))
	require.Contains(t, page.str("incomplete", "message"), "30 tenants are missing here: t-00, ")
	require.Contains(t, page.str("incomplete", "message"), "t-19 and 10 more.")
	require.Contains(t, w.logs.String(), "an answer is incomplete")
	s.Heal()
	s.Cut(globex)
	require.Contains(t, w.ofAll("/tenants").str("incomplete", "message"), "so tenant globex is missing here.")
}

// A bulk continue over several tenants says that nothing is known of some of its runs, while
// the others go on.
func TestBulkContinueSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w, s := partialWorld(t)
	w.closed("fail-1")
	w.closed("fail-2")
	w.script.heal()
	made := w.post(w.platform, "/bulk-continues?allTenants=true", map[string]any{})
	require.Equal(t, http.StatusCreated, made.status, made.text())
	path := "/bulk-continues/" + made.str("id")
	s.Cut(acme)
	w.drive()
	got := w.ofAll(path)
	require.Equal(t, "running", got.str("state"))
	require.Equal(t, 2, got.int("progress", "unknown"))
	require.Equal(t, 2, got.int("progress", "runs"))
	require.Contains(t, got.str("incomplete", "message"), "nothing is known of 2 of the runs")
	list := w.ofAll("/bulk-continues?allTenants=true")
	require.Contains(t, list.text(), `"incomplete"`)
	require.NotNil(t, w.ofAll(path+"/runs").at("incomplete"))
	paused := w.post(w.platform, path+"/pause", nil)
	require.Equal(t, "paused", paused.str("state"))
	require.NotNil(t, paused.at("incomplete"))
	require.Equal(t, http.StatusServiceUnavailable, w.post(w.platform, path+"/resume", nil).status)
	require.Equal(t, http.StatusServiceUnavailable, w.get(w.platform, "/audit-log?tenant=acme").status, "of one tenant there is no part")
	s.Heal()
	require.Equal(t, "running", w.post(w.platform, path+"/resume", nil).str("state"))
	for range 10 {
		w.drive()
	}
	got = w.ofAll(path)
	require.Equal(t, "finished", got.str("state"), got.text())
	require.Equal(t, 2, got.int("progress", "continued"))
	require.NotContains(t, got.text(), "unknown")
	require.NotContains(t, got.text(), "incomplete")
}
