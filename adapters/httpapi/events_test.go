package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// A synctest bubble ends only when every goroutine in it has ended, so each of these
// tests also shows that no goroutine leaks.
func TestEvents(t *testing.T) {
	t.Parallel()
	bubble := func(name string, fn func(t *testing.T, w *streamWorld)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { fn(t, newStreamWorld(t)) })
		})
	}

	bubble("FollowARunThroughItsContinue", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		w.work.set("b", core.OutcomeTransient)
		id := startRun(t, w.svc, acme, "a", "b")
		stream := s.events(w.token(ann(acme), time.Hour), id, "")
		defer stream.close()
		first := stream.next("state")
		require.NotEmpty(t, first.id)
		state := first.json(t)
		require.Equal(t, string(id), state["run"])
		require.Equal(t, "RUNNING", state["status"])
		require.EqualValues(t, 2, state["attemptJobs"])
		require.EqualValues(t, 4, state["creditsConsumed"])
		require.EqualValues(t, 4, state["creditsFromPurchased"])
		require.Equal(t, "run_already_running", state["continuable"].(map[string]any)["code"])

		w.step()
		worked := time.Now()
		second := stream.next("state")
		require.LessOrEqual(t, second.at.Sub(worked), 500*time.Millisecond)
		require.NotEqual(t, first.id, second.id)
		require.EqualValues(t, 1, second.json(t)["completedJobs"])

		w.step()
		state = stream.next("state").json(t)
		require.Equal(t, "COMPLETED_WITH_ERRORS", state["status"])
		require.Equal(t, map[string]any{"total": 2., "unfinished": 0., "completed": 1., "failed": 1., "error": 0.}, state["fileCounts"])
		require.Equal(t, map[string]any{"ok": true}, state["continuable"])
		closed := stream.next("closed")
		require.NotEmpty(t, closed.id)
		require.Equal(t, "COMPLETED_WITH_ERRORS", closed.json(t)["status"])

		w.work.heal()
		_, err := w.svc.RetryFailed(t.Context(), ann(acme), id, app.RetryRequest{})
		require.NoError(t, err)
		continued := time.Now()
		again := stream.next("state")
		require.LessOrEqual(t, again.at.Sub(continued), 2*time.Second, "the stream outlives the closing")
		require.Equal(t, "RUNNING", again.json(t)["status"])
		require.EqualValues(t, 1, again.json(t)["attempt"])
		require.EqualValues(t, 6, again.json(t)["creditsConsumed"])
		w.step()
		require.Equal(t, "COMPLETED", stream.next("state").json(t)["status"])
		require.EqualValues(t, 1, stream.next("closed").json(t)["attempt"])
	})

	bubble("ResumeByLastEventID", func(t *testing.T, w *streamWorld) {
		one, two := w.serve(httpapi.StreamConfig{}), w.serve(httpapi.StreamConfig{}) // two servers on one store
		token := w.token(ann(acme), time.Hour)
		id := startRun(t, w.svc, acme, "a", "b")
		stream := one.events(token, id, "")
		first := stream.next("state")
		stream.close()

		// Nothing has changed: nothing but heartbeats, until something does.
		stream = two.events(token, id, first.id)
		for range 3 {
			e, err := stream.any()
			require.NoError(t, err)
			require.Equal(t, "still here", e.comment)
			require.Empty(t, e.name)
		}
		w.step()
		second := stream.next("state")
		stream.close()

		// Of all changes meanwhile only the newest state is sent.
		w.step()
		stream = one.events(token, id, second.id)
		require.Equal(t, "COMPLETED", stream.next("state").json(t)["status"])
		closed := stream.next("closed")
		stream.close()

		// A client that missed the second of the two gets both again; one that has it, neither.
		stream = two.events(token, id, second.id)
		require.Empty(t, stream.next("state").id, "not before the closing has arrived as well")
		require.Equal(t, closed.id, stream.next("closed").id, "the same state has the same ID on every server")
		stream.close()
		stream = two.events(token, id, closed.id)
		e, err := stream.any()
		require.NoError(t, err)
		require.Equal(t, "still here", e.comment)
		stream.close()
		stream = two.events(token, id, strings.Repeat("x", 1000))
		stream.next("state")
		stream.close()
	})

	bubble("HeartbeatsInSpiteOfTheServersTimeouts", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{}) // which gives a request 300 ms
		id := startRun(t, w.svc, acme, "a")
		stream := s.events(w.token(ann(acme), time.Hour), id, "")
		defer stream.close()
		last := stream.next("state").at
		for range 20 { // five minutes
			e, err := stream.any()
			require.NoError(t, err)
			require.Equal(t, "still here", e.comment)
			require.Equal(t, 15*time.Second, e.at.Sub(last))
			last = e.at
		}
	})

	bubble("TheStoreIsAskedOnceForAllWhoWatch", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		token := w.token(ann(acme), time.Hour)
		id := startRun(t, w.svc, acme, "a")
		var streams []*eventStream
		for range 20 {
			stream := s.events(token, id, "")
			stream.next("state")
			streams = append(streams, stream)
		}
		// Another run of the same tenant is read with the same queries.
		second := s.events(token, startRun(t, w.svc, acme, "b"), "")
		second.next("state")
		time.Sleep(time.Second)
		runs, watchers := s.streams.Watched()
		require.Equal(t, []int{2, 21}, []int{runs, watchers})

		before := w.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.InDelta(t, 20, w.store.views.Load()-before, 1, "twice a second, for both of the tenant's runs")

		w.step()
		w.step()
		for _, stream := range append(streams, second) {
			stream.next("state")
			stream.next("closed")
		}
		before = w.store.views.Load()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.InDelta(t, 5, w.store.views.Load()-before, 2, "every two seconds once they are closed")

		for _, stream := range append(streams, second) {
			stream.close()
		}
		time.Sleep(20 * time.Second) // the server finds out at the next heartbeat at the latest
		runs, watchers = s.streams.Watched()
		require.Equal(t, []int{0, 0, 0}, []int{runs, watchers, s.streams.Open()})
		before = w.store.views.Load()
		time.Sleep(time.Hour)
		require.Equal(t, before, w.store.views.Load(), "nothing is asked while nothing is watched")
	})

	bubble("EndWithTheToken", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		opened := time.Now()
		stream := s.events(w.token(ann(acme), time.Minute), id, "")
		stream.next("state")
		code, reason := stream.ended()
		require.Equal(t, "unauthenticated", code)
		require.Contains(t, reason, "expired")
		require.WithinRange(t, time.Now(), opened.Add(time.Minute), opened.Add(time.Minute+25*time.Second))
		require.Zero(t, s.streams.Open())
	})

	bubble("EndWhenTheCallerMayNoLongerRead", func(t *testing.T, w *streamWorld) {
		var mu sync.Mutex // a bubble's Wait orders the two, but not for the race detector
		revoked, asked := error(nil), 0
		set := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			revoked, asked = err, 0
		}
		times := func() int {
			mu.Lock()
			defer mu.Unlock()
			return asked
		}
		streams := httpapi.NewStreams(w.svc, httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		// A page with its own authentication shares the streams.
		s := w.serveHandler(streams, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			require.NoError(t, streams.Serve(rw, r, ann(acme), id, func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return revoked
			}))
		}))
		stream := s.events("", id, "")
		stream.next("state")
		for range 2 {
			_, err := stream.any() // heartbeats, which come as often as it is asked
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, 2, times())
		set(&core.Error{Code: core.CodeRoleNotAllowed, Message: "the session was ended"})
		code, reason := stream.ended()
		require.Equal(t, "role_not_allowed", code)
		require.Equal(t, "the session was ended", reason)

		// A check that fails is repeated a few times, then the stream ends.
		set(nil)
		stream = s.events("", id, "")
		stream.next("state")
		set(errors.New("password=hunter2"))
		code, reason = stream.ended()
		require.Equal(t, "unavailable", code)
		require.NotContains(t, reason, "hunter2")
		require.Equal(t, 4, times())
	})

	bubble("NoMoreThanSoMany", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{MaxStreams: 4, MaxStreamsPerTenant: 2})
		id, other := startRun(t, w.svc, acme, "a"), startRun(t, w.svc, globex, "a")
		acmes, globexs := w.token(ann(acme), time.Hour), w.token(ann(globex), time.Hour)
		platform := w.token(core.Actor{Subject: "pat", Tenant: acme, Role: core.RolePlatformAdmin}, time.Hour)
		var open []*eventStream
		for range 2 {
			open = append(open, s.events(acmes, id, ""))
		}
		refused := s.events(acmes, id, "")
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Equal(t, "5", refused.header.Get("Retry-After"))
		require.Equal(t, "too_many_streams", refused.problem()["code"])

		open = append(open, s.events(platform, id, ""), s.events(globexs, other, "")) // they have places of their own
		refused = s.events(globexs, other, "")
		require.Equal(t, http.StatusServiceUnavailable, refused.status)
		require.Equal(t, "5", refused.header.Get("Retry-After"))
		require.Equal(t, "unavailable", refused.problem()["code"])

		for _, stream := range open {
			require.Equal(t, http.StatusOK, stream.status)
			stream.next("state")
		}
		open[0].close()
		time.Sleep(20 * time.Second)
		open[0] = s.events(acmes, id, "")
		require.Equal(t, http.StatusOK, open[0].status, "places are given back")
		for _, stream := range open {
			stream.close()
		}
	})

	bubble("ASlowClientIsCut", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		token := w.token(ann(acme), time.Hour)
		slow, quick := s.events(token, id, ""), s.events(token, id, "")
		defer quick.close()
		quick.next("state")
		// The pipe holds nothing: the first event waits for the client, which reads nothing.
		time.Sleep(11 * time.Second)
		synctest.Wait()
		_, watchers := s.streams.Watched()
		require.Equal(t, 1, watchers)
		require.Equal(t, 1, s.streams.Open())
		w.step()
		require.Equal(t, "COMPLETED", quick.next("state").json(t)["status"])
		slow.close()
	})

	bubble("AServerThatStopsEndsThemAtOnce", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		token := w.token(ann(acme), time.Hour)
		var streams []*eventStream
		for range 5 {
			stream := s.events(token, id, "")
			stream.next("state")
			streams = append(streams, stream)
		}
		began := time.Now()
		shut := make(chan error, 1)
		go func() { shut <- s.server.Shutdown(t.Context()) }()
		for _, stream := range streams {
			code, reason := stream.ended()
			require.Equal(t, "unavailable", code)
			require.Contains(t, reason, "connect again")
		}
		require.NoError(t, <-shut)
		require.Less(t, time.Since(began), time.Second)

		late := w.serveHandler(s.streams, httpapi.New(w.svc, httpapi.Config{Auth: w.auth, Streams: s.streams}))
		refused := late.events(token, id, "")
		require.Equal(t, http.StatusServiceUnavailable, refused.status)
		require.Equal(t, "unavailable", refused.problem()["code"])
	})

	bubble("AStoreThatIsAway", func(t *testing.T, w *streamWorld) {
		s := w.serve(httpapi.StreamConfig{})
		id := startRun(t, w.svc, acme, "a")
		stream := s.events(w.token(ann(acme), time.Hour), id, "")
		defer stream.close()
		stream.next("state")
		w.store.fail(errors.New("connection refused"))
		for range 3 {
			e, err := stream.any()
			require.NoError(t, err)
			require.Equal(t, "still here", e.comment)
		}
		w.store.fail(nil)
		w.step()
		back := time.Now()
		require.LessOrEqual(t, stream.next("state").at.Sub(back), 2*time.Second)
		require.Equal(t, 1, strings.Count(w.logs.String(), "runs cannot be read"), "said once, not at every question")
		require.Equal(t, 1, strings.Count(w.logs.String(), "can be read again"))
	})
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("fail-a")
	path := "/workflow-runs/" + id + "/events"
	require.Equal(t, http.StatusUnauthorized, w.get("", path).status)
	require.Equal(t, "wrong_tenant", w.get(w.stranger, path).str("code"))
	require.Equal(t, "run_not_found", w.get(w.admin, "/workflow-runs/no-such-run/events").str("code"))
	require.Equal(t, "run_not_found", w.get(w.admin, "/workflow-runs/a%20b/events").str("code"))

	for _, c := range []struct {
		token  string
		status int
		media  string
	}{
		{w.user, http.StatusOK, "text/event-stream"},
		{w.stranger, http.StatusForbidden, "application/problem+json"},
	} {
		resp, err := w.client.Do(w.request(call{method: http.MethodHead, path: path, token: c.token}))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.status, resp.StatusCode)
		require.Equal(t, c.media, resp.Header.Get("Content-Type"))
	}
	options := w.write(http.MethodOptions, "", path, nil)
	require.Equal(t, http.StatusNoContent, options.status)
	require.Equal(t, "GET, HEAD, OPTIONS", options.header.Get("Allow"))
	require.Equal(t, http.StatusMethodNotAllowed, w.post(w.admin, path, nil).status)
}
