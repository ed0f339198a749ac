package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestMessages(t *testing.T) {
	t.Parallel()

	// Of a message with more jobs than there are places the rest is passed on at once, and
	// the message is acked when the claims of what it keeps were answered.
	t.Run("TheRestIsReleasedAtOnce", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		require.Equal(t, Receive{Limit: 8}, one[Receive](h))
		jobs := acme("r", 250)
		h.message(jobs...)
		claim := one[Claim](h)
		require.Equal(t, ids(jobs[:8]), names(claim.Jobs))
		require.Equal(t, Answer{Message: 1, Reply: Release, Jobs: jobs[8:]}, one[Answer](h))
		none[Receive](h)
		h.claimed(claim)
		require.Len(t, one[Execute](h).Jobs, 8)
		none[Answer](h) // the release is under way
		h.do(Answered{Message: 1})
		require.Equal(t, Answer{Message: 1, Reply: Ack}, one[Answer](h))
		require.EqualValues(t, 242, h.s.Stats(h.now).Released)
		require.EqualValues(t, 250, h.s.Stats(h.now).Received)
	})

	t.Run("AReleaseThatFailsIsANackOfAll", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 9)...)
		claim := one[Claim](h)
		h.do(Answered{Message: 1, Failed: true})
		none[Answer](h) // a claim is under way
		h.claimed(claim)
		require.Equal(t, Answer{Message: 1, Reply: Nack}, one[Answer](h))
	})

	t.Run("WithoutJobs", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message()
		require.Equal(t, Answer{Message: 1, Reply: Nack}, one[Answer](h))
	})

	t.Run("NoPlaceForAnyOfIt", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Concurrency = 1 })
		h.messages(acme("r", 1), globex("s", 2))
		require.Equal(t, Answer{Message: 2, Reply: Release, Jobs: globex("s", 2)}, one[Answer](h))
		h.do(Answered{Message: 2})
		require.Equal(t, Answer{Message: 2, Reply: Ack}, one[Answer](h))
	})

	t.Run("DeliveredTwice", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		job := acme("r", 1)[0]
		h.message(job)
		claim := one[Claim](h)
		h.message(job, job)
		none[Claim](h)
		none[Answer](h)
		h.claimed(claim)
		require.Len(t, all[Answer](h), 2)
		require.Len(t, one[Execute](h).Jobs, 1)
		h.message(job)
		require.Equal(t, Answer{Message: 3, Reply: Ack}, one[Answer](h))
		h.do(executedWell(claim.Jobs...)...)
		settle := one[Settle](h)
		require.Equal(t, 1, h.s.taken) // the queue still remembers it
		h.do(Answered{Message: 1})
		require.Equal(t, 1, h.s.taken)
		h.do(Answered{Message: 2})
		require.Equal(t, 0, h.s.taken)
		h.do(Answered{Message: 3}, SettleAnswered{Group: settle.Group})
		h.over()
	})

	// A job with another epoch is another job.
	t.Run("AnotherEpoch", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		job := acme("r", 1)[0]
		h.message(job)
		h.claimed(one[Claim](h))
		job.Epoch++
		h.message(job)
		require.Len(t, one[Claim](h).Jobs, 1)
	})

	t.Run("WhatHasNoEffectIsForgotten", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 3)...)
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(3, OutcomeDropped)})
		require.Equal(t, Answer{Message: 1, Reply: Ack}, one[Answer](h))
		require.Equal(t, 3, h.s.taken, "until it is acked")
		h.do(Answered{Message: 1})
		h.over()
		require.Zero(t, h.s.Stats(h.now).Claimed)
	})

	// Tenants get the same of the places, and what one leaves goes to the others.
	t.Run("TenantsShareThePlaces", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Concurrency = 10 })
		h.messages(acme("r", 50), acme("r2", 50), globex("s", 3), jobsOfRun("hooli", "t", "u", 9, 1))
		n := map[core.RunID]int{}
		for _, r := range h.s.runs {
			n[r.key.Run] = len(r.jobs)
		}
		require.Equal(t, map[core.RunID]int{"r": 4, "s": 3, "u": 3}, n)
	})
}

func TestFaultsOfClaims(t *testing.T) {
	t.Parallel()

	t.Run("OfTheStore", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 8)...)
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfStore})
		none[Claim](h)
		none[Answer](h)
		require.Equal(t, 8, h.s.taken, "that keeps the outage from being hammered")
		h.at(firstPause/2 - 1)
		none[Answer](h)
		h.at(firstPause * 3 / 2)
		require.Equal(t, Answer{Message: 1, Reply: Nack}, one[Answer](h))
		one[Receive](h)
		h.do(Answered{Message: 1}, Received{})
		require.EqualValues(t, 8, h.s.Stats(h.now).Nacked)
		h.over()
	})

	// It may be one of them: the runs are tried, then the halves of one.
	t.Run("OfOne", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 5), acme("s", 1))
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfOne})
		first := one[Claim](h)
		require.Equal(t, ids(acme("r", 5)), names(first.Jobs))
		h.do(ClaimAnswered{Group: first.Group, Fault: FaultRefused})
		half := one[Claim](h)
		require.Equal(t, ids(acme("r", 2)), names(half.Jobs))
		h.claimed(half)
		require.Len(t, one[Execute](h).Jobs, 2)
		half = one[Claim](h)
		require.Equal(t, ids(acme("r", 5)[2:]), names(half.Jobs))
		h.do(ClaimAnswered{Group: half.Group, Fault: FaultOfStore})
		require.Equal(t, ids(acme("s", 1)), names(one[Claim](h).Jobs))
		h.claimed(one[Claim](h))
		require.Equal(t, Answer{Message: 2, Reply: Ack}, one[Answer](h))
		h.at(time.Second)
		require.Equal(t, Answer{Message: 1, Reply: Release, Jobs: acme("r", 5)[2:]}, one[Answer](h), "the others were claimed")
	})

	t.Run("OfAJobAlone", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.message(acme("r", 1)...)
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfOne})
		none[Claim](h)
		h.at(time.Second)
		require.Equal(t, Nack, one[Answer](h).Reply)
	})

	t.Run("PausesGrowUntilOneIsMade", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		fails := func() {
			h.message(acme("r", 1)...)
			h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfStore})
			h.now = h.now.Add(time.Minute)
			h.do(Tick{})
			h.do(Answered{Message: h.last})
		}
		fails()
		require.Equal(t, firstPause*3/2, h.s.claimPause.step)
		fails()
		require.Equal(t, firstPause*9/4, h.s.claimPause.step)
		h.message(acme("s", 1)...)
		h.claimed(one[Claim](h))
		require.Zero(t, h.s.claimPause.step)
	})
}

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
