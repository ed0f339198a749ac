package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A server that was killed before it sent an event sends it when it is back, signed; where
// the operator does not allow the network, no endpoint can be made.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	type event struct {
		header http.Header
		body   []byte
	}
	events := make(chan event, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			events <- event{r.Header, body}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	admin := core.Actor{Subject: "ada", Tenant: "demo", Role: core.RoleCustomerAdmin}
	folder := "--database-url=sqlite:" + t.TempDir() + "/redrive.db"
	const allow = "--webhook-allow=127.0.0.0/8,::1/128"
	body := `{"url":"` + receiver.URL + `","events":["run.closed","run.interrupted"]}`

	p := start(t, "--demo", folder)
	status, answer := p.call(t, admin, http.MethodPost, "/webhook-endpoints", body)
	require.Equal(t, http.StatusBadRequest, status, "%v", answer)
	require.Zero(t, p.stop(t))

	p = start(t, "--demo", folder, allow)
	status, answer = p.call(t, admin, http.MethodPost, "/webhook-endpoints", body)
	require.Equal(t, http.StatusCreated, status, "%v", answer)
	secret := answer["secret"].(string)
	require.Zero(t, p.stop(t))

	// This one does not send, but writes what is to be sent.
	p = start(t, "--demo", folder, "--no-webhooks")
	status, run := p.call(t, admin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, status, "%v", run)
	require.Eventually(t, func() bool {
		_, run = p.call(t, admin, http.MethodGet, "/workflow-runs/"+run["id"].(string), "")
		return run["status"] == "COMPLETED"
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
	require.Empty(t, events)

	p = start(t, "--demo", folder, allow)
	select {
	case e := <-events:
		verifier, err := standard.NewWebhook(secret)
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(e.body, e.header))
		var told struct {
			Type string
			Data struct{ RunID, Status string }
		}
		require.NoError(t, json.Unmarshal(e.body, &told))
		require.Equal(t, "run.closed", told.Type)
		require.Equal(t, run["id"], told.Data.RunID)
		require.Equal(t, "COMPLETED", told.Data.Status)
	case <-time.After(30 * time.Second):
		require.Fail(t, "nothing was sent", "%s", p.log)
	}
	require.Zero(t, p.stop(t))
	require.NotContains(t, p.log.String(), secret)
}
