package httpapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

// Every test checks its answers against the document (world.send). This test checks the
// document itself.
func TestOpenAPI(t *testing.T) {
	t.Parallel()

	t.Run("IsValid", func(t *testing.T) {
		t.Parallel()
		doc := document(t)
		require.Equal(t, "3.1.0", doc.OpenAPI)
		require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))
	})

	t.Run("IsServed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		got := w.get("", "/openapi.json")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, httpapi.OpenAPI(), got.body)
	})

	t.Run("HasEveryRouteAndNoOther", func(t *testing.T) {
		t.Parallel()
		var documented []string
		for path, item := range document(t).Paths.Map() {
			for method := range item.Operations() {
				documented = append(documented, method+" "+path)
			}
		}
		slices.Sort(documented)
		parameter := regexp.MustCompile(`:(\w+)`)
		var routed []string
		for _, r := range httpapi.RouteTable() {
			routed = append(routed, parameter.ReplaceAllString(r, "{$1}"))
		}
		slices.Sort(routed)
		require.Equal(t, routed, documented)
	})

	t.Run("SaysWhichRoutesArePublic", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for path, item := range document(t).Paths.Map() {
			for method, operation := range item.Operations() {
				public := operation.Security != nil && len(*operation.Security) == 0
				got := w.send(call{method: method, path: regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")})
				require.Equal(t, !public, got.status == http.StatusUnauthorized, "%s %s: %s", method, path, got.text())
			}
		}
	})

	t.Run("HasEveryCodeAndNoOther", func(t *testing.T) {
		t.Parallel()
		var documented []string
		for _, v := range document(t).Components.Schemas["Code"].Value.Enum {
			documented = append(documented, v.(string))
		}
		slices.Sort(documented)
		require.Equal(t, httpapi.ProblemCodes(), documented)
	})
}
