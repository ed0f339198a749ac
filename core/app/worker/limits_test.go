package worker_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// countingFeed counts what is delivered and neither acked nor nacked, and notes
// what it is asked for. If it is blind it cannot look past what it is to skip.
type countingFeed struct {
	ports.Feed
	blind bool
	slow  time.Duration // an ack takes as long

	mu       sync.Mutex
	out      map[*countedDelivery]bool
	most     int
	nacked   int
	skips    []ports.Skip
	receives int
}

type countedDelivery struct {
	ports.Delivery
	feed *countingFeed
}

func (f *countingFeed) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	f.mu.Lock()
	f.receives++
	f.skips = append(f.skips, skip)
	f.mu.Unlock()
	if f.blind {
		skip = ports.Skip{}
	}
	got, err := f.Feed.Receive(ctx, limit, skip)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range got {
		counted := &countedDelivery{d, f}
		f.out[counted] = true
		got[i] = counted
	}
	f.most = max(f.most, len(f.out))
	return got, err
}

func (f *countingFeed) told(d *countedDelivery, nacked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.out, d)
	if nacked {
		f.nacked++
	}
}

func (d *countedDelivery) Ack(ctx context.Context) error {
	time.Sleep(d.feed.slow)
	d.feed.told(d, false)
	return d.Delivery.Ack(ctx)
}

func (d *countedDelivery) Nack(ctx context.Context) error {
	d.feed.told(d, true)
	return d.Delivery.Nack(ctx)
}

func (f *countingFeed) lastSkip() ports.Skip {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.skips[len(f.skips)-1]
}

func (f *countingFeed) counts() (outstanding, most, nacked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.out), f.most, f.nacked
}

func count(b *bench) *countingFeed {
	f := &countingFeed{Feed: b.queue, out: map[*countedDelivery]bool{}}
	b.feed = f
	return f
}

