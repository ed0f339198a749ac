package queuetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A (job ID, epoch) that is outstanding is not carried twice, and still counts
// as taken: enqueue checks that.

func testDedupeWaiting(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	s.enqueue(t, job(1, 1))
	s.enqueue(t, job(2, 1), job(1, 1))
	require.ElementsMatch(t, []core.Job{job(1, 1), job(2, 1)}, s.ack(t, s.receive(t, 2)...))
	s.quiet(t)
}

func testDedupeDelivered(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	d := s.receiveOne(t)
	s.enqueue(t, job(1, 1))
	s.quiet(t)
	s.ack(t, d)
	s.quiet(t)
}

func testDedupeInOneCall(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1), job(2, 1), job(1, 1), job(1, 2))
	require.ElementsMatch(t, []core.Job{job(1, 1), job(2, 1), job(1, 2)}, s.ack(t, s.receive(t, 3)...))
	s.quiet(t)
}

// testDedupeByTheWholeKey: jobs whose ID and epoch only look the same when they
// are written one after the other, or that belong to two tenants, are different.
func testDedupeByTheWholeKey(t *testing.T, s *subject) {
	want := []core.Job{job(1, 11), job(11, 1), job(111, 1), job(1, 111)}
	for _, run := range []core.RunID{"r", "r1", "r-1", "r.1"} {
		want = append(want, core.Job{Tenant: "acme", Run: run, Epoch: 1, ID: core.BatchJobID(run), Files: []int{0, 1}})
	}
	other := job(1, 11)
	other.Tenant = "beta"
	want = append(want, other)
	s.enqueue(t, want...)
	require.ElementsMatch(t, want, s.ack(t, s.receive(t, len(want))...))
	s.quiet(t)
}

func testDedupeAfterNack(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	require.NoError(t, s.receiveOne(t).Nack(s.ctx))
	s.enqueue(t, job(1, 1))
	require.Equal(t, []core.Job{job(1, 1)}, s.ack(t, s.receiveOne(t)))
	s.quiet(t)
}

// The same job ID with a new epoch is another job: it is what a Continue sends,
// whatever has become of the older one.

func testNewEpochWaiting(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	s.enqueue(t, job(1, 2))
	require.ElementsMatch(t, []core.Job{job(1, 1), job(1, 2)}, s.ack(t, s.receive(t, 2)...))
	s.quiet(t)
}

func testNewEpochDelivered(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	older := s.receiveOne(t)
	s.enqueue(t, job(1, 2))
	newer := s.receiveOne(t)
	require.Equal(t, []core.Job{job(1, 2), job(1, 1)}, s.ack(t, newer, older))
	s.quiet(t)
}

func testNewEpochAcked(t *testing.T, s *subject) {
	for epoch := core.Epoch(1); epoch <= 5; epoch++ {
		s.enqueue(t, job(1, epoch), job(2, epoch))
		require.ElementsMatch(t, []core.Job{job(1, epoch), job(2, epoch)}, s.ack(t, s.receive(t, 2)...))
	}
	s.quiet(t)
}

// testSameAgainAfterAck: what was acked is forgotten, so recovery can send the
// same again. A queue that remembers for a while may swallow it, and must count
// it as taken nevertheless.
func testSameAgainAfterAck(t *testing.T, s *subject) {
	for round := range 3 {
		s.enqueue(t, job(1, 1))
		if round > 0 && s.RemembersAcked {
			continue
		}
		require.Equal(t, []core.Job{job(1, 1)}, s.ack(t, s.receiveOne(t)))
		s.quiet(t)
	}
}

func testAck(t *testing.T, s *subject) {
	s.enqueue(t, jobs(2, 1)...)
	both := s.receive(t, 2)
	s.ack(t, both[0])
	s.ack(t, both[0], both[0]) // a repeat has no effect, on the other either
	require.NoError(t, both[1].Nack(s.ctx))
	require.Equal(t, []core.Job{both[1].Jobs()[0]}, s.ack(t, s.receiveOne(t)))
	s.quiet(t)

	// What was acked is over: acking it once more does not touch the same job
	// when it was enqueued again.
	if s.RemembersAcked {
		return
	}
	s.enqueue(t, both[0].Jobs()[0])
	s.ack(t, both[0])
	s.enqueue(t, both[0].Jobs()[0])
	require.Equal(t, []core.Job{both[0].Jobs()[0]}, s.ack(t, s.receiveOne(t)))
	s.quiet(t)
}

func testNack(t *testing.T, s *subject) {
	s.enqueue(t, jobs(3, 1)...)
	for range 3 { // as often as it takes
		for _, d := range s.receive(t, 3) {
			require.NoError(t, d.Nack(s.ctx))
			require.NoError(t, d.Nack(s.ctx)) // a repeat does not deliver it twice
		}
	}
	require.ElementsMatch(t, jobs(3, 1), s.ack(t, s.receive(t, 3)...))
	s.quiet(t)
}

func testAckAndNack(t *testing.T, s *subject) {
	s.enqueue(t, job(1, 1))
	acked := s.receiveOne(t)
	s.ack(t, acked)
	require.NoError(t, acked.Nack(s.ctx)) // after an ack it has no effect
	s.quiet(t)

	// An old delivery that was nacked has no hold on the new one.
	s.enqueue(t, job(2, 1))
	first := s.receiveOne(t)
	require.NoError(t, first.Nack(s.ctx))
	second := s.receiveOne(t)
	require.NoError(t, first.Nack(s.ctx))
	s.quiet(t)
	s.ack(t, second)
	require.NoError(t, first.Nack(s.ctx))
	s.quiet(t)
}
