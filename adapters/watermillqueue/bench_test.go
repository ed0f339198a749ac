package watermillqueue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// jobsOf makes jobs of the files from..to of a tenant's run.
func jobsOf(tenant core.TenantID, run core.RunID, from, to int) []core.Job {
	list := make([]core.Job, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, core.Job{Tenant: tenant, Run: run, Epoch: 1, ID: core.FileJobID(run, i), Template: "summarise", Files: []int{i}})
	}
	return list
}

// enqueue makes each job a message of its own.
func enqueue(t testing.TB, q *watermillqueue.Queue, jobs []core.Job) {
	t.Helper()
	accepted, err := queuetest.Singly{Queue: q}.Enqueue(t.Context(), jobs)
	require.NoError(t, err)
	require.Equal(t, len(jobs), accepted)
}

// enqueueMany lets jobs travel together.
func enqueueMany(t testing.TB, q *watermillqueue.Queue, jobs []core.Job) {
	t.Helper()
	accepted, err := q.Enqueue(t.Context(), jobs)
	require.NoError(t, err)
	require.Equal(t, len(jobs), accepted)
}

// drain receives and acks n jobs with as many consumers.
func drain(t testing.TB, q *watermillqueue.Queue, consumers, limit, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	for range consumers {
		wg.Go(func() {
			for {
				got, err := q.Receive(ctx, limit, ports.Skip{})
				if err != nil {
					return
				}
				jobs := 0
				for _, d := range got {
					jobs += len(d.Jobs())
					if err := d.Ack(ctx); err != nil {
						t.Error(err)
					}
				}
				if done.Add(int64(jobs)) >= int64(n) {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, done.Load(), int64(n)) // more only if more were there
}

// BenchmarkThroughput publishes 100,000 jobs of ten runs and then receives and
// acks them, as three consumers do who want up to 200 at a time.
func BenchmarkThroughput(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) *watermillqueue.Queue{
		"jetstream": func(b *testing.B) *watermillqueue.Queue {
			return newJetStream(b, natsServer(b, nil), watermillqueue.Options{})
		},
		"memory": func(b *testing.B) *watermillqueue.Queue { return newMemory(b) },
		"postgres": func(b *testing.B) *watermillqueue.Queue {
			db := pgtest.NewServer(b, pgtest.Options{Durable: true}).New(b)
			return newPostgres(b, newPool(b, db.URL), watermillqueue.Options{})
		},
	} {
		b.Run(name, func(b *testing.B) {
			const runs, files = 10, 10_000
			q := open(b)
			var publishing, working time.Duration
			for i := range b.N {
				began := time.Now()
				for run := range runs {
					enqueueMany(b, q, jobsOf("acme", core.RunID(fmt.Sprintf("run-%d-%d", i, run)), 0, files))
				}
				publishing += time.Since(began)
				began = time.Now()
				drain(b, q, 3, 200, runs*files)
				working += time.Since(began)
			}
			b.ReportMetric(float64(b.N*runs*files)/publishing.Seconds(), "published/s")
			b.ReportMetric(float64(b.N*runs*files)/working.Seconds(), "worked/s")
		})
	}
}

// BenchmarkIdleStart is the time from Enqueue to Receive when nothing else is
// going on, on one server and from one server to another.
func BenchmarkIdleStart(b *testing.B) {
	run := func(b *testing.B, from, to *watermillqueue.Queue) {
		received := make(chan time.Time)
		go func() {
			for {
				got, err := to.Receive(b.Context(), 10, ports.Skip{})
				if err != nil {
					return
				}
				received <- time.Now()
				for _, d := range got {
					if err := d.Ack(b.Context()); err != nil {
						b.Error(err)
					}
				}
			}
		}()
		var all, worst time.Duration
		for i := range b.N {
			time.Sleep(20 * time.Millisecond) // idle
			began := time.Now()
			enqueue(b, from, jobsOf("acme", "run", i, i+1))
			took := (<-received).Sub(began)
			all, worst = all+took, max(worst, took)
		}
		b.ReportMetric(float64(all.Microseconds())/float64(b.N), "µs/start")
		b.ReportMetric(float64(worst.Microseconds()), "µs-worst")
	}
	b.Run("memory", func(b *testing.B) {
		q := newMemory(b)
		run(b, q, q)
	})
	durable := func(b *testing.B) string { return pgtest.NewServer(b, pgtest.Options{Durable: true}).New(b).URL }
	b.Run("postgres", func(b *testing.B) {
		q := newPostgres(b, newPool(b, durable(b)), watermillqueue.Options{})
		run(b, q, q)
	})
	b.Run("postgres/other-server", func(b *testing.B) {
		url := durable(b)
		run(b, newPostgres(b, newPool(b, url), watermillqueue.Options{}), newPostgres(b, newPool(b, url), watermillqueue.Options{}))
	})
}
