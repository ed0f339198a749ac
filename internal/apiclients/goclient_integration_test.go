package apiclients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi/client"
)

// What an integration needs beside runs, with the Go client: an API key, webhooks, the
// tenant's events by a ticket, a bulk continue, all outputs, the month's statement.
func TestGoClientIntegration(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), newServer(t)
	s.seed(t)
	admin, err := client.NewClientWithResponses(s.url, client.WithToken(s.token), client.WithRetries(3))
	require.NoError(t, err)
	key, err := client.Check(admin.CreateAPIKeyWithResponse(ctx, nil, client.NewAPIKey{Name: "nightly job", Role: client.NewAPIKeyRoleCustomerAdmin}))
	require.NoError(t, err)
	redrive, err := client.NewClientWithResponses(s.url, client.WithToken(key.JSON201.Token), client.WithRetries(3))
	require.NoError(t, err)

	hooks := receiveWebhooks(t)
	endpoint, err := client.Check(redrive.CreateWebhookEndpointWithResponse(ctx, nil, client.NewWebhookEndpoint{
		Url: hooks.url, Events: []client.NewWebhookEndpointEvents{client.NewWebhookEndpointEventsRunClosed, client.NewWebhookEndpointEventsRunContinued},
	}))
	require.NoError(t, err)
	hooks.secret <- *endpoint.JSON201.Secret
	_, err = client.Check(redrive.PingWebhookEndpointWithResponse(ctx, endpoint.JSON201.Id, nil))
	require.NoError(t, err)
	require.Equal(t, "webhook.ping", hooks.next(t).Type)

	// The tenant's events, as a browser has them: with a ticket in the place of a header.
	ticket, err := client.Check(redrive.CreateEventTicketWithResponse(ctx))
	require.NoError(t, err)
	events := tenantEvents(t, s.url, ticket.JSON201.Ticket)
	name, data := events(t)
	require.Equal(t, "snapshot", name)
	var snapshot client.TenantSnapshot
	require.NoError(t, json.Unmarshal(data, &snapshot))
	require.EqualValues(t, 100, snapshot.Balance.Available)

	// Two runs, of each of which one file fails.
	var runs []string
	for n := range 2 {
		body := client.InlineRun{Template: new("summarise")}
		for _, name := range []string{fmt.Sprintf("fail-%d.txt", n), "b.txt"} {
			body.Files = append(body.Files, client.InlineFile{Name: name, Text: "Text of " + name + "."})
		}
		started, err := client.Check(redrive.InitiateRunWithResponse(ctx, &client.InitiateRunParams{IdempotencyKey: new(client.NewKey())}, body))
		require.NoError(t, err)
		runs = append(runs, started.JSON201.Id)
	}
	told := map[string]string{} // the status that a run closed with, by its ID
	for range runs {
		e := hooks.next(t)
		require.Equal(t, "run.closed", e.Type)
		told[e.Data.RunId] = string(e.Data.Status)
	}
	require.Equal(t, map[string]string{runs[0]: "COMPLETED_WITH_ERRORS", runs[1]: "COMPLETED_WITH_ERRORS"}, told)
	for closed := map[string]bool{}; len(closed) < len(runs); {
		name, data := events(t)
		if name != "run" {
			continue
		}
		var e client.RunEvent
		require.NoError(t, json.Unmarshal(data, &e))
		if e.Run.Status == client.RunStatusCOMPLETEDWITHERRORS {
			closed[e.Run.Run] = true
		}
	}

	// All of them continued as one, at the price of its preview.
	selection := client.NewBulkContinue{Template: new("summarise"), FailureCode: new("rate_limited")}
	preview, err := client.Check(redrive.PreviewBulkContinueWithResponse(ctx, nil, selection))
	require.NoError(t, err)
	require.Equal(t, 2, preview.JSON200.Accepted)
	require.EqualValues(t, 4, preview.JSON200.Price)
	selection.MaxPrice = &preview.JSON200.Price
	params := &client.CreateBulkContinueParams{IdempotencyKey: new(client.NewKey())}
	bulk, err := client.Check(redrive.CreateBulkContinueWithResponse(ctx, params, selection))
	require.NoError(t, err)
	again, err := client.Check(redrive.CreateBulkContinueWithResponse(ctx, params, selection))
	require.NoError(t, err)
	require.Equal(t, bulk.JSON201.Id, again.JSON201.Id, "the repeat continues nothing twice")
	seen := map[string]int{}
	for range 2 * len(runs) { // in no order: webhooks are sent at the same time
		e := hooks.next(t)
		seen[e.Type+" "+string(e.Data.Status)]++
	}
	require.Equal(t, map[string]int{"run.continued RUNNING": 2, "run.closed COMPLETED": 2}, seen)
	require.Eventually(t, func() bool {
		now, err := client.Check(redrive.GetBulkContinueWithResponse(ctx, bulk.JSON201.Id))
		return err == nil && now.JSON200.State == client.BulkContinueStateFinished &&
			now.JSON200.Progress.Continued == 2 && now.JSON200.Progress.FailedFiles == 0
	}, time.Minute, 50*time.Millisecond)

	// All outputs of a run, and the month's statement.
	outputs, err := client.Check(redrive.GetOutputsWithResponse(ctx, runs[0], &client.GetOutputsParams{Format: new(client.GetOutputsParamsFormatJsonl)}))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(outputs.Body)), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "TEXT OF FAIL-0.TXT.")
	balance, err := client.Check(redrive.GetBalanceWithResponse(ctx, nil))
	require.NoError(t, err)
	statement, err := client.Check(redrive.GetStatementWithResponse(ctx, string(tenant), balance.JSON200.Period, nil))
	require.NoError(t, err)
	require.EqualValues(t, 100-2*4-4, balance.JSON200.Available)
	require.EqualValues(t, balance.JSON200.Purchased, statement.JSON200.Closing.Purchased)

	// A key that is revoked is good for nothing at once.
	_, err = client.Check(admin.RevokeAPIKeyWithResponse(ctx, key.JSON201.Id, nil))
	require.NoError(t, err)
	_, err = client.Check(redrive.GetBalanceWithResponse(ctx, nil))
	require.Equal(t, client.CodeUnauthenticated, client.CodeOf(err))
}

