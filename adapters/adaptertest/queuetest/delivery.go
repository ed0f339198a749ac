package queuetest

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func testDelivers(t *testing.T, s *subject) {
	s.enqueue(t, jobs(3, 1)...)
	s.enqueue(t, job(3, 1))
	require.ElementsMatch(t, jobs(4, 1), s.ack(t, s.receive(t, 4)...))
	s.quiet(t)
	s.enqueue(t, job(4, 1))
	require.Equal(t, []core.Job{job(4, 1)}, s.ack(t, s.receiveOne(t)))
	s.quiet(t)
}

// testRoundTrip: every field of a job arrives.
func testRoundTrip(t *testing.T, s *subject) {
	long := strings.Repeat("x", core.MaxIDLength)
	batch := core.Job{Tenant: "Tenant_1.a-b", Run: core.RunID(long), Epoch: math.MaxInt64, ID: core.BatchJobID(core.RunID(long)), Template: core.TemplateID(long)}
	for i := range core.DefaultMaxFiles {
		batch.Files = append(batch.Files, i*7)
	}
	want := []core.Job{
		batch,
		{Tenant: core.TenantID(long), Run: core.RunID(long), Epoch: 1, ID: core.FileJobID(core.RunID(long), math.MaxInt32), Files: []int{math.MaxInt32}},
		{Tenant: "0", Run: "0", Epoch: 0, ID: core.FileJobID("0", 0), Files: []int{0}},
	}
	s.enqueue(t, want...)
	got := s.ack(t, s.receive(t, len(want))...)
	require.Len(t, got, len(want))
	for _, w := range want {
		found := false
		for _, g := range got {
			if identityOf(g) == identityOf(w) {
				found = true
				require.Equal(t, w, g)
			}
		}
		require.True(t, found, "job %s was not delivered", w.ID)
	}
}

// testNotAliased: a job belongs to the caller again once Enqueue has returned.
func testNotAliased(t *testing.T, s *subject) {
	given := job(7, 1)
	s.enqueue(t, given)
	given.Files[0] = 99
	d := s.receiveOne(t)
	require.Equal(t, job(7, 1), d.Jobs()[0])
	require.NoError(t, d.Nack(s.ctx))
	d.Jobs()[0].Files[0] = 99
	require.Equal(t, []core.Job{job(7, 1)}, s.ack(t, s.receiveOne(t)))
}

func testNoJobs(t *testing.T, s *subject) {
	for _, none := range [][]core.Job{nil, {}} {
		accepted, err := s.Queue.Enqueue(s.ctx, none)
		require.NoError(t, err)
		require.Zero(t, accepted)
	}
	s.quiet(t)
}

func testLimit(t *testing.T, s *subject) {
	s.enqueue(t, jobs(20, 1)...)
	seen := map[identity]bool{}
	for _, limit := range []int{1, 3, 1, 7, 2, 100, 100, 100, 100, 100, 100} {
		if len(seen) == 20 {
			break
		}
		got, err := s.Feed.Receive(s.ctx, limit, ports.Skip{})
		require.NoError(t, err)
		require.NotEmpty(t, got)
		require.LessOrEqual(t, len(got), limit)
		for _, j := range s.ack(t, got...) {
			require.False(t, seen[identityOf(j)], "delivered twice: %+v", j)
			seen[identityOf(j)] = true
		}
	}
	for len(seen) < 20 { // a feed may give one at a time, whatever it is allowed
		for _, j := range s.ack(t, s.receiveOne(t)) {
			seen[identityOf(j)] = true
		}
	}
}

