package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
)

// ticket gets a ticket.
func (s *streamServer) ticket(token string) string {
	s.t.Helper()
	return ticketFrom(s.t, s.client, "http://server", token)
}

func ticketFrom(t *testing.T, client *http.Client, base, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/event-tickets", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusCreated, res.StatusCode, "%s", body)
	var got struct{ Ticket string }
	require.NoError(t, json.Unmarshal(body, &got))
	return got.Ticket
}

func TestTickets(t *testing.T) {
	t.Parallel()
	kept := memory.NewStore()
	w := newWorld(t, func(o *options) { o.api.Tickets = kept.Tickets() })
	id := w.closed("a")
	tickets := []string{}
	get := func(token string) string {
		t.Helper()
		got := w.post(token, "/event-tickets", nil)
		require.Equal(t, http.StatusCreated, got.status, got.text())
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		tickets = append(tickets, got.str("ticket"))
		return got.str("ticket")
	}
	open := func(path, ticket string) *eventStream {
		t.Helper()
		return openStream(t, w.client, w.server.URL+path+"?ticket="+url.QueryEscape(ticket), "", "")
	}
	refused := func(s *eventStream, why string) {
		t.Helper()
		require.Equal(t, http.StatusUnauthorized, s.status, why)
		require.Equal(t, "unauthenticated", s.problem()["code"], why)
	}

	ticket := get(w.user)
	stream := open("/events", ticket)
	require.Equal(t, "acme", stream.next("snapshot").json(t)["tenant"])
	stream.close()
	refused(open("/events", ticket), "a second time")

	run := "/workflow-runs/" + id + "/events"
	stream = open(run, get(w.user))
	stream.next("state")
	stream.close()

	ticket = get(w.stranger)
	other := open(run, ticket)
	require.Equal(t, http.StatusForbidden, other.status, "a ticket gives nobody more than they have")
	other.close()
	refused(open("/events", ticket), "it was used for what it did not open")

	ticket = get(w.user)
	w.clock.Advance(time.Minute)
	refused(open("/events", ticket), "after a minute")
	for _, bad := range []string{"", "x", "rdt_", "rdt_" + strings.Repeat("A", 26), strings.Repeat("rdt_", 1000), "rdt_\x00", "' OR 1=1"} {
		refused(open("/events", bad), bad)
	}
	ticket = get(w.user)
	for _, path := range []string{"/balance", "/workflow-runs", "/workflow-runs/" + id, "/templates"} {
		require.Equal(t, http.StatusUnauthorized, w.get("", path+"?ticket="+ticket).status, "%s: it opens event streams alone", path)
	}
	require.Equal(t, http.StatusUnauthorized, w.post("", "/event-tickets?ticket="+ticket, nil).status, "and makes no other ticket")
	require.Equal(t, http.StatusUnauthorized, w.get(w.user, "/events?ticket="+ticket).status, "one credential at a time")
	require.Equal(t, http.StatusBadRequest, w.get("", "/events?ticket="+ticket+"&ticket="+ticket).status)
	stream = open("/events", ticket)
	require.Equal(t, http.StatusOK, stream.status, "none of these used it up")
	stream.close()

	// A ticket is worth no more than the API key that it was made with.
	key, token, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: acme, By: core.System, Name: "ci", Role: core.RoleCustomerUser})
	require.NoError(t, err)
	ofKey := get(token)
	stream = open("/events", get(token))
	stream.next("snapshot")
	stream.close()
	_, err = w.svc.RevokeAPIKey(t.Context(), core.System, acme, key.ID)
	require.NoError(t, err)
	refused(open("/events", ofKey), "its key was revoked")

	require.Equal(t, http.StatusUnauthorized, w.post("", "/event-tickets", nil).status)
	for i := range 10 {
		one := w.token(core.Actor{Subject: fmt.Sprint("u", i), Tenant: acme, Role: core.RoleCustomerUser})
		for range 100 {
			w.clock.Advance(time.Microsecond)
			get(one)
		}
	}
	got := w.post(w.admin, "/event-tickets", nil)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "5", got.header.Get("Retry-After"))
	get(w.stranger)
	w.clock.Advance(2 * time.Minute)
	get(w.user)
	for _, ticket := range tickets {
		require.NotContains(t, w.logs.String(), ticket)
	}

	plain := newWorld(t)
	require.Equal(t, "not_found", plain.post(plain.user, "/event-tickets", nil).str("code"))
	require.Equal(t, http.StatusUnauthorized, plain.get("", "/events?ticket=rdt_x").status)
}

// One caller does not take the tickets of the others in its tenant.
func TestTicketsOfOneCallerAreBounded(t *testing.T) {
	t.Parallel()
	kept := memory.NewStore()
	w := newWorld(t, func(o *options) { o.api.Tickets = kept.Tickets() })
	for range 100 {
		require.Equal(t, http.StatusCreated, w.post(w.user, "/event-tickets", nil).status)
	}
	w.refused(http.StatusTooManyRequests, "too_many_streams", func() answer { return w.post(w.user, "/event-tickets", nil) })
	require.Equal(t, http.StatusCreated, w.post(w.admin, "/event-tickets", nil).status)
}
