package httpapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/redrive/redrive/adapters/httpapi"
)

// Every test checks its answers against the document (world.send). This test checks the
// document itself.
func TestOpenAPI(t *testing.T) {
	t.Parallel()

	t.Run("IsValid", func(t *testing.T) {
		t.Parallel()
		doc := document()
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

	t.Run("IsServedAsYAML", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		got := w.get("", "/openapi.yaml")
		require.Equal(t, "application/yaml", got.header.Get("Content-Type"))
		var fromYAML, fromJSON any
		require.NoError(t, yaml.Unmarshal(got.body, &fromYAML))
		require.NoError(t, yaml.Unmarshal(httpapi.OpenAPI(), &fromJSON), "JSON is YAML")
		require.Equal(t, fromJSON, fromYAML)
		require.Regexp(t, `(?s)^openapi: 3\.1\.0\ninfo:.*\nservers:.*\npaths:.*\ncomponents:`, got.text(), "the order is that of the JSON")
	})

	// What world.send relies on.
	t.Run("CheckerNotices", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		balance := w.get(w.admin, "/balance").text()
		none := w.get(w.admin, "/workflow-runs/none").text()
		for _, c := range []struct {
			path   string
			status int
			body   string
			says   string
		}{
			{"/balance", 200, balance, ""},
			{"/balance", 200, strings.Replace(balance, `"tenant"`, `"more":1,"tenant"`, 1), "more"},
			{"/balance", 200, strings.Replace(balance, `"acme"`, `5`, 1), "tenant"},
			{"/balance", 202, balance, "status 202"},
			{"/balance", 304, "", "status 304"},
			{"/nothing", 200, "{}", "not in the document"},
			{"/workflow-runs/none", 404, none, ""},
			{"/workflow-runs/none", 404, strings.Replace(none, `"code":"run_not_found"`, `"code":"file_not_found"`, 1), "no code file_not_found for 404"},
			{"/workflow-runs/none", 404, strings.Replace(none, `"code"`, `"secret":"x","code"`, 1), "secret"},
		} {
			kind := "application/json"
			if c.status >= 400 {
				kind = "application/problem+json"
			}
			err := documented(w.request(call{method: http.MethodGet, path: c.path}), c.status, http.Header{"Content-Type": {kind}}, []byte(c.body))
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says, "%s %d %s", c.path, c.status, c.body)
			}
		}
	})

	t.Run("HasExamplesOfEveryOperation", func(t *testing.T) {
		t.Parallel()
		checked := 0
		check := func(of string, contents openapi3.Content) {
			for kind, c := range contents {
				var values []any
				if c.Example != nil {
					values = append(values, c.Example)
				}
				for _, e := range c.Examples {
					values = append(values, e.Value.Value)
				}
				require.NotEmpty(t, values, "%s has no example of %s", of, kind)
				for _, v := range values {
					require.NoError(t, c.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()), "%s, %s", of, kind)
					checked++
				}
			}
		}
		for path, item := range document().Paths.Map() {
			for method, operation := range item.Operations() {
				of := method + " " + path
				require.NotEmpty(t, operation.Summary, of)
				require.NotEmpty(t, operation.Tags, of)
				if operation.RequestBody != nil {
					check(of, operation.RequestBody.Value.Content)
				}
				for status, response := range operation.Responses.Map() {
					check(of+" "+status, response.Value.Content)
				}
			}
		}
		require.Greater(t, checked, 200)
	})

	t.Run("HasEveryRouteAndNoOther", func(t *testing.T) {
		t.Parallel()
		var documented []string
		for path, item := range document().Paths.Map() {
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
		for path, item := range document().Paths.Map() {
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
		for _, v := range document().Components.Schemas["Code"].Value.Enum {
			documented = append(documented, v.(string))
		}
		slices.Sort(documented)
		require.Equal(t, httpapi.ProblemCodes(), documented)
	})
}
