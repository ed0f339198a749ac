package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// network is a ports.WebhookSender whose hosts that begin with slow do not answer.
type network struct {
	quick, slow atomic.Int64 // requests that came
	release     chan struct{}
}

func (n *network) Check(string) error { return nil }

func (n *network) Send(ctx context.Context, r ports.WebhookRequest) (ports.WebhookAnswer, error) {
	if !strings.HasPrefix(r.URL, "https://slow") {
		n.quick.Add(1)
		return ports.WebhookAnswer{Status: 200}, nil
	}
	n.slow.Add(1)
	select {
	case <-n.release:
		return ports.WebhookAnswer{Status: 200}, nil
	case <-ctx.Done():
		return ports.WebhookAnswer{}, ctx.Err()
	}
}

// An endpoint that does not answer keeps nothing from the others, and what is not sent when
// the process stops is left to the next one.
func TestSendsWebhooks(t *testing.T) {
	t.Parallel()
	net := &network{release: make(chan struct{})}
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		return completed(task), nil
	}), func(d *app.Deps, _ *app.Options) { d.Webhooks = net })
	for _, url := range []string{"https://slow.example.com", "https://quick.example.com"} {
		_, err := b.svc.CreateWebhookEndpoint(t.Context(), platform, tenant, core.WebhookSpec{URL: url, Types: core.WebhookEventTypes()})
		require.NoError(t, err)
	}
	const runs = 20
	for range runs {
		b.initiate(1)
	}
	stop := b.start(worker.Options{Concurrency: 4})
	b.eventually("the quick endpoint is told of each run, once", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return net.quick.Load() == runs
	})
	require.LessOrEqual(t, net.slow.Load(), int64(4), "more at once than an endpoint may have")
	b.eventually("the slow one is asked too", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return net.slow.Load() > 0
	})
	close(net.release)
	b.eventually("all is delivered", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return b.svc.Stats().WebhooksDelivered == 2*runs
	})
	require.NoError(t, stop())
	require.Equal(t, int64(runs), net.quick.Load())
}

// traffic is a ports.WebhookSender whose requests take a time, and that knows how many are
// under way.
type traffic struct {
	takes time.Duration // 0: for ever

	mu      sync.Mutex
	status  int // 0: 200
	under   int
	most    int            // under way at once since reset
	of      map[string]int // requests by URL
	last    time.Time
	release chan struct{}
}

func newTraffic(takes time.Duration) *traffic {
	return &traffic{takes: takes, of: map[string]int{}, release: make(chan struct{})}
}

func (n *traffic) Check(string) error { return nil }

func (n *traffic) Send(ctx context.Context, r ports.WebhookRequest) (ports.WebhookAnswer, error) {
	n.mu.Lock()
	n.under++
	n.most = max(n.most, n.under)
	n.of[r.URL]++
	n.mu.Unlock()
	if n.takes > 0 {
		time.Sleep(n.takes)
	} else {
		select {
		case <-n.release:
		case <-ctx.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.under--
	n.last = time.Now()
	if ctx.Err() != nil {
		return ports.WebhookAnswer{}, ctx.Err()
	}
	if n.status != 0 {
		return ports.WebhookAnswer{Status: n.status}, nil
	}
	return ports.WebhookAnswer{Status: 200}, nil
}

// answer sets what is answered from now on, and begins to count anew.
func (n *traffic) answer(status int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status, n.most, n.of = status, n.under, map[string]int{}
}

func (n *traffic) seen() (most int, of map[string]int, last time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of = map[string]int{}
	for url, times := range n.of {
		of[url] = times
	}
	return n.most, of, n.last
}

func (b *bench) hook(of core.TenantID, url string) {
	b.t.Helper()
	_, err := b.svc.CreateWebhookEndpoint(context.Background(), platform, of, core.WebhookSpec{URL: url, Types: core.WebhookEventTypes()})
	require.NoError(b.t, err)
}

// tell writes events for all endpoints of a tenant.
func (b *bench) tell(of core.TenantID, events int) {
	b.t.Helper()
	ctx := context.Background()
	require.NoError(b.t, b.store.InTx(ctx, of, func(tx ports.Tx) error {
		for i := range events {
			run := core.Run{Tenant: of, ID: core.RunID(fmt.Sprint("told-", i)), Status: core.RunCompleted}
			if err := tx.WebhookEvents().Tell(ctx, core.ClosingEvent(run, false, time.Now())); err != nil {
				return err
			}
		}
		return nil
	}))
}

func withSender(n ports.WebhookSender) benchOption {
	return func(d *app.Deps, _ *app.Options) { d.Webhooks = n }
}

// What waits for an endpoint is sent without pauses, by as many senders as an endpoint may
// have: they do not lose their places to each other while one of them records.
func TestABacklogOfWebhooksDrains(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := newTraffic(10 * time.Millisecond)
		b := newBench(t, completes, withSystemClock, withSender(net))
		b.hook(tenant, "https://example.com")
		const events = 1000
		b.tell(tenant, events)
		records := func() { time.Sleep(time.Millisecond) } // under the endpoint's lock
		b.store.ending.Store(&records)
		began := time.Now()
		_, cancel, wait := b.launch(worker.Options{})
		time.Sleep(time.Minute)
		most, of, last := net.seen()
		require.Equal(t, map[string]int{"https://example.com": events}, of)
		require.Equal(t, 4, most)
		// Four take 10 ms and two transactions one after the other: 18 ms for four events.
		require.Less(t, last.Sub(began), 6*time.Second)
		cancel()
		require.NoError(t, wait())
	})
}

