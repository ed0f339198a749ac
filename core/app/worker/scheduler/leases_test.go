package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeases(t *testing.T) {
	t.Parallel()

	t.Run("AreRenewedThreeTimes", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { leases(c); c.Concurrency, c.Transactions = 20, 3 })
		a, b, large := h.works(acme("r", 2)...), h.works(globex("s", 1)...), h.works(batchOf("u", 1999))
		h.at(10*time.Second - 1)
		none[Renew](h)
		h.at(10 * time.Second)
		list := all[Renew](h)
		require.Len(t, list, 3)
		require.Equal(t, append(a[:1:1], a[1]), list[0].Jobs)
		require.Equal(t, b, list[1].Jobs)
		require.Equal(t, large, list[2].Jobs)
		require.Equal(t, 10*time.Second, list[0].Within)
		require.False(t, list[0].Wait)
		require.EqualValues(t, 3, h.s.Stats(h.now).RenewGroups)
		h.do(Renewed{Group: list[0].Group, Lost: a[1:]}, Renewed{Group: list[1].Group})
		require.Equal(t, a[1:], one[Cancel](h).Jobs)
		h.at(20 * time.Second)
		list = all[Renew](h)
		require.Len(t, list, 2, "one is still under way")
		require.Equal(t, a[:1], list[0].Jobs)
	})

	// The leases of a locked run are waited for by itself, no longer than until the next
	// renewal.
	t.Run("OfALockedRun", func(t *testing.T) {
		t.Parallel()
		h := play1(t, leases)
		a, b := h.works(acme("r", 2)...), h.works(acme("s", 1)...)
		h.at(10 * time.Second)
		h.do(Renewed{Group: one[Renew](h).Group, Held: append(a[:2:2], b[0])})
		wait := one[Renew](h)
		require.True(t, wait.Wait)
		require.Equal(t, a, wait.Jobs)
		h.at(10*time.Second + heldRetry)
		again := one[Renew](h)
		require.False(t, again.Wait)
		require.Equal(t, b, again.Jobs)
		h.do(Renewed{Group: again.Group, Held: b})
		h.do(Renewed{Group: wait.Group})
		require.Equal(t, b, one[Renew](h).Jobs)
		require.True(t, one[Renew](h).Wait)
		h.do(Renewed{Group: one[Renew](h).Group, Fault: FaultOfStore})
		require.Empty(t, h.s.held)
		h.at(20 * time.Second)
		require.Len(t, one[Renew](h).Jobs, 3)
		h.do(Renewed{Group: one[Renew](h).Group, Fault: FaultOfOne})
		require.Len(t, h.s.held, 2, "each run by itself")
		h.do(Renewed{Group: one[Renew](h).Group, Fault: FaultOfOne})
		require.Len(t, h.s.held, 1)
		last := one[Renew](h)
		require.Equal(t, b, last.Jobs)
		require.True(t, last.Wait)
		h.at(30 * time.Second)
		require.Equal(t, a, one[Renew](h).Jobs, "the other is still under way")
		h.do(Renewed{Group: last.Group, Held: b})
		require.Empty(t, h.s.held, "its time is over")
		require.False(t, b[0].renewing)
	})

	// What is executed is looked at, and what is lost is stopped.
	t.Run("AreLookedAt", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { leases(c); c.CancelEvery = time.Second })
		h.at(time.Second)
		none[Look](h)
		jobs := h.works(acme("r", 3)...)
		h.do(executedWell(jobs[2])...)
		h.at(2 * time.Second)
		look := one[Look](h)
		require.Equal(t, jobs[:2], look.Jobs)
		h.at(3 * time.Second)
		none[Look](h)
		h.do(Looked{Group: look.Group, Lost: jobs[:1]})
		require.Equal(t, jobs[:1], one[Cancel](h).Jobs)
		h.at(4 * time.Second)
		require.Equal(t, jobs[1:2], one[Look](h).Jobs)
		h.do(Looked{Group: one[Look](h).Group, Lost: jobs[:1]})
		none[Cancel](h)
		require.EqualValues(t, 1, h.s.Stats(h.now).LostLeases)
	})

	t.Run("AreNotLookedAt", func(t *testing.T) {
		t.Parallel()
		h := play1(t, leases)
		h.works(acme("r", 1)...)
		h.at(5 * time.Second)
		none[Look](h)
	})

	t.Run("AreLostBeforeTheJobIsBegun", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { leases(c); c.Ahead = 8 })
		h.do(Received{})
		h.s.pace.mean = 0
		h.message(acme("r", 9)...)
		claim := one[Claim](h)
		h.claimed(claim).do(Answered{Message: 1})
		h.at(10 * time.Second)
		h.do(Renewed{Group: one[Renew](h).Group, Lost: claim.Jobs[8:]})
		none[Cancel](h)
		require.Equal(t, 8, h.s.jobs)
		h.do(executedWell(claim.Jobs[0])...)
		none[Execute](h)
	})
}
