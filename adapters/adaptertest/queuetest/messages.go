package queuetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// These tests let jobs travel together, as the others do not.

// enqueueMany must succeed, and every job must count as taken.
func (s *subject) enqueueMany(t *testing.T, list ...core.Job) {
	t.Helper()
	accepted, err := s.many.Enqueue(s.ctx, list)
	require.NoError(t, err)
	require.Equal(t, len(list), accepted, "jobs taken")
}

// whole checks that a delivery is a message, and gives its jobs.
func whole(t *testing.T, d ports.Delivery) []core.Job {
	t.Helper()
	jobs := d.Jobs()
	require.NotEmpty(t, jobs)
	require.LessOrEqual(t, len(jobs), ports.MessageJobs)
	for _, j := range jobs {
		require.Equal(t, []any{jobs[0].Tenant, jobs[0].Run, jobs[0].Epoch, jobs[0].Template}, []any{j.Tenant, j.Run, j.Epoch, j.Template})
	}
	return jobs
}

// receiveJobs collects deliveries until they have n jobs.
func (s *subject) receiveJobs(t *testing.T, n int) (got []ports.Delivery) {
	t.Helper()
	for jobs := 0; jobs < n; {
		more, err := s.Feed.Receive(s.ctx, n-jobs, ports.Skip{})
		require.NoError(t, err, "after %d of %d jobs", jobs, n)
		require.NotEmpty(t, more)
		for _, d := range more {
			require.Less(t, jobs, n, "only the last message may have more than the limit")
			jobs += len(whole(t, d))
		}
		got = append(got, more...)
	}
	return got
}

func testMessageTravels(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	got := s.receiveJobs(t, 1)
	require.Len(t, got, 1)
	require.Equal(t, jobs(10, 1), got[0].Jobs())
	got[0].Jobs()[0] = core.Job{} // the caller's
	got[0].Jobs()[1].Files[0] = 99
	require.Equal(t, jobs(10, 1), got[0].Jobs())
	s.ack(t, got...)
	s.quiet(t)

	// A run that is too large for one, of which some are sent alone and in any order.
	list := jobs(1100, 2)
	slices.Reverse(list)
	s.enqueueMany(t, list...)
	var all []core.Job
	for _, d := range s.receiveJobs(t, len(list)) {
		all = append(all, whole(t, d)...)
		s.ack(t, d)
	}
	require.ElementsMatch(t, list, all)
	s.quiet(t)
}

// testMessageIsOfOneKind: whatever is enqueued together, a message is of one tenant, run,
// epoch and template.
func testMessageIsOfOneKind(t *testing.T, s *subject) {
	var want []core.Job
	for i := range 4 {
		for _, tenant := range []core.TenantID{"acme", "globex"} {
			for _, template := range []core.TemplateID{"t", "u"} {
				for epoch := range core.Epoch(2) {
					run := core.RunID(string(tenant) + string(template))
					want = append(want, core.Job{Tenant: tenant, Run: run, Epoch: epoch, ID: core.FileJobID(run, i), Template: template, Files: []int{i}})
				}
			}
		}
	}
	want = append(want, core.Job{Tenant: "acme", Run: "batch", Epoch: 1, ID: core.BatchJobID("batch"), Template: "t", Files: []int{0, 1, 2}})
	s.enqueueMany(t, want...)
	var got []core.Job
	for _, d := range s.receiveJobs(t, len(want)) {
		got = append(got, whole(t, d)...)
		s.ack(t, d)
	}
	require.ElementsMatch(t, want, got)
	s.quiet(t)
}

// testMessageRepeats: exactly the same jobs are not carried twice while they are there.
func testMessageRepeats(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	s.enqueueMany(t, jobs(10, 1)...)
	d := s.receiveJobs(t, 10)[0]
	s.enqueueMany(t, jobs(10, 1)...)
	s.quiet(t)
	s.ack(t, d)
	s.quiet(t)
	s.enqueueMany(t, jobs(10, 2)...) // another epoch
	s.ack(t, s.receiveJobs(t, 10)...)
	s.quiet(t)
}

// testMessagesOverlap: every job arrives, and may arrive twice.
func testMessagesOverlap(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(15, 1)[:10]...)
	s.enqueueMany(t, jobs(15, 1)[5:]...)
	s.enqueueMany(t, job(7, 1))
	seen := map[core.JobID]bool{}
	for len(seen) < 15 {
		for _, d := range s.receiveJobs(t, 1) {
			for _, j := range whole(t, d) {
				seen[j.ID] = true
			}
			s.ack(t, d)
		}
	}
}