// An endpoint that fails has one sender, however many it had before, and again as many as it
// may have when it fails no more.
func TestAFailingEndpointHasOneSender(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := newTraffic(100 * time.Millisecond)
		b := newBench(t, completes, withSystemClock, withSender(net))
		b.hook(tenant, "https://example.com")
		b.tell(tenant, 400)
		_, cancel, wait := b.launch(worker.Options{})
		time.Sleep(time.Second + 50*time.Millisecond)
		most, _, _ := net.seen()
		require.Equal(t, 4, most)
		net.answer(503)
		time.Sleep(300 * time.Millisecond) // those that were under way, and what was claimed before they failed
		net.answer(503)
		time.Sleep(5 * time.Second)
		most, of, _ := net.seen()
		require.Equal(t, 1, most)
		require.Greater(t, of["https://example.com"], 10)
		net.answer(200)
		time.Sleep(time.Second)
		most, _, _ = net.seen()
		require.Equal(t, 4, most)
		cancel()
		require.NoError(t, wait())
	})
}

// A tenant whose endpoints do not answer has a part of the places, in which each of its
// endpoints has one, and the other tenants have the rest.
func TestATenantsWebhooksHaveAPartOfThePlaces(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		net := newTraffic(0)
		b := newBench(t, completes, withSystemClock, withSender(net))
		for i := range core.MaxWebhookEndpoints {
			b.hook(tenant, fmt.Sprintf("https://%d.example.com", i))
		}
		b.tell(tenant, 10)
		_, cancel, wait := b.launch(worker.Options{})
		time.Sleep(10 * time.Second)
		most, of, _ := net.seen()
		require.Equal(t, 32, most)
		require.Len(t, of, core.MaxWebhookEndpoints)
		b.hook(globex, "https://globex.example.com")
		b.tell(globex, 10)
		time.Sleep(6 * time.Second)
		_, of, _ = net.seen()
		require.Equal(t, 4, of["https://globex.example.com"])
		close(net.release)
		time.Sleep(10 * time.Second)
		require.EqualValues(t, core.MaxWebhookEndpoints*10+10, b.svc.Stats().WebhooksDelivered)
		cancel()
		require.NoError(t, wait())
	})
}

// Looks for what is due take a small part of the database's time, whatever goes on, and an
// idle server looks once in five seconds.
func TestLooksForWebhooksRest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, completes, withSystemClock, withSender(newTraffic(time.Millisecond)))
		var looks atomic.Int64
		var takes atomic.Int64
		asked := func() {
			looks.Add(1)
			time.Sleep(time.Duration(takes.Load()))
		}
		b.store.due.Store(&asked)
		_, cancel, wait := b.launch(worker.Options{})
		busy := func() int64 {
			from := looks.Load()
			for began := time.Now(); time.Since(began) < time.Minute; {
				b.initiate(1)
				time.Sleep(50 * time.Millisecond)
			}
			return looks.Load() - from
		}
		require.LessOrEqual(t, busy(), int64(301), "five a second, if they cost nothing")
		takes.Store(int64(100 * time.Millisecond))
		require.LessOrEqual(t, busy(), int64(31), "of 100 ms: one in 2.1 s")
		takes.Store(0)
		time.Sleep(10 * time.Second)
		from := looks.Load()
		time.Sleep(time.Minute)
		require.LessOrEqual(t, looks.Load()-from, int64(13), "nothing happens")
		cancel()
		require.NoError(t, wait())
		synctest.Wait()
	})
}
