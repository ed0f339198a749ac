package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	limited := func(c *Config) {
		c.Parked, c.TenantConcurrency = 3, 2
		c.TenantLimit = func(core.TenantID) int { return 2 }
	}

	t.Run("SomeArePassedOnAndSomeWait", func(t *testing.T) {
		t.Parallel()
		h := play1(t, limited)
		require.Equal(t, 5, one[Receive](h).Limit)
		jobs := acme("r", 8)
		h.message(jobs...)
		claim := one[Claim](h)
		require.Len(t, claim.Jobs, 2)
		require.Equal(t, Answer{Message: 1, Reply: Release, Jobs: jobs[5:]}, one[Answer](h))
		require.Equal(t, 3, h.s.Stats(h.now).Parked)
		require.Equal(t, Receive{Limit: 2, Skip: ports.Skip{Tenants: []core.TenantID{"acme"}}}, one[Receive](h))
		h.claimed(claim).do(Answered{Message: 1})
		h.do(executedWell(claim.Jobs...)...)
		none[Claim](h) // not acked: the message has parked ones
		require.Equal(t, 2, h.s.taken)
		h.at(parkFor - 1)
		none[Answer](h)
		h.at(parkFor)
		require.Equal(t, Answer{Message: 1, Reply: Release, Jobs: jobs[2:5]}, one[Answer](h))
		require.Zero(t, h.s.Stats(h.now).Parked)
	})

	t.Run("AParkedOneEntersWhenTheLimitFrees", func(t *testing.T) {
		t.Parallel()
		h := play1(t, limited)
		jobs := acme("r", 4)
		h.messages(jobs[:1], jobs[1:2], jobs[2:3], jobs[3:])
		first := one[Claim](h)
		require.Len(t, first.Jobs, 2)
		h.claimed(first).do(Answered{Message: 1}, Answered{Message: 2})
		h.do(executedWell(first.Jobs[0])...)
		require.True(t, len(all[CancelReceive](h)) == 0 || h.s.free() > 0)
		settle := one[Settle](h)
		none[Claim](h) // the run is being written
		h.do(SettleAnswered{Group: settle.Group})
		require.Equal(t, ids(jobs[2:3]), names(one[Claim](h).Jobs))
		require.Equal(t, 1, h.s.Stats(h.now).Parked)
	})

	t.Run("TheReceiveBeginsAgainWhenALimitFrees", func(t *testing.T) {
		t.Parallel()
		h := play1(t, limited)
		jobs := h.works(acme("r", 2)...)
		h.do(executedWell(jobs[0])...)
		require.Equal(t, 1, h.s.taken)
		one[CancelReceive](h)
		h.do(executedWell(jobs[1])...)
		none[CancelReceive](h) // it was told
		h.do(Received{})
		require.Empty(t, one[Receive](h).Skip.Tenants)
	})

	t.Run("OfATemplate", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) {
			c.TemplateLimit = func(k ports.TemplateKey) int { return map[core.TemplateID]int{"t": 3}[k.Template] }
		})
		require.Equal(t, 8, one[Receive](h).Limit)
		h.message(acme("r", 4)...)
		require.Len(t, one[Claim](h).Jobs, 3)
		require.Equal(t, ports.Skip{Templates: []ports.TemplateKey{{Tenant: "acme", Template: "t"}}}, one[Receive](h).Skip)
		h.claimed(one[Claim](h))
		h.message(jobsOfRun("acme", "u", "s", 4, 1)...)
		require.Len(t, one[Claim](h).Jobs, 4)
	})

	// A message of which nothing can be used goes back for later, and the next Receive waits
	// a moment: the queue cannot look past it.
	t.Run("NothingOfItCanBeUsed", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) {
			c.TenantLimit = func(core.TenantID) int { return 1 }
		})
		h.message(acme("r", 1)...)
		h.claimed(one[Claim](h))
		h.message(acme("s", 3)...)
		require.Equal(t, Answer{Message: 2, Reply: Nack}, one[Answer](h))
		none[Receive](h)
		h.at(10*time.Millisecond - 1)
		none[Receive](h)
		h.at(30 * time.Millisecond)
		one[Receive](h)
		require.Equal(t, 30*time.Millisecond, h.s.receive.crowded.step)
		h.message(globex("u", 1)...)
		one[Receive](h)
		require.Zero(t, h.s.receive.crowded.step)
	})
}

func TestReceive(t *testing.T) {
	t.Parallel()

	t.Run("AFaultIsFollowedByAPause", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.do(Received{Failed: true})
		none[Receive](h)
		require.False(t, one[SetTimer](h).At.After(h.start.Add(firstPause*3/2)))
		h.at(firstPause/2 - 1)
		none[Receive](h)
		h.at(firstPause * 3 / 2)
		one[Receive](h)
		h.do(Received{})
		require.Equal(t, firstPause*3/2, h.s.receive.faults.step)
		h.message(acme("r", 1)...)
		require.Zero(t, h.s.receive.faults.step)
	})

	// The first places that free wait a moment for others, while it is few.
	t.Run("PlacesGather", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Linger = 2 * time.Millisecond })
		jobs := h.works(acme("r", 8)...)
		h.do(executedWell(jobs[0])...)
		none[Receive](h)
		h.at(time.Millisecond)
		none[Receive](h)
		h.at(2 * time.Millisecond)
		require.Equal(t, 1, one[Receive](h).Limit)
		h.do(executedWell(jobs[1:5]...)...)
		h.do(Received{})
		require.Equal(t, 5, one[Receive](h).Limit, "many are enough")
	})

	// While all transactions are in use nothing is lost by waiting on, up to a bound.
	t.Run("PlacesGatherLongerWhileTheStoreIsBusy", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Linger, c.Transactions = 2*time.Millisecond, 1 })
		jobs := h.works(acme("r", 8)...)
		h.do(executedWell(jobs[0])...)
		h.at(2 * time.Millisecond)
		one[Settle](h)
		none[Receive](h)
		for ms := 4; ms < 20; ms += 2 {
			h.at(time.Duration(ms) * time.Millisecond)
			none[Receive](h)
		}
		h.at(20 * time.Millisecond)
		one[Receive](h)
	})

	t.Run("TheQueueIsClosed", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.do(Received{Closed: true})
		one[Stopped](h)
	})
}