// testReleaseAtOnce: what is passed on is another's while the rest is in hand.
func testReleaseAtOnce(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	first := s.receiveJobs(t, 10)[0]
	rest := first.Jobs()[3:]
	require.NoError(t, first.Release(s.ctx, nil))
	require.NoError(t, first.Release(s.ctx, rest))
	require.Equal(t, jobs(10, 1)[:3], first.Jobs())
	second := s.receiveJobs(t, 7)
	require.Len(t, second, 1, "a message of its own")
	require.Equal(t, jobs(10, 1)[3:], second[0].Jobs())
	s.quiet(t)
	s.ack(t, first)
	s.quiet(t)
	require.NoError(t, second[0].Nack(s.ctx)) // the other ack did not concern it
	require.Equal(t, jobs(10, 1)[3:], s.receiveJobs(t, 7)[0].Jobs())
}

// testReleaseThenAck: an ack concerns what is kept, whichever comes first.
func testReleaseThenAck(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	first := s.receiveJobs(t, 10)[0]
	require.NoError(t, first.Release(s.ctx, first.Jobs()[:9]))
	s.ack(t, first)
	s.ack(t, first)
	second := s.receiveJobs(t, 9)
	require.Equal(t, jobs(10, 1)[:9], s.jobsOf(t, second))
	s.ack(t, second...)
	s.quiet(t)
	if s.RemembersAcked {
		return
	}
	s.enqueueMany(t, jobs(10, 1)...) // nothing of it is there any more
	s.ack(t, s.receiveJobs(t, 10)...)
	s.quiet(t)
}

func testReleaseThenNack(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	first := s.receiveJobs(t, 10)[0]
	require.NoError(t, first.Release(s.ctx, first.Jobs()[4:]))
	released := s.receiveJobs(t, 6)
	require.NoError(t, first.Nack(s.ctx))
	require.NoError(t, first.Nack(s.ctx))
	again := s.receiveJobs(t, 4)
	require.Equal(t, jobs(10, 1)[:4], s.jobsOf(t, again), "the rest alone")
	s.ack(t, again...)
	s.ack(t, released...)
	s.quiet(t)
}

// testReleaseAll: the delivery is over.
func testReleaseAll(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	first := s.receiveJobs(t, 10)[0]
	require.NoError(t, first.Release(s.ctx, first.Jobs()))
	second := s.receiveJobs(t, 10)
	require.Equal(t, jobs(10, 1), s.jobsOf(t, second))
	s.ack(t, first)
	require.NoError(t, first.Nack(s.ctx))
	require.ErrorIs(t, first.Release(s.ctx, jobs(1, 1)), ports.ErrNotInDelivery)
	require.NoError(t, second[0].Nack(s.ctx)) // the first has no hold on it
	s.ack(t, s.receiveJobs(t, 10)...)
	s.quiet(t)
}

func testReleaseRefused(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	d := s.receiveJobs(t, 10)[0]
	require.ErrorIs(t, d.Release(s.ctx, []core.Job{job(0, 1), job(10, 1)}), ports.ErrNotInDelivery)
	require.Equal(t, jobs(10, 1), d.Jobs(), "all are still there")
	require.NoError(t, d.Release(s.ctx, []core.Job{job(0, 1)}))
	require.ErrorIs(t, d.Release(s.ctx, []core.Job{job(0, 1)}), ports.ErrNotInDelivery, "it was passed on")
	require.Equal(t, jobs(10, 1)[1:], d.Jobs())
	s.ack(t, s.receiveJobs(t, 1)...)
	s.ack(t, d)
	require.ErrorIs(t, d.Release(s.ctx, []core.Job{job(1, 1)}), ports.ErrNotInDelivery)
	require.NoError(t, d.Release(s.ctx, nil))
	s.quiet(t)
}

// testReleaseAgainAndAgain: a delivery gets smaller, and so does what was passed on.
func testReleaseAgainAndAgain(t *testing.T, s *subject) {
	const n = 64
	s.enqueueMany(t, jobs(n, 1)...)
	var seen []core.Job
	for len(seen) < n {
		d := s.receiveJobs(t, 1)[0]
		for left := d.Jobs(); len(left) > 1; left = d.Jobs() {
			require.NoError(t, d.Release(s.ctx, left[len(left)/2:]))
		}
		seen = append(seen, s.ack(t, d)...)
	}
	require.ElementsMatch(t, jobs(n, 1), seen)
	s.quiet(t)
}