// testSkip: what is skipped stays for a Receive that does not skip it.
func testSkip(t *testing.T, s *subject) {
	if !s.Skips {
		return // it may deliver anything
	}
	other := core.Job{Tenant: "globex", Run: "g", Epoch: 1, ID: core.FileJobID("g", 0), Template: "t", Files: []int{0}}
	second := job(100, 1)
	second.Template = "u"
	s.enqueue(t, jobs(20, 1)...)
	s.enqueue(t, other, second)
	for _, c := range []struct {
		skip ports.Skip
		want core.Job
	}{
		{ports.Skip{Tenants: []core.TenantID{"acme"}}, other},
		{ports.Skip{Templates: []ports.TemplateKey{{Tenant: "acme", Template: "t"}, {Tenant: "globex", Template: "u"}}}, second},
	} {
		deliveries, err := s.Feed.Receive(s.ctx, 10, c.skip)
		require.NoError(t, err)
		got := s.ack(t, deliveries...)
		ctx, cancel := context.WithTimeout(s.ctx, s.Quiet)
		more, err := s.Feed.Receive(ctx, 10, c.skip)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "%d deliveries that were to be skipped", len(more))
		require.Equal(t, []core.Job{c.want}, got)
	}
	require.ElementsMatch(t, jobs(20, 1), s.ack(t, s.receive(t, 20)...))
}

func testReceiveWaits(t *testing.T, s *subject) {
	waiting := s.receiveAsync(s.ctx, 10)
	select {
	case r := <-waiting:
		require.Fail(t, "Receive did not wait", "%v, %v", r.got, r.err)
	case <-time.After(s.Quiet):
	}
	s.enqueue(t, job(1, 1))
	r := await(t, "Receive", waiting)
	require.NoError(t, r.err)
	require.Equal(t, []core.Job{job(1, 1)}, s.ack(t, r.got...))

	// Of several that wait, each job releases one.
	const receivers = 5
	var all []<-chan receiving
	for range receivers {
		all = append(all, s.receiveAsync(s.ctx, 1))
	}
	var got []core.Job
	for i := range receivers {
		s.enqueue(t, job(10+i, 1))
	}
	for _, w := range all {
		r := await(t, "Receive", w)
		require.NoError(t, r.err)
		require.Len(t, r.got, 1)
		got = append(got, s.ack(t, r.got...)...)
	}
	require.ElementsMatch(t, []core.Job{job(10, 1), job(11, 1), job(12, 1), job(13, 1), job(14, 1)}, got)
}

func testReceiveIsCancelled(t *testing.T, s *subject) {
	ctx, cancel := context.WithCancel(s.ctx)
	waiting := s.receiveAsync(ctx, 1)
	time.Sleep(s.Quiet / 5) // so that, most often, it waits already
	cancel()
	r := await(t, "a cancelled Receive", waiting)
	require.ErrorIs(t, r.err, context.Canceled)
	require.Empty(t, r.got)

	s.enqueue(t, job(1, 1))
	r = await(t, "a Receive that was cancelled before it began", s.receiveAsync(ctx, 1))
	require.ErrorIs(t, r.err, context.Canceled)
	require.Empty(t, r.got)
	require.Equal(t, []core.Job{job(1, 1)}, s.ack(t, s.receiveOne(t)), "the job is there for others")
}

// testCancelledReceiveLosesNothing: receivers come and go while jobs arrive.
func testCancelledReceiveLosesNothing(t *testing.T, s *subject) {
	const n = 200
	var mu sync.Mutex
	seen := map[identity]int{}
	all := make(chan struct{})
	failed := make(chan error, 64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-all:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(s.ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
				got, err := s.Feed.Receive(ctx, 3, ports.Skip{})
				cancel()
				if err != nil && !over(err) || s.ctx.Err() != nil {
					failed <- err
					return
				}
				for _, d := range got {
					if err := d.Ack(s.ctx); err != nil {
						failed <- err
						return
					}
					mu.Lock()
					if seen[identityOf(d.Jobs()[0])]++; len(seen) == n && seen[identityOf(d.Jobs()[0])] == 1 {
						close(all)
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		s.enqueue(t, job(i, 1))
	}
	wg.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err, "%d of %d jobs were delivered", len(seen), n)
		require.NoError(t, s.ctx.Err(), "%d of %d jobs were delivered", len(seen), n)
	default:
	}
	require.Len(t, seen, n)
	if !s.MayRepeat {
		for id, times := range seen {
			require.Equal(t, 1, times, "%v", id)
		}
	}
}

// testEnqueueIsCancelled: either the jobs were taken, or it says that they were not.
func testEnqueueIsCancelled(t *testing.T, s *subject) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	accepted, err := s.Queue.Enqueue(ctx, jobs(5, 1))
	if err == nil {
		require.Equal(t, 5, accepted)
		require.ElementsMatch(t, jobs(5, 1), s.ack(t, s.receive(t, 5)...))
		return
	}
	require.ErrorIs(t, err, context.Canceled)
	s.enqueue(t, jobs(5, 1)...) // and can be enqueued again
	require.ElementsMatch(t, jobs(5, 1), s.ack(t, s.receive(t, 5)...))
}

