package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
)

// removals give the path of what each DELETE of the API removes.
var removals = map[string]func(w *world) string{
	"/templates/:id": func(*world) string { return "/templates/summarise?tenant=acme" },
	"/api-keys/:id": func(w *world) string {
		return "/api-keys/" + w.makeKey(w.admin, map[string]any{"name": "ci", "role": "customer_user"}).str("id") + "?tenant=acme"
	},
	"/webhook-endpoints/:id": func(w *world) string {
		return "/webhook-endpoints/" + w.hook("https://example.com", "run.closed").str("id") + "?tenant=acme"
	},
}

// Who sends a body expects it to have an effect. Where none is read it is refused, but for an
// empty object, which clients send that cannot leave it out.
func TestBodiesThatAreNotRead(t *testing.T) {
	t.Parallel()
	for _, line := range httpapi.RouteTable() {
		method, pattern, _ := strings.Cut(line, " ")
		if method == http.MethodGet || method == http.MethodPatch || pattern == "/bulk-continues/preview" {
			continue
		}
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *options) { o.api.Tickets = memory.NewStore().Tickets() })
			path, token := pattern, w.platform
			switch {
			case method == http.MethodDelete:
				require.Contains(t, removals, pattern, "a DELETE needs its row in removals")
				path = removals[pattern](w)
			case pattern != "/event-tickets":
				row := repeatables[pattern]
				at, body, _ := row.request(w)
				if body != nil {
					return
				}
				path, token = at, row.token(w)
			}
			for _, body := range []any{map[string]any{"reason": "x"}, []int{1}, "x"} {
				got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.write(method, token, path, body) })
				require.Equal(t, []string{"body"}, got.fields())
			}
			got := w.write(method, token, path, map[string]any{})
			require.Less(t, got.status, 300, got.text())
		})
	}
}