// testReleaseShares: many workers with few places share one run.
func testReleaseShares(t *testing.T, s *subject) {
	const consumers, n = 8, 1000
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var mu sync.Mutex
	seen := map[identity]int{}
	failed := make(chan error, consumers)
	var wg sync.WaitGroup
	work := func(d ports.Delivery) error {
		jobs := d.Jobs()
		mine := jobs[:min(len(jobs), 40)]
		if err := d.Release(s.ctx, jobs[len(mine):]); err != nil {
			return err
		}
		if err := d.Ack(s.ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, j := range mine {
			seen[identityOf(j)]++
		}
		if len(seen) == n {
			cancel()
		}
		return nil
	}
	for range consumers {
		wg.Go(func() {
			for {
				got, err := s.Feed.Receive(ctx, 40, ports.Skip{})
				for i := 0; i < len(got) && err == nil; i++ {
					err = work(got[i])
				}
				if err != nil {
					if ctx.Err() == nil {
						failed <- err
						cancel()
					}
					return
				}
			}
		})
	}
	s.enqueueMany(t, jobs(n, 1)...)
	wg.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err)
	default:
	}
	require.Len(t, seen, n, "jobs that arrived")
	for id, times := range seen {
		require.True(t, times == 1 || s.MayRepeat, "%v arrived %d times", id, times)
	}
	s.quiet(t)
}

// testLease: what is not answered comes again when the lease has run out, without what
// was passed on.
func testLease(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(10, 1)...)
	first := s.receiveJobs(t, 10)[0]
	require.NoError(t, first.Release(s.ctx, first.Jobs()[4:]))
	s.ack(t, s.receiveJobs(t, 6)...)
	again := s.receiveJobs(t, 4)
	want := jobs(10, 1)[:4]
	if s.ComesWhole {
		want = jobs(10, 1)
	}
	require.Equal(t, want, s.jobsOf(t, again))
	s.ack(t, again...)
}

// handedOver waits until what was enqueued has come to the process.
func (s *subject) handedOver(t *testing.T) {
	t.Helper()
	if s.Broker == nil {
		return
	}
	for {
		depth, err := s.Broker.Stats(s.ctx)
		require.NoError(t, err)
		if depth.Waiting.N == 0 {
			return
		}
		time.Sleep(time.Millisecond) // between two looks at the broker; s.ctx bounds them
	}
}

// testFairWithLargeMessages: a tenant, or a template, with large messages is in no
// other's way.
func testFairWithLargeMessages(t *testing.T, s *subject) {
	if !s.Fair {
		return // it may serve them in any order
	}
	s.enqueueMany(t, jobs(s.Many, 1)...)
	s.ack(t, s.receiveJobs(t, 10)...) // it is being worked on
	var small []core.Job
	for i := range 3 {
		small = append(small,
			core.Job{Tenant: "globex", Run: "g", Epoch: 1, ID: core.FileJobID("g", i), Template: "t", Files: []int{i}},
			core.Job{Tenant: "acme", Run: "u", Epoch: 1, ID: core.FileJobID("u", i), Template: "u", Files: []int{i}})
	}
	s.enqueueMany(t, small...)
	s.handedOver(t)
	seen, before := 0, 0
	for seen < len(small) {
		for _, d := range s.receiveJobs(t, 1) {
			for _, j := range whole(t, d) {
				if j.Run == "r" {
					before++
				} else {
					seen++
				}
			}
			s.ack(t, d)
		}
	}
	// A broker may have handed over some messages of the large one already.
	require.LessOrEqual(t, before, max(s.Many/5, 4*ports.MessageJobs), "jobs of the large run that came before the small ones")
}

func (s *subject) jobsOf(t *testing.T, list []ports.Delivery) (all []core.Job) {
	t.Helper()
	for _, d := range list {
		all = append(all, whole(t, d)...)
	}
	return all
}

// testManyTogether: a large run is delivered, once.
func testManyTogether(t *testing.T, s *subject) {
	s.enqueueMany(t, jobs(s.Many, 1)...)
	seen := make(map[identity]int, s.Many)
	for len(seen) < s.Many {
		for _, d := range s.receiveJobs(t, 64) {
			for _, j := range whole(t, d) {
				seen[identityOf(j)]++
			}
			s.ack(t, d)
		}
	}
	for i := range s.Many {
		times := seen[identityOf(job(i, 1))]
		require.True(t, times == 1 || s.MayRepeat && times > 1, "job %d arrived %d times", i, times)
	}
	s.quiet(t)
}
