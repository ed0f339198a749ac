package queuetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testFair: the few jobs of one tenant are not behind the many of another that
// were there before.
func testFair(t *testing.T, s *subject) {
	if !s.Fair {
		return // it may serve them in any order
	}
	small := make([]core.Job, 3)
	for i := range small {
		small[i] = core.Job{Tenant: "globex", Run: "g", Epoch: 1, ID: core.FileJobID("g", i), Template: "t", Files: []int{i}}
	}
	s.enqueue(t, jobs(s.manySingly(), 1)...)
	s.ack(t, s.receive(t, 10)...) // it is being worked on
	s.enqueue(t, small...)
	seen, before := 0, 0
	for seen < len(small) {
		got, err := s.Feed.Receive(s.ctx, 16, ports.Skip{})
		require.NoError(t, err)
		for _, j := range s.ack(t, got...) {
			if j.Tenant == "globex" {
				seen++
			} else {
				before++
			}
		}
	}
	// A broker may have handed over a few hundred of the large tenant already.
	require.Less(t, before, s.manySingly()/2, "jobs of the large tenant that came before those of the small one")
}

// testRedelivery: many consumers nack some of what they get, in whatever order it
// comes; every job is acked in the end, and not one is acked twice.
func testRedelivery(t *testing.T, s *subject) {
	const n = 300
	s.enqueue(t, jobs(n, 1)...)
	acked := map[identity]int{}
	tries := map[identity]int{}
	for len(acked) < n {
		got, err := s.Feed.Receive(s.ctx, 40, ports.Skip{})
		require.NoError(t, err, "%d of %d", len(acked), n)
		for i, d := range got {
			id := identityOf(d.Jobs()[0])
			if tries[id]++; tries[id] < 3 && i%2 == 0 {
				require.NoError(t, d.Nack(s.ctx))
				continue
			}
			require.NoError(t, d.Ack(s.ctx))
			acked[id]++
		}
	}
	for id, times := range acked {
		require.True(t, times == 1 || s.MayRepeat, "%v was acked %d times", id, times)
	}
	s.quiet(t)
}