func TestLimits(t *testing.T) {
	t.Parallel()

	// 20 jobs of one tenant are queued before 3 of another: the limit of the first
	// leaves places, which the second gets at once.
	for name, c := range map[string]struct {
		options worker.Options
		first   string // what is limited
		skip    ports.Skip
	}{
		"Tenant":   {worker.Options{TenantConcurrency: 2}, "acme", ports.Skip{Tenants: []core.TenantID{tenant}}},
		"Template": {worker.Options{TemplateConcurrency: 2}, "acme/t", ports.Skip{Templates: []ports.TemplateKey{{Tenant: tenant, Template: template}}}},
		"TenantOfItsOwn": {worker.Options{TenantLimit: func(id core.TenantID) int {
			return map[core.TenantID]int{tenant: 2}[id]
		}}, "acme", ports.Skip{Tenants: []core.TenantID{tenant}}},
		"TemplateOfItsOwn": {worker.Options{TemplateLimit: func(key ports.TemplateKey) int {
			return map[core.TenantID]int{tenant: 2}[key.Tenant]
		}}, "acme/t", ports.Skip{Templates: []ports.TemplateKey{{Tenant: tenant, Template: template}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			b := newBench(t, g)
			feed := count(b)
			large := b.initiate(20)
			small := b.initiateFor(globex, template, 2)
			c.options.Concurrency = 8
			limit := c.options.TenantConcurrency + c.options.TemplateConcurrency
			if limit > 0 {
				c.options.Parked = 4 // less than would come if it were asked for
			}
			w, _, _ := b.launch(c.options)
			t.Cleanup(g.letAll) // before the worker is waited for
			b.eventually("both are worked on", func() bool { return g.running(c.first) == 2 && g.running("globex") == 2 })
			if limit == 0 {
				b.eventually("the other is not limited, and what is is left in the queue", func() bool {
					skip := feed.lastSkip()
					return len(skip.Tenants) == len(c.skip.Tenants) && len(skip.Templates) == len(c.skip.Templates)
				})
				require.Equal(t, c.skip, feed.lastSkip())
			}
			require.LessOrEqual(t, w.Stats().Parked, 32)
			for range 20 { // as one ends, the next of its own kind begins
				before, _ := g.executions()
				require.True(t, g.letOne(large))
				if before < 22 {
					b.eventually("the next begins", func() bool { now, _ := g.executions(); return now == before+1 })
				}
			}
			b.eventuallyClosed(large, core.RunCompleted)
			g.letAll()
			b.eventuallyClosed(small, core.RunCompleted)
			require.Equal(t, 2, g.mostRunning(c.first))
			_, most := g.executions()
			require.Equal(t, 1, most)
			_, _, nacked := feed.counts()
			require.Zero(t, nacked, "no more was received than could be kept")
		})
	}

	// What a feed delivers although it was told to skip it is parked within bounds,
	// and the rest goes back; others get their places nevertheless, and nothing is lost.
	t.Run("ABlindFeed", func(t *testing.T) {
		t.Parallel()
		g := newGate()
		b := newBench(t, g)
		feed := count(b)
		feed.blind = true
		large := b.initiate(60)
		small := b.initiateFor(globex, template, 3)
		w, _, _ := b.launch(worker.Options{Concurrency: 8, Parked: 4, TenantConcurrency: 3})
		t.Cleanup(g.letAll)
		b.eventually("both are worked on", func() bool {
			b.clock.Advance(time.Second) // it pauses when nothing but what it cannot use comes
			return g.running("acme") == 3 && g.running("globex") == 3
		})
		require.LessOrEqual(t, w.Stats().Parked, 4)
		_, most, _ := feed.counts()
		require.LessOrEqual(t, most, 8+4)
		g.letAll()
		b.eventually("everything is done", func() bool {
			b.clock.Advance(time.Second)
			return b.run(large).Status.Closed() && b.run(small).Status.Closed()
		})
		require.Equal(t, core.RunCompleted, b.run(large).Status)
		require.Equal(t, core.RunCompleted, b.run(small).Status)
		require.LessOrEqual(t, g.mostRunning("acme"), 3)
		_, most, _ = feed.counts()
		require.LessOrEqual(t, most, 8+4)
	})

	// What is parked for long goes back to the queue, where another process may have
	// room for it.
	t.Run("ParkedForLong", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			b := newBench(t, g, withSystemClock)
			feed := count(b)
			run := b.initiate(5)
			_, cancel, wait := b.launch(worker.Options{Concurrency: 5, TenantConcurrency: 2})
			synctest.Wait()
			require.Equal(t, 2, g.running(""))
			out, _, _ := feed.counts()
			require.Equal(t, 3, out)
			require.Zero(t, b.queue.Len())
			time.Sleep(6 * time.Second)
			synctest.Wait()
			out, _, nacked := feed.counts()
			require.Zero(t, out)
			require.Equal(t, 3, nacked)
			require.Equal(t, 3, b.queue.Len(), "they stay in the queue, since they are skipped")
			g.letAll()
			for !b.run(run).Status.Closed() {
				time.Sleep(time.Millisecond)
			}
			require.Equal(t, 2, g.mostRunning("acme"))
			cancel()
			require.NoError(t, wait())
		})
	})
}

// The pool holds no more deliveries than it has places, however much is queued and
// however often things are delivered twice.
func TestPoolHoldsNoMoreThanItsPlaces(t *testing.T) {
	t.Parallel()
	b := newBench(t, completes)
	feed := count(b)
	feed.slow = 100 * time.Microsecond // jobs end before their deliveries are acked
	ids := []core.RunID{b.initiate(500), b.initiateFor(globex, template, 500)}
	b.start(worker.Options{Concurrency: 9, Ahead: -1})
	for _, id := range ids {
		b.eventuallyClosed(id, core.RunCompleted)
	}
	_, most, nacked := feed.counts()
	require.LessOrEqual(t, most, 9)
	require.Zero(t, nacked)
}

// twice delivers everything twice, once more at the same moment and once later.
type twice struct{ ports.Feed }

func (f twice) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	got, err := f.Feed.Receive(ctx, max(limit/2, 1), skip)
	if limit > 1 {
		got = append(got, got...)
	}
	return got, err
}

func TestJobsThatAreDeliveredTwiceAreWorkedOnce(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := newBench(t, g)
	b.feed = twice{b.queue}
	id := b.initiate(50)
	w, _, _ := b.launch(worker.Options{Concurrency: 10})
	g.letAll()
	b.eventuallyClosed(id, core.RunCompleted)
	all, most := g.executions()
	require.Equal(t, 50, all)
	require.Equal(t, 1, most)
	b.eventually("nothing is left", func() bool { s := w.Stats(); return s.Running == 0 && s.Waiting == 0 })
}
