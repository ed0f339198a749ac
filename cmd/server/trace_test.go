package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// The trace of a request goes through the queue and the worker to the provider.
func TestTraceReachesTheProvider(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 10)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen <- req.Header.Get("Traceparent")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"done"},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(provider.Close)
	p := start(t, "--demo", "--llm-base-url="+provider.URL, "--llm-model=m")
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequest(http.MethodPost, p.url+"/workflow-runs", strings.NewReader(`{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"b","text":"B"}]}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+p.token(t, demoAdmin))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusCreated, res.StatusCode)
	places := map[string]bool{}
	for range 2 {
		select {
		case parent := <-seen:
			trace, ok := core.ParseTrace(parent)
			require.True(t, ok, parent)
			require.Equal(t, id, trace.ID())
			places[parent] = true
		case <-time.After(time.Minute):
			require.Fail(t, "the provider was not asked")
		}
	}
	require.Len(t, places, 2, "each request is a place of its own")
}
