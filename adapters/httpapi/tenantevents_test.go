package httpapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

func (s *streamServer) tenantEvents(token, lastEventID string) *eventStream {
	s.t.Helper()
	return openStream(s.t, s.client, "http://server/events", token, lastEventID)
}

// run waits for the event that this has happened to a run.
func (s *eventStream) run(change string, id core.RunID) map[string]any {
	s.t.Helper()
	e := s.next("run").json(s.t)
	require.Equal(s.t, change, e["change"], "%v", e)
	run := e["run"].(map[string]any)
	require.Equal(s.t, string(id), run["run"])
	return run
}

// available waits for the event that the balance has changed.
func (s *eventStream) available(want int) {
	s.t.Helper()
	require.EqualValues(s.t, want, s.next("balance").json(s.t)["available"])
}

func (w *streamWorld) purchase(tenant core.TenantID, key string, amount core.Credits) {
	w.t.Helper()
	_, err := w.svc.PurchaseCredits(w.t.Context(), core.System, tenant, core.Key(key), amount)
	require.NoError(w.t, err)
}

func TestTenantEvents(t *testing.T) {
	t.Parallel()
	bubble := func(name string, fn func(t *testing.T, w *streamWorld)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { fn(t, newStreamWorld(t)) })
		})
	}

	bubble("FollowATenant", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		w.work.set("b", core.OutcomeTransient)
		old := startRun(t, w.svc, acme, "old")
		stream := s.tenantEvents(w.token(ann(acme), time.Hour), "")
		defer stream.close()
		snapshot := stream.next("snapshot")
		require.NotEmpty(t, snapshot.id)
		state := snapshot.json(t)
		require.EqualValues(t, 998, state["balance"].(map[string]any)["available"])
		require.Len(t, state["running"], 1)
		require.Equal(t, string(old), state["running"].([]any)[0].(map[string]any)["run"])
		require.Equal(t, false, state["moreRunning"])

		id := startRun(t, w.svc, acme, "a", "b")
		began := time.Now()
		run := stream.run("created", id)
		require.LessOrEqual(t, time.Since(began), time.Second)
		require.Equal(t, "RUNNING", run["status"])
		require.Equal(t, "summarise", run["template"])
		require.EqualValues(t, 4, run["creditsConsumed"])
		stream.available(994)

		w.step()
		require.Equal(t, "COMPLETED", stream.run("closed", old)["status"])
		w.step()
		require.EqualValues(t, 1, stream.run("changed", id)["completedJobs"])
		w.step()
		run = stream.run("closed", id)
		require.Equal(t, "COMPLETED_WITH_ERRORS", run["status"])
		require.EqualValues(t, 1, run["fileCounts"].(map[string]any)["failed"])

		w.work.heal()
		_, err := w.svc.RetryFailed(t.Context(), ann(acme), id, app.RetryRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 1, stream.run("continued", id)["attempt"])
		stream.available(992)
		w.step()
		require.Equal(t, "COMPLETED", stream.run("closed", id)["status"])

		w.purchase(acme, "p", 100)
		stream.available(1092)

		// A run that begins and closes between two looks is told of, in full.
		quick := startRun(t, w.svc, acme, "quick")
		w.step()
		require.Equal(t, "COMPLETED", stream.run("created", quick)["status"])
		stream.run("closed", quick)
		stream.available(1090)
	})

	bubble("OthersSeeNothing", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		stream := s.tenantEvents(w.token(ann(globex), time.Hour), "")
		defer stream.close()
		require.Empty(t, stream.next("snapshot").json(t)["running"])
		startRun(t, w.svc, acme, "a")
		e, err := stream.any()
		require.NoError(t, err)
		require.Equal(t, "still here", e.comment)

		refused := openStream(t, s.client, "http://server/events?tenant=acme", w.token(ann(globex), time.Hour), "")
		require.Equal(t, http.StatusForbidden, refused.status)
		require.Equal(t, "wrong_tenant", refused.problem()["code"])
		operator := w.token(core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}, time.Hour)
		refused = openStream(t, s.client, "http://server/events", operator, "")
		require.Equal(t, "invalid_request", refused.problem()["code"])
		refused = openStream(t, s.client, "http://server/events?tenant=nobody", operator, "")
		require.Equal(t, "tenant_not_found", refused.problem()["code"])
		theirs := openStream(t, s.client, "http://server/events?tenant=acme", operator, "")
		defer theirs.close()
		require.Len(t, theirs.next("snapshot").json(t)["running"], 1)
	})

	bubble("ResumeByLastEventID", func(t *testing.T, w *streamWorld) {
		one, two := w.serve(httpapi.StreamConfig{}), w.serve(httpapi.StreamConfig{})
		token := w.token(ann(acme), time.Hour)
		stays := one.tenantEvents(token, "") // so that the server goes on looking
		defer stays.close()
		stays.next("snapshot")
		stream := one.tenantEvents(token, "")
		first := stream.next("snapshot")
		stream.close()
		w.purchase(acme, "1", 1)
		stays.available(1001)
		w.purchase(acme, "2", 1)
		last := stays.next("balance")

		stream = one.tenantEvents(token, first.id)
		stream.available(1001)
		stream.available(1002)
		stream.close()
		stream = one.tenantEvents(token, last.id)
		e, err := stream.any()
		require.NoError(t, err)
		require.Equal(t, "still here", e.comment, "nothing was missed")
		stream.close()
		for _, unknown := range []string{"", "x", "x-1", strings.Repeat("9", 1000), first.id + "9", strings.Replace(first.id, "-0", "--1", 1), "-" + first.id} {
			stream = one.tenantEvents(token, unknown)
			require.Equal(t, last.id, stream.next("snapshot").id, unknown)
			stream.close()
		}
		stream = two.tenantEvents(token, last.id) // another server has other numbers
		require.EqualValues(t, 1002, stream.next("snapshot").json(t)["balance"].(map[string]any)["available"])
		stream.close()
	})

	// A client that is behind by more than the server keeps gets the state anew.
	bubble("FarBehind", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		token := w.token(ann(acme), time.Hour)
		stays := s.tenantEvents(token, "")
		first := stays.next("snapshot")
		for n := range 300 {
			w.purchase(acme, fmt.Sprint(n), 1)
			stays.available(1001 + n)
		}
		stream := s.tenantEvents(token, first.id)
		require.EqualValues(t, 1300, stream.next("snapshot").json(t)["balance"].(map[string]any)["available"])
		stream.close()
		stays.close()
	})

	bubble("ManyRuns", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		w.purchase(acme, "p", 10_000)
		for n := range 210 {
			startRun(t, w.svc, acme, fmt.Sprint(n))
			time.Sleep(time.Millisecond)
		}
		stream := s.tenantEvents(w.token(ann(acme), time.Hour), "")
		defer stream.close()
		state := stream.next("snapshot").json(t)
		require.Len(t, state["running"], 200)
		require.Equal(t, true, state["moreRunning"])
		id := startRun(t, w.svc, acme, "one more")
		stream.run("created", id)
	})

	// Its closing is told of although it is among the running runs no more, and not among the
	// newest ones.
	bubble("AnOldRunCloses", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		old := startRun(t, w.svc, acme, "old")
		for n := range 60 {
			time.Sleep(time.Millisecond)
			startRun(t, w.svc, acme, fmt.Sprint(n))
		}
		stream := s.tenantEvents(w.token(ann(acme), time.Hour), "")
		defer stream.close()
		require.Len(t, stream.next("snapshot").json(t)["running"], 61)
		w.step()
		stream.run("closed", old)
	})

	bubble("TheStoreIsAskedOnceForAllWhoWatch", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		token := w.token(ann(acme), time.Hour)
		var streams []*eventStream
		for range 20 {
			stream := s.tenantEvents(token, "")
			stream.next("snapshot")
			streams = append(streams, stream)
		}
		time.Sleep(time.Second)
		before := w.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.InDelta(t, 10, w.store.views.Load()-before, 1, "once a second")
		for _, stream := range streams {
			stream.close()
		}
		time.Sleep(20 * time.Second)
		require.Zero(t, s.streams.Open())
		before = w.store.views.Load()
		time.Sleep(time.Hour)
		require.Equal(t, before, w.store.views.Load(), "nothing is asked while nothing is watched")
	})

	bubble("ASlowClientIsCut", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		token := w.token(ann(acme), time.Hour)
		slow, quick := s.tenantEvents(token, ""), s.tenantEvents(token, "")
		defer quick.close()
		quick.next("snapshot")
		for n := range 5 { // which the slow one does not hold up
			w.purchase(acme, fmt.Sprint(n), 1)
			began := time.Now()
			quick.available(1001 + n)
			require.LessOrEqual(t, time.Since(began), time.Second)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, s.streams.Open())
		slow.close()
	})

	bubble("NoMoreThanSoMany", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{MaxStreamsPerCaller: 2, MaxStreamsPerTenant: 3})
		token := w.token(ann(acme), time.Hour)
		bob := w.token(core.Actor{Subject: "bob", Tenant: acme, Role: core.RoleCustomerUser}, time.Hour)
		open := []*eventStream{s.tenantEvents(token, ""), s.tenantEvents(token, "")}
		refused := s.tenantEvents(token, "")
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Equal(t, "too_many_streams", refused.problem()["code"])
		open = append(open, s.tenantEvents(bob, ""))
		refused = s.tenantEvents(bob, "")
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		refused.close()
		for _, stream := range open {
			stream.next("snapshot")
			stream.close()
		}
		time.Sleep(20 * time.Second)
		require.Zero(t, s.streams.Open())
	})

	bubble("AStoreThatIsAway", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		stream := s.tenantEvents(w.token(ann(acme), time.Hour), "")
		defer stream.close()
		stream.next("snapshot")
		w.store.fail(fmt.Errorf("connection refused"))
		for range 3 {
			e, err := stream.any()
			require.NoError(t, err)
			require.Equal(t, "still here", e.comment)
		}
		w.store.fail(nil)
		w.purchase(acme, "p", 1)
		stream.available(1001)
		require.Equal(t, 1, strings.Count(w.logs.String(), "a tenant cannot be read"))
		require.Equal(t, 1, strings.Count(w.logs.String(), "can be read again"))
	})

	bubble("ATicketsStreamEnds", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		for _, path := range []string{"/events?", "/workflow-runs/" + string(id) + "/events?"} {
			opened := time.Now()
			stream := openStream(t, s.client, "http://server"+path+"ticket="+s.ticket(w.token(ann(acme), time.Hour)), "", "")
			require.Equal(t, http.StatusOK, stream.status)
			_, err := stream.any()
			require.NoError(t, err)
			code, reason := stream.ended()
			require.Equal(t, "unauthenticated", code)
			require.Contains(t, reason, "new ticket")
			require.WithinRange(t, time.Now(), opened.Add(5*time.Minute), opened.Add(5*time.Minute+16*time.Second))
		}
		require.Zero(t, s.streams.Open())
	})

	bubble("ATicketsStreamEndsWithItsKey", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		key, _, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: acme, By: core.System, Name: "ci", Role: core.RoleCustomerUser})
		require.NoError(t, err)
		now := time.Now()
		require.NoError(t, w.tickets.Insert(t.Context(), ports.Ticket{
			ID: ports.TicketID("rdt_x"), Actor: key.Actor(), CreatedAt: now, ExpiresAt: now.Add(time.Minute),
		}, ports.TicketBounds{OfTenant: 1, OfSubject: 1}))
		stream := openStream(t, s.client, "http://server/events?ticket=rdt_x", "", "")
		stream.next("snapshot")
		_, err = w.svc.RevokeAPIKey(t.Context(), core.System, acme, key.ID)
		require.NoError(t, err)
		code, reason := stream.ended()
		require.Equal(t, "unauthenticated", code)
		require.Contains(t, reason, "API key")
		require.LessOrEqual(t, time.Since(now), 20*time.Second)
	})
}

