package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// gate counts those who are in it at once, and keeps them there while it is closed.
type gate struct {
	mu        sync.Mutex
	now, most int
	entered   chan struct{} // one for each that came
	open      chan struct{} // closed while nobody is kept
}

// newGate makes an open gate.
func newGate() *gate {
	g := &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})}
	close(g.open)
	return g
}

// shut closes the gate, begins to count anew and gives what opens it.
func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := make(chan struct{})
	g.open, g.most, g.entered = c, 0, make(chan struct{}, 1000)
	return sync.OnceFunc(func() { close(c) })
}

func (g *gate) pass() {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	open := g.open
	g.entered <- struct{}{}
	g.mu.Unlock()
	<-open
	g.mu.Lock()
	g.now--
	g.mu.Unlock()
}

// await waits until n have come.
func (g *gate) await(t *testing.T, n int) {
	t.Helper()
	g.mu.Lock()
	entered := g.entered
	g.mu.Unlock()
	for range n {
		select {
		case <-entered:
		case <-time.After(hangTimeout):
			t.Fatal("nobody comes")
		}
	}
}

// atOnce is how many there were at once since it was shut.
func (g *gate) atOnce() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// gatedStore is the memory store with a gate before what a made-up credential costs.
type gatedStore struct {
	*memory.Store
	gate *gate
}

// APIKey implements ports.Store.
func (s gatedStore) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	s.gate.pass()
	return s.Store.APIKey(ctx, tenant, id)
}

// Tickets implements ports.TicketStore.
func (s gatedStore) Tickets() ports.Tickets { return gatedTickets{s.Store.Tickets(), s.gate} }

type gatedTickets struct {
	ports.Tickets
	gate *gate
}

// Take implements ports.Tickets.
func (s gatedTickets) Take(ctx context.Context, id string) (ports.Ticket, error) {
	s.gate.pass()
	return s.Tickets.Take(ctx, id)
}

// newGuessedWorld lets an address send two credentials a minute that are not valid.
func newGuessedWorld(t *testing.T, wait time.Duration) (*world, *gate) {
	t.Helper()
	clock := &limitedClock{now: startOfTest}
	store := gatedStore{memory.NewStore(), newGate()}
	return newWorld(t, func(o *options) {
		o.store, o.api.Tickets = store, store.Tickets()
		o.api.Limiter = httpapi.NewLimiter(httpapi.RateLimits{Failed: perMinute(2)}.WithClock(clock.time).WithWait(wait))
	}), store.gate
}

// madeUp is an API key that nobody made, of the right form.
func madeUp(n int) string {
	return core.APIKeyToken(acme, core.APIKeyID(fmt.Sprintf("%0*d", core.APIKeyIDLength, n)), strings.Repeat("x", core.APIKeySecretLength))
}

// guesses sends made-up keys and tickets and gives what counts the answers' statuses once
// all of them are there.
func (w *world) guesses(n int) (statuses func() map[int]int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[int]int{}
	for i := range n {
		c := call{method: http.MethodGet, path: "/balance", token: madeUp(i)}
		if i%2 == 0 {
			c = call{method: http.MethodGet, path: fmt.Sprintf("/events?ticket=rdt_%026d", i)}
		}
		req := w.request(c)
		all.Go(func() {
			res, err := w.client.Do(req)
			if err != nil {
				w.t.Error(err)
				return
			}
			_ = res.Body.Close() // the status is all that counts
			mu.Lock()
			defer mu.Unlock()
			got[res.StatusCode]++
		})
	}
	return func() map[int]int {
		all.Wait()
		return got
	}
}

// Made-up keys and tickets cost the store little at once, also when they come together,
// and who has a valid one behind the same address is let in meanwhile, or a little later.
func TestLookUpsAreBounded(t *testing.T) {
	t.Parallel()
	w, gate := newGuessedWorld(t, hangTimeout)
	_, key, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: acme, By: core.System, Name: "ci", Role: core.RoleCustomerUser})
	require.NoError(t, err)

	open := gate.shut()
	defer open()
	statuses := w.guesses(40)
	gate.await(t, 2+4)
	require.Equal(t, http.StatusOK, w.get(w.user, "/balance").status, "a token costs the store nothing")
	open()
	require.Equal(t, map[int]int{http.StatusUnauthorized: 2, http.StatusTooManyRequests: 38}, statuses())
	require.Equal(t, 2+4, gate.atOnce(), "as many as may be not valid, and the shared turns")

	open = gate.shut()
	defer open()
	statuses = w.guesses(40)
	gate.await(t, 4)
	honest := make(chan int, 1)
	go func() { honest <- w.get(key, "/balance").status }()
	open()
	require.Equal(t, http.StatusOK, <-honest)
	require.Equal(t, map[int]int{http.StatusTooManyRequests: 40}, statuses())
	require.Equal(t, 4, gate.atOnce())
}

// Who waits for a turn too long is told to come back, and has cost the store nothing.
func TestLookUpsDoNotWaitForEver(t *testing.T) {
	t.Parallel()
	w, gate := newGuessedWorld(t, time.Millisecond)
	require.Equal(t, map[int]int{http.StatusUnauthorized: 2}, w.guesses(2)())
	open := gate.shut()
	defer open()
	var held []func() map[int]int
	for range 4 { // one by one, so that none of them has to wait
		held = append(held, w.guesses(1))
		gate.await(t, 1)
	}
	for range 3 {
		w.limitedOut(w.get(madeUp(7), "/balance"), "30")
	}
	require.Equal(t, 4, gate.atOnce())
	open()
	for _, statuses := range held {
		require.Equal(t, map[int]int{http.StatusTooManyRequests: 1}, statuses())
	}
}
