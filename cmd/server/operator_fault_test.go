package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// A wrong key, from the run that it interrupts to the Continue after it was fixed: the
// provider gets a handful of requests for any number of files, and the tenant pays only
// for the initiation.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	const files = 15 // as many as the demo's credits pay for
	var fixed atomic.Bool
	provider := fakellm.New(func(fakellm.Request) fakellm.Action {
		if fixed.Load() {
			return fakellm.OK()
		}
		return fakellm.Respond(http.StatusUnauthorized, http.Header{"Content-Type": {"application/json"}},
			`{"error":{"code":"invalid_api_key","message":"Incorrect API key provided: sk-wrong"}}`)
	})
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	p := start(t, "--demo", "--llm-base-url="+base, "--llm-model=m", "--llm-api-key=sk-wrong-key", "--breaker-interrupt-after=1ms")

	type file struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	list := make([]file, files)
	for i := range list {
		list[i] = file{fmt.Sprint("f-", i), fmt.Sprint("text ", i)}
	}
	body, err := json.Marshal(map[string]any{"template": "summarise", "files": list})
	require.NoError(t, err)
	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", string(body))
	require.Equal(t, http.StatusCreated, status, "%v", run)
	path := "/workflow-runs/" + run["id"].(string)
	await := func(want string) map[string]any {
		var last map[string]any
		require.Eventually(t, func() bool {
			_, last = p.call(t, demoAdmin, http.MethodGet, path, "")
			return last["status"] == want
		}, 60*time.Second, 50*time.Millisecond, "%v", last)
		return last
	}
	closed := await("INTERRUPTED")
	require.Equal(t, "service_fault", closed["reason"])
	require.Equal(t, "provider_unauthorized", closed["failure"].(map[string]any)["code"])
	asked := len(provider.Requests())
	require.LessOrEqual(t, asked, 5, "of %d files", files)
	_, balance := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.EqualValues(t, 0, balance["available"], "the initiation took all of it")
	require.Contains(t, p.log.String(), "LLM_API_KEY", "the log says what to do")
	require.NotContains(t, p.log.String(), "sk-wrong-key")

	fixed.Store(true)
	status, again := p.call(t, demoAdmin, http.MethodPost, path+"/retry-failed?maxPrice=0", "")
	require.Equal(t, http.StatusOK, status, "%v", again)
	require.EqualValues(t, 10*files, await("COMPLETED")["creditsConsumed"])
	require.Len(t, provider.Requests(), asked+files)
	require.Zero(t, p.stop(t))
}
