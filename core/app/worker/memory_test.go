package worker_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// endlessFeed makes up jobs as they are asked for, so that what the pool keeps in
// memory is not mixed up with what a queue does. The jobs are of no run, so each
// claim finds that it has no effect.
type endlessFeed struct {
	left             atomic.Int64
	outstanding, top atomic.Int64
}

type madeUp struct {
	feed *endlessFeed
	job  core.Job
}

func (f *endlessFeed) Receive(ctx context.Context, limit int, _ ports.Skip) ([]ports.Delivery, error) {
	n := min(f.left.Load(), int64(limit))
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	got := make([]ports.Delivery, n)
	for i := range got {
		index := int(f.left.Add(-1))
		got[i] = madeUp{f, core.Job{Tenant: tenant, Run: "none", Epoch: 1, ID: core.FileJobID("none", index), Template: template, Files: []int{index}}}
	}
	out := f.outstanding.Add(n)
	for seen := f.top.Load(); out > seen && !f.top.CompareAndSwap(seen, out); seen = f.top.Load() {
	}
	return got, nil
}

func (d madeUp) Jobs() []core.Job                          { return []core.Job{d.job} }
func (d madeUp) Release(context.Context, []core.Job) error { return nil }
func (d madeUp) Ack(context.Context) error                 { d.feed.outstanding.Add(-1); return nil }

func (d madeUp) Nack(context.Context) error { d.feed.outstanding.Add(-1); return nil }

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkMillionQueuedJobs takes 1,000,000 deliveries through a pool of 200. The
// figure to look at is heap-MB: how much more is alive in the midst of it than before.
func BenchmarkMillionQueuedJobs(b *testing.B) {
	const queued, places = 1_000_000, 200
	for range b.N {
		x := newBench(b, completes)
		feed := &endlessFeed{}
		feed.left.Store(queued)
		x.feed = feed
		before := heap()
		_, cancel, wait := x.launch(worker.Options{Concurrency: places})
		var most int64
		for feed.left.Load() > 0 || feed.outstanding.Load() > 0 {
			time.Sleep(20 * time.Millisecond)
			most = max(most, heap()-before)
		}
		cancel()
		require.NoError(b, wait())
		require.LessOrEqual(b, feed.top.Load(), int64(places))
		b.ReportMetric(float64(most)/(1<<20), "heap-MB")
		b.ReportMetric(float64(feed.top.Load()), "deliveries-at-once")
	}
}

// The same, small and as a test: what the pool keeps does not grow with what is
// queued.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, completes)
	feed := &endlessFeed{}
	feed.left.Store(10_000)
	b.feed = feed
	w, _, _ := b.launch(worker.Options{Concurrency: 50})
	b.eventually("all are dropped", func() bool { return feed.left.Load() == 0 && feed.outstanding.Load() == 0 })
	require.LessOrEqual(t, feed.top.Load(), int64(50))
	b.eventually("nothing is kept of them", func() bool { // the pool hears of the last acks a moment later
		s := w.Stats()
		return s.Running+s.Waiting+s.Parked == 0 && len(s.Breakers) == 0
	})
}