func testClosed(t *testing.T, s *subject) {
	var waiting []<-chan receiving
	for range 3 {
		waiting = append(waiting, s.receiveAsync(s.ctx, 1))
	}
	time.Sleep(s.Quiet / 5) // so that, most often, they wait already
	require.NoError(t, s.Close())
	for _, w := range waiting {
		r := await(t, "a Receive of a closed queue", w)
		require.ErrorIs(t, r.err, ports.ErrClosed)
		require.Empty(t, r.got)
	}
	r := await(t, "Receive", s.receiveAsync(s.ctx, 1))
	require.ErrorIs(t, r.err, ports.ErrClosed)
	accepted, err := s.Queue.Enqueue(s.ctx, jobs(1, 1))
	require.ErrorIs(t, err, ports.ErrClosed)
	require.Zero(t, accepted)
	require.NoError(t, s.Close(), "closing twice does no harm")
}

func testConsumers(t *testing.T, s *subject) {
	const consumers, n = 8, 1000
	s.consume(t, consumers, n, func() {
		for from := 0; from < n; from += 50 {
			s.enqueue(t, jobs(n, 1)[from:from+50]...)
		}
	})
	s.quiet(t)
}

// testEnqueueAtOnce: many enqueue the same jobs at the same moment.
func testEnqueueAtOnce(t *testing.T, s *subject) {
	const producers, n = 10, 100
	errs := make(chan error, producers)
	counts := make(chan int, producers)
	start := make(chan struct{})
	for range producers {
		go func() {
			<-start
			accepted, err := s.Queue.Enqueue(s.ctx, jobs(n, 1))
			errs <- err
			counts <- accepted
		}()
	}
	close(start)
	for range producers {
		require.NoError(t, <-errs)
		require.Equal(t, n, <-counts, "what is outstanding counts as taken")
	}
	got := s.receive(t, n)
	s.quiet(t)
	require.ElementsMatch(t, jobs(n, 1), s.ack(t, got...))
	s.quiet(t)
}

func testMany(t *testing.T, s *subject) {
	n := s.manySingly()
	s.consume(t, 2, n, func() { s.enqueue(t, jobs(n, 1)...) })
}

// consume lets consumers receive and ack until all n jobs have arrived. Each
// arrives once, at one of them.
func (s *subject) consume(t *testing.T, consumers, n int, produce func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var mu sync.Mutex
	seen := make(map[identity]int, n)
	failed := make(chan error, consumers)
	var wg sync.WaitGroup
	for range consumers {
		wg.Go(func() {
			for {
				got, err := s.Feed.Receive(ctx, 64, ports.Skip{})
				if err != nil {
					if ctx.Err() == nil {
						failed <- err
						cancel()
					}
					return
				}
				for _, d := range got {
					if err := d.Ack(s.ctx); err != nil {
						failed <- err
						cancel()
						return
					}
					mu.Lock()
					seen[identityOf(d.Jobs()[0])]++
					if len(seen) == n {
						cancel()
					}
					mu.Unlock()
				}
			}
		})
	}
	produce()
	wg.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err)
	default:
	}
	require.Len(t, seen, n, "jobs that arrived")
	for i := range n {
		times := seen[identityOf(job(i, 1))]
		if s.MayRepeat {
			require.Positive(t, times)
			continue
		}
		require.Equal(t, 1, times, "deliveries of job %d", i)
	}
}
