package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestGroups(t *testing.T) {
	t.Parallel()

	// While one group of a tenant is written the next gathers; tenants go side by side, as
	// far as transactions are free.
	t.Run("GrowWithTheLoad", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 1)...)
		first := one[Claim](h)
		h.messages(acme("s", 1), acme("u", 2), globex("v", 1))
		require.Equal(t, core.TenantID("globex"), one[Claim](h).Jobs[0].Tenant)
		h.messages(jobsOfRun("hooli", "t", "w", 1, 1))
		none[Claim](h)
		h.claimed(first)
		require.Equal(t, core.TenantID("hooli"), one[Claim](h).Jobs[0].Tenant, "those that wait take turns")
		h.claimed(one[Claim](h))
		require.Equal(t, []core.JobID{"s:file:0", "u:file:0", "u:file:1"}, names(one[Claim](h).Jobs))
		require.EqualValues(t, 4, h.s.Stats(h.now).ClaimGroups)
	})

	t.Run("AreBounded", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages([]core.Job{batchOf("r", 1500)}, []core.Job{batchOf("s", 500)}, []core.Job{batchOf("u", 1)}, []core.Job{batchOf("v", 5000)})
		claim := one[Claim](h)
		require.Equal(t, []core.JobID{"r", "s"}, names(claim.Jobs))
		h.claimed(claim)
		claim = one[Claim](h)
		require.Equal(t, core.JobID("u:file:0"), claim.Jobs[0].ID)
		h.claimed(claim)
		require.Equal(t, []core.JobID{"v"}, names(one[Claim](h).Jobs), "one at least")
	})

	// A run is in one transaction at a time, and claims and results take turns.
	t.Run("KindsTakeTurns", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := acme("r", 6)
		h.message(jobs[:3]...)
		claim := one[Claim](h)
		h.message(jobs[3:5]...)
		h.claimed(claim)
		second := one[Claim](h)
		h.do(executedWell(claim.Jobs...)...)
		none[Settle](h)
		h.message(jobs[5:]...)
		h.claimed(second)
		settle := one[Settle](h)
		require.Len(t, settle.Settlements, 3)
		none[Claim](h)
		h.do(executedWell(second.Jobs...)...)
		h.do(SettleAnswered{Group: settle.Group})
		require.Len(t, one[Claim](h).Jobs, 1)
		none[Settle](h)
		h.claimed(one[Claim](h))
		require.Len(t, one[Settle](h).Settlements, 2)
	})

	t.Run("TheFirstResultWaitsForOthers", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Linger = 2 * time.Millisecond })
		jobs := h.works(acme("r", 3)...)
		h.do(executedWell(jobs[0])...)
		none[Settle](h)
		h.at(time.Millisecond).do(executedWell(jobs[1])...)
		none[Settle](h)
		h.at(2 * time.Millisecond)
		settle := one[Settle](h)
		require.Len(t, settle.Settlements, 2)
		h.do(executedWell(jobs[2])...)
		h.do(SettleAnswered{Group: settle.Group})
		require.Len(t, one[Settle](h).Settlements, 1, "it has waited")
	})
}

