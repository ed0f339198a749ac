package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// A request goes on with the trace of its traceparent, and begins one if there is none that
// can be read. Answers and logs name it, and the jobs of a run carry it.
func TestTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = "00-" + id + "-00f067aa0ba902b7-01"
	got := w.post(w.user, "/workflow-runs", inline("summarise", "a"), header("Traceparent", parent))
	require.Equal(t, http.StatusCreated, got.status)
	response, ok := core.ParseTrace(got.header.Get("Traceresponse"))
	require.True(t, ok)
	require.Equal(t, id, response.ID())
	require.NotEqual(t, core.Trace(parent), response, "it is a place of its own")
	require.True(t, strings.HasSuffix(string(response), "-01"))
	require.Contains(t, w.logs.String(), `"trace_id":"`+id+`"`)
	deliveries, err := w.queue.Receive(t.Context(), 1, ports.Skip{})
	require.NoError(t, err)
	require.Equal(t, response, deliveries[0].Jobs()[0].Trace)

	seen := map[string]bool{id: true}
	for _, bad := range []string{"", "nonsense", strings.ToUpper(parent), "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", strings.Repeat("0", 10_000)} {
		got := w.get(w.user, "/balance", header("Traceparent", bad))
		require.Equal(t, http.StatusOK, got.status)
		begun, ok := core.ParseTrace(got.header.Get("Traceresponse"))
		require.True(t, ok)
		require.False(t, seen[begun.ID()], "another trace each time")
		seen[begun.ID()] = true
	}
	require.Equal(t, http.StatusNotFound, w.get("", "/nothing", header("Traceparent", parent)).status)
}