// receivedWebhook is what the events of the journey have in common.
type receivedWebhook struct {
	Type string              `json:"type"`
	Data client.RunEventData `json:"data"`
}

// webhookReceiver has the webhooks that came, each verified, and each event once.
type webhookReceiver struct {
	url    string
	secret chan string // of the endpoint, which is known when it has been made
	came   chan receivedWebhook
}

func (w *webhookReceiver) next(t *testing.T) receivedWebhook {
	t.Helper()
	select {
	case e := <-w.came:
		return e
	case <-time.After(time.Minute):
		t.Fatal("no webhook has come in a minute")
		return receivedWebhook{}
	}
}

func receiveWebhooks(t *testing.T) *webhookReceiver {
	t.Helper()
	w := &webhookReceiver{secret: make(chan string, 1), came: make(chan receivedWebhook, 100)}
	seen := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		secret := <-w.secret
		defer func() { w.secret <- secret }() // one at a time
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = client.VerifyWebhook(r.Header, body, time.Now(), secret)
		}
		var e receivedWebhook
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		if err != nil {
			t.Error(err)
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		if id := r.Header.Get("webhook-id"); !seen[id] {
			seen[id] = true
			w.came <- e
		}
	}))
	t.Cleanup(server.Close)
	w.url = server.URL + "/redrive"
	return w
}

// tenantEvents connects to a tenant's events, and gives a function that waits for the next.
func tenantEvents(t *testing.T, base, ticket string) func(*testing.T) (name string, data []byte) {
	t.Helper()
	anonymous, err := client.NewClient(base, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.URL.RawQuery = "ticket=" + ticket
		return nil
	}))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	resp, err := anonymous.StreamTenantEvents(ctx, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close() // its context has ended
	})
	require.Equal(t, http.StatusOK, resp.StatusCode)
	lines := bufio.NewScanner(resp.Body)
	return func(t *testing.T) (name string, data []byte) {
		t.Helper()
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				data = []byte(v)
			}
			if lines.Text() == "" && data != nil {
				return name, data
			}
		}
		require.NoError(t, lines.Err())
		t.Fatal("the stream has ended")
		return "", nil
	}
}