func TestLockedRuns(t *testing.T) {
	t.Parallel()
	held := func(h *hand, c Claim) *hand {
		return h.do(ClaimAnswered{Group: c.Group, Outcomes: outcomes(len(c.Jobs), OutcomeHeld)})
	}

	// A quarter of the places waits for it, the rest goes back when it takes too long, and
	// others are worked on meanwhile.
	t.Run("AreWaitedForBySome", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := acme("r", 8)
		h.message(jobs...)
		held(h, one[Claim](h))
		wait := one[Claim](h)
		require.True(t, wait.Wait)
		require.Equal(t, ids(jobs[:2]), names(wait.Jobs))
		h.at(stuckAfter - 1)
		none[Notify](h)
		h.at(stuckAfter)
		require.Equal(t, NoteRunLocked, one[Notify](h).Note.Kind)
		require.Equal(t, ports.RunKey{Tenant: "acme", Run: "r"}, one[Notify](h).Note.Run)
		require.Equal(t, Answer{Message: 1, Reply: Release, Jobs: jobs[2:]}, one[Answer](h))
		h.do(Answered{Message: 1})
		h.message(jobs[2:]...)
		require.Equal(t, Answer{Message: 2, Reply: Nack}, one[Answer](h), "no more of it is let in")
		h.at(time.Second).message(acme("s", 1)...)
		h.claimed(one[Claim](h))
		h.claimed(wait)
		h.do(Answered{Message: 2})
		h.message(jobs[2:]...)
		require.Len(t, one[Claim](h).Jobs, 5)
	})

	t.Run("AreTriedAgainWhileOthersAreWaitedFor", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 1), acme("s", 1))
		held(h, one[Claim](h))
		wait := one[Claim](h)
		require.True(t, wait.Wait)
		h.at(heldRetry - 1)
		none[Claim](h)
		h.at(heldRetry)
		again := one[Claim](h)
		require.False(t, again.Wait)
		require.Equal(t, []core.JobID{"s:file:0"}, names(again.Jobs))
		held(h, again)
		none[Claim](h)
		h.at(2*heldRetry - 1)
		none[Claim](h)
		h.at(2 * heldRetry)
		again = one[Claim](h)
		h.claimed(again)
		one[Execute](h)
		h.claimed(wait)
		one[Execute](h)
		require.Empty(t, h.s.held)
	})

	t.Run("ResultsWait", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := append(h.works(acme("r", 1)...), h.works(acme("s", 1)...)...)
		h.do(executedWell(jobs...)...)
		settle := one[Settle](h)
		h.do(SettleAnswered{Group: settle.Group, Held: []bool{true, false}})
		require.EqualValues(t, 1, h.s.Stats(h.now).Settled)
		wait := one[Settle](h)
		require.True(t, wait.Wait)
		require.Equal(t, jobs[0], wait.Settlements[0].Job)
		h.do(SettleAnswered{Group: wait.Group})
		h.do(Received{})
		h.over()
	})

	t.Run("AFaultWhileItIsWaitedFor", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 2)...)
		held(h, one[Claim](h))
		h.at(stuckAfter)
		h.do(ClaimAnswered{Group: 2, Fault: FaultOfOne})
		require.Empty(t, h.s.held)
		require.Len(t, one[Claim](h).Jobs, 1)
		require.Zero(t, h.s.runs[ports.RunKey{Tenant: "acme", Run: "r"}].stuck)
	})
}

func TestPace(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Ahead = 16 })
	require.Equal(t, 8, one[Receive](h).Limit)
	for i := range 200 {
		jobs := h.works(jobsOfRun("acme", "t", core.RunID(fmt.Sprint("r", i)), 1, 1)...)
		h.do(executedWell(jobs...)...)
		h.do(SettleAnswered{Group: one[Settle](h).Group})
	}
	h.do(Received{})
	require.Equal(t, 24, one[Receive](h).Limit)
	h.messages(acme("s", 30), globex("u", 300))
	list := all[Claim](h)
	require.Len(t, list, 2)
	claim := list[0]
	require.Len(t, claim.Jobs, 30, "the rest of its message with those that have a place")
	require.Len(t, list[1].Jobs, 12+mostKept-18, "up to a bound")
	require.Equal(t, Release, one[Answer](h).Reply)
	h.claimed(claim)
	require.Len(t, one[Execute](h).Jobs, 8, "no more at once")
	h.do(executedWell(claim.Jobs[0])...)
	require.Equal(t, claim.Jobs[8:9], one[Execute](h).Jobs)
	h.now = h.now.Add(time.Second)
	h.do(executedWell(claim.Jobs[1:3]...)...)
	require.Greater(t, h.s.pace.mean, shortJob)
	require.Zero(t, h.s.ahead())
	require.Negative(t, h.s.free())
	for _, c := range []struct {
		mean  time.Duration
		ahead int
	}{{5 * time.Millisecond, 16}, {5*time.Millisecond + 1, 0}, {0, 16}} {
		h.s.pace.mean = c.mean
		require.Equal(t, c.ahead, h.s.ahead())
	}
	h.s.cfg.Ahead = 100
	h.s.pace.mean = 4 * time.Millisecond
	require.Equal(t, 40, h.s.ahead())
	h.s.cfg.Ahead = 0
	require.Zero(t, h.s.ahead())
}