// What one server does is told by the other, a ticket of the one is good at the other, and
// that on each store that there is.
func TestTenantEventsOnEveryStore(t *testing.T) {
	t.Parallel()
	type store interface {
		ports.Store
		ports.TicketStore
	}
	type open func(t *testing.T) []store
	for name, open := range map[string]open{
		"Memory": func(*testing.T) []store {
			s := memory.NewStore()
			return []store{s, s}
		},
		"SQLite": func(t *testing.T) []store { // which has one process
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "redrive.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			_, err = sqlite.Migrate(t.Context(), s)
			require.NoError(t, err)
			return []store{s, s}
		},
		"Postgres": func(t *testing.T) []store {
			url := pgtest.New(t).URL
			one, _ := pgtest.Open(t, postgres.Config{URL: url, MaxConns: 4})
			two, _ := pgtest.Open(t, postgres.Config{URL: url, MaxConns: 4})
			return []store{one, two}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth, err := httpapi.NewAuth([]byte(testSecret))
			require.NoError(t, err)
			queue, work := memory.NewQueue(), &script{outcomes: map[string]core.Outcome{}}
			var services []*app.Service
			var servers []*httptest.Server
			for _, s := range open(t) {
				svc := install.Service(t, app.Deps{Store: s, Queue: queue, Executor: work}, app.Options{})
				streams := httpapi.NewStreams(svc, httpapi.StreamConfig{TenantEvery: 20 * time.Millisecond})
				server := httptest.NewUnstartedServer(httpapi.New(svc, httpapi.Config{
					Auth: auth, Log: slog.New(slog.DiscardHandler), Streams: streams, Tickets: s.Tickets(),
				}))
				server.Config.RegisterOnShutdown(streams.Stop)
				server.Start()
				t.Cleanup(func() {
					streams.Stop()
					server.Close()
				})
				services, servers = append(services, svc), append(servers, server)
			}
			seedForStreams(t, services[0])
			token, err := auth.Token(ann(acme), time.Hour)
			require.NoError(t, err)
			ticket := ticketFrom(t, http.DefaultClient, servers[0].URL, token)
			here := openStream(t, http.DefaultClient, servers[0].URL+"/events", token, "")
			there := openStream(t, http.DefaultClient, servers[1].URL+"/events?ticket="+ticket, "", "")
			again := openStream(t, http.DefaultClient, servers[0].URL+"/events?ticket="+ticket, "", "")
			require.Equal(t, http.StatusUnauthorized, again.status)
			again.close()
			for _, s := range []*eventStream{here, there} {
				s.next("snapshot")
			}
			id := startRun(t, services[0], acme, "a")
			for _, s := range []*eventStream{here, there} {
				s.run("created", id)
				s.available(998)
			}
			deliveries, err := queue.Receive(t.Context(), 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, services[0].Work(t.Context(), deliveries[0]))
			for _, s := range []*eventStream{here, there} {
				require.Equal(t, "COMPLETED", s.run("closed", id)["status"])
				s.close()
			}
		})
	}
}
