package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func leases(c *Config) { c.Lease = 30 * time.Second }

func TestResults(t *testing.T) {
	t.Parallel()

	// What was worked for is tried again after pauses that grow.
	t.Run("AreKeptThroughAnOutage", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.do(executedWell(h.works(acme("r", 2)...)...)...)
		require.Equal(t, 2, h.s.Stats(h.now).Unsaved)
		mean := firstPause
		for range 8 {
			h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
			none[Settle](h)
			fault := h.now
			h.now = fault.Add(mean/2 - 1)
			h.do(Tick{})
			none[Settle](h)
			h.now = fault.Add(mean * 3 / 2)
			h.do(Tick{})
			require.Len(t, one[Settle](h).Settlements, 2)
			mean = min(mean*3/2, mostPause)
		}
		require.Equal(t, mostPause, mean)
		h.do(SettleAnswered{Group: one[Settle](h).Group}, Received{})
		require.EqualValues(t, 2, h.s.Stats(h.now).Settled)
		h.over()
	})

	t.Run("AreGivenUpWhenTheLeaseIsLost", func(t *testing.T) {
		t.Parallel()
		h := play1(t, leases)
		jobs := h.works(acme("r", 1)...)
		h.do(executedWell(jobs...)...)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		h.at(9900 * time.Millisecond)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfOne})
		h.at(h.s.cfg.Lease / 3)
		renew := one[Renew](h)
		require.Equal(t, jobs, renew.Jobs)
		h.do(Renewed{Group: renew.Group, Lost: jobs}, Received{})
		none[Cancel](h)
		h.over()
		require.EqualValues(t, 1, h.s.Stats(h.now).LostLeases)
		h.at(time.Minute)
		none[Settle](h)
	})

	t.Run("OfAGroupThatFailsAreTriedInParts", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := h.works(acme("r", 3)...)
		h.do(executedWell(jobs...)...)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultRefused})
		half := one[Settle](h)
		require.Len(t, half.Settlements, 1)
		h.do(SettleAnswered{Group: half.Group, Fault: FaultRefused})
		rest := one[Settle](h)
		require.Equal(t, []Settlement{{Job: jobs[1]}, {Job: jobs[2]}}, rest.Settlements)
		h.do(SettleAnswered{Group: rest.Group})
		again := one[Settle](h)
		require.Equal(t, []Settlement{{Job: jobs[0], NotKept: true}}, again.Settlements, "the run is to say so")
		h.do(SettleAnswered{Group: again.Group, Fault: FaultRefused})
		none[Settle](h)
		h.at(firstPause * 3 / 2)
		h.do(SettleAnswered{Group: one[Settle](h).Group}, Received{})
		h.over()
	})

	// A store that does not keep up with the results fills the places.
	t.Run("WaitWithoutAPlaceUpToABound", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := h.works(acme("r", 3)...)
		h.do(Executed{Job: jobs[0], Verdict: answered, Rest: unsavedCost})
		require.Equal(t, 2, h.s.taken)
		require.Equal(t, unsavedCost, h.s.unsaved)
		h.do(Executed{Job: jobs[1], Verdict: answered, Rest: 1})
		require.Equal(t, 2, h.s.taken, "there is no room")
		h.do(SettleAnswered{Group: 2})
		require.Zero(t, h.s.unsaved)
		h.do(Executed{Job: jobs[2], Verdict: answered, Rest: 1})
		require.Equal(t, 1, h.s.taken)
		require.Equal(t, 1, h.s.unsaved)
		h.do(SettleAnswered{Group: one2[Settle](h, 3).Group})
	})

	t.Run("OfAnExecutionThatGaveUp", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := h.works(acme("r", 1)...)
		h.do(Executed{Job: jobs[0], GaveUp: true}, Received{})
		none[Settle](h)
		none[HandBack](h)
		h.over()
		h.do(executedWell(jobs...)...) // no second time
		none[Settle](h)
	})
}
