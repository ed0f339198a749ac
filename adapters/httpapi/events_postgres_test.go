package httpapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// Two servers with a pool each on one Postgres: a client that watches at one of them sees
// what the other one does, and may reconnect to the other one.
func TestEventsOfSeveralServers(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t).URL
	auth, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	queue, work := memory.NewQueue(), &script{outcomes: map[string]core.Outcome{"b": core.OutcomeTransient}}
	var services []*app.Service
	var servers []*httptest.Server
	for range 2 {
		store, _ := pgtest.Open(t, postgres.Config{URL: url, MaxConns: 4})
		svc := install.Service(t, app.Deps{Store: store, Queue: queue, Executor: work}, app.Options{})
		streams := httpapi.NewStreams(svc, httpapi.StreamConfig{RunningEvery: 20 * time.Millisecond, ClosedEvery: 20 * time.Millisecond})
		server := httptest.NewUnstartedServer(httpapi.New(svc, httpapi.Config{Auth: auth, Log: slog.New(slog.DiscardHandler), Streams: streams}))
		server.Config.RegisterOnShutdown(streams.Stop)
		server.Start()
		t.Cleanup(func() {
			streams.Stop()
			server.Close()
		})
		services, servers = append(services, svc), append(servers, server)
	}
	seedForStreams(t, services[0])
	id := startRun(t, services[0], acme, "a", "b")
	token, err := auth.Token(ann(acme), time.Hour)
	require.NoError(t, err)
	open := func(server int, lastEventID string) *eventStream {
		return openEvents(t, http.DefaultClient, servers[server].URL, token, id, lastEventID)
	}
	step := func() {
		deliveries, err := queue.Receive(t.Context(), 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, services[0].Work(t.Context(), deliveries[0]))
	}

	here, there := open(0, ""), open(1, "")
	first := here.next("state")
	require.Equal(t, first.id, there.next("state").id)
	step()
	second := here.next("state")
	require.Equal(t, second.data, there.next("state").data)
	require.EqualValues(t, 1, second.json(t)["completedJobs"])
	step()
	for _, stream := range []*eventStream{here, there} {
		require.Equal(t, "COMPLETED_WITH_ERRORS", stream.next("state").json(t)["status"])
	}
	closed := here.next("closed")
	require.Equal(t, closed.id, there.next("closed").id)
	here.close()

	// The client of the first server reconnects to the second: no event is missed, none comes twice.
	here = open(1, closed.id)
	_, err = services[0].RetryFailed(t.Context(), ann(acme), id, app.RetryRequest{})
	require.NoError(t, err)
	for _, stream := range []*eventStream{here, there} {
		again := stream.next("state").json(t)
		require.Equal(t, "RUNNING", again["status"])
		require.EqualValues(t, 1, again["attempt"])
	}
	here.close()
	there.close()
}
