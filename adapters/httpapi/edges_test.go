package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Each bound on what a request may hold is met exactly: what is at it is taken, and what is
// one above is refused, with no effect. Bounds on time are in pace_test.go, those on files
// in TestUploadLimits, those of a server's connections in cmd/server.
func TestEdgesOfLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a", "fail-b")
	n := 0
	unique := func() string { n++; return fmt.Sprintf("u%d", n) }
	padded := func(body string, size int) string { return body + strings.Repeat(" ", size-len(body)) }
	template := func(name, instructions int) func() answer {
		return func() answer {
			return w.post(w.platform, "/templates?tenant=acme", map[string]any{
				"id": unique(), "name": strings.Repeat("ä", name), "instructions": strings.Repeat("i", instructions), "creditsPerRun": 1, "mode": "per_file",
			})
		}
	}
	get := func(path string) func() answer { return func() answer { return w.get(w.user, path) } }
	tenant := func(body string) func() answer {
		return func() answer { return w.post(w.platform, "/tenants", strings.Replace(body, "ID", unique(), 1)) }
	}
	run := "/workflow-runs/" + id
	for _, c := range []struct {
		name      string
		at, above func() answer
		status    int // of what is above
		code      core.Code
		fields    []string
	}{
		{"a JSON body", tenant(padded(`{"id":"ID","name":"T"}`, 1<<20)), tenant(padded(`{"id":"ID","name":"T"}`, 1<<20+1)), 413, "payload_too_large", nil},
		{"a name", template(255, 1), template(256, 1), 400, core.CodeInvalidRequest, []string{"name"}},
		{"instructions", template(1, 100_000), template(1, 100_001), 400, core.CodeInvalidRequest, []string{"instructions"}},
		{
			"an ID",
			func() answer {
				return w.post(w.platform, "/tenants", map[string]any{"id": strings.Repeat("t", 64), "name": "T"})
			},
			func() answer {
				return w.post(w.platform, "/tenants", map[string]any{"id": strings.Repeat("t", 65), "name": "T"})
			},
			400, core.CodeInvalidRequest,
			[]string{"id"},
		},
		{
			"an Idempotency-Key",
			func() answer {
				return w.post(w.platform, "/tenants/acme/purchases", map[string]any{"amount": 1}, key(strings.Repeat("k", 255)))
			},
			func() answer {
				return w.post(w.platform, "/tenants/acme/purchases", map[string]any{"amount": 1}, key(strings.Repeat("k", 256)))
			},
			400, core.CodeInvalidRequest,
			[]string{"Idempotency-Key"},
		},
		{
			"a file's name",
			func() answer {
				return w.post(w.user, "/workflow-runs", inline("summarise", strings.Repeat("😀", 255)))
			},
			func() answer {
				return w.post(w.user, "/workflow-runs", inline("summarise", strings.Repeat("😀", 256)))
			},
			400, core.CodeInvalidRequest,
			[]string{"files[0].name"},
		},
		{
			"maxRetryCount",
			func() answer {
				return w.write(http.MethodPatch, w.platform, run, map[string]any{"maxRetryCount": 10})
			},
			func() answer {
				return w.write(http.MethodPatch, w.platform, run, map[string]any{"maxRetryCount": 11})
			},
			400, core.CodeInvalidRequest,
			[]string{"maxRetryCount"},
		},
		{"runs of a page", get("/workflow-runs?limit=200"), get("/workflow-runs?limit=201"), 400, core.CodeInvalidRequest, []string{"limit"}},
		{"files of a page", get(run + "/files?limit=1000"), get(run + "/files?limit=1001"), 400, core.CodeInvalidRequest, []string{"limit"}},
		{"the least page", get("/workflow-runs?limit=1"), get("/workflow-runs?limit=0"), 400, core.CodeInvalidRequest, []string{"limit"}},
	} {
		got := c.at()
		require.Less(t, got.status, 300, "%s at its limit: %s", c.name, got.text())
		refusal := w.refused(c.status, c.code, c.above)
		if c.fields != nil {
			require.Equal(t, c.fields, refusal.fields(), c.name)
		}
	}
}
