package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestCounts(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	jobs := h.works(acme("r", 3)...)
	require.Equal(t, Stats{Running: 3, Received: 3, Claimed: 3, ClaimGroups: 1}, h.s.Stats(h.now))
	h.do(executedWell(jobs...)...)
	require.Equal(t, Stats{Unsaved: 3, Received: 3, Claimed: 3, ClaimGroups: 1, SettleGroups: 1}, h.s.Stats(h.now))
	h.do(SettleAnswered{Group: one[Settle](h).Group})
	require.Equal(t, Stats{Received: 3, Claimed: 3, Settled: 3, ClaimGroups: 1, SettleGroups: 1}, h.s.Stats(h.now))
	h.message(acme("s", 2)...)
	require.Equal(t, 2, h.s.Stats(h.now).Waiting)
}

// A run whose jobs are more than a group goes in several, and each job in one of them.
func TestALargeRunGoesInSeveralGroups(t *testing.T) {
	t.Parallel()
	const files = 2*groupCost + 1
	h := play1(t, func(c *Config) { c.Concurrency = files + 1 })
	h.messages(acme("r", files), acme("s", 1))
	seen := map[core.JobID]int{}
	for _, n := range []int{groupCost, groupCost, 1 + 1} {
		claim := one[Claim](h)
		require.Len(t, claim.Jobs, n)
		for _, j := range claim.Jobs {
			seen[j.ID]++
		}
		h.claimed(claim)
	}
	require.Len(t, seen, files+1)
	none[Claim](h)
}

// Of a large run's neighbours none is in a group that is full.
func TestAFullGroupTakesNoMore(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	h.messages([]core.Job{batchOf("r", groupCost-1)}, []core.Job{batchOf("s", 5)}, acme("u", 1))
	claim := one[Claim](h)
	require.Equal(t, []core.JobID{"r"}, names(claim.Jobs), "in turn, even if one that is smaller came later")
	h.claimed(claim)
	require.Len(t, one[Claim](h).Jobs, 2)
}

func TestLook(t *testing.T) {
	t.Parallel()
	job := func(tenant, template string) core.Job {
		return jobsOfRun(core.TenantID(tenant), core.TemplateID(template), "r", 1, 1)[0]
	}
	now := time.Now()
	enter := func(t *testing.T, g *gate, jobs ...core.Job) {
		for _, j := range jobs {
			_, ok := g.enter(&run{}, j, now)
			require.True(t, ok)
		}
	}

	t.Run("RoomIsTheLeastThatIsLeft", func(t *testing.T) {
		t.Parallel()
		c := plain()
		c.Ahead = 4
		g := newGate(c)
		require.Equal(t, outlook{room: 12}, g.look(now))
		c.TenantConcurrency = 5
		c.TenantLimit = func(core.TenantID) int { return 5 }
		g = newGate(c)
		require.Equal(t, 5, g.look(now).room)
		enter(t, &g, job("a", "t"), job("a", "t"))
		require.Equal(t, 3, g.look(now).room)
		c.TemplateConcurrency = 4
		c.TemplateLimit = func(ports.TemplateKey) int { return 4 }
		g = newGate(c)
		require.Equal(t, 4, g.look(now).room)
		enter(t, &g, job("a", "t"), job("a", "u"), job("a", "t"))
		require.Equal(t, 2, g.look(now).room)
		j := &Job{Job: job("a", "u")}
		g.leave(j, now)
		require.Equal(t, map[ports.TemplateKey]int{{Tenant: "a", Template: "t"}: 2}, g.templates)
		require.Equal(t, map[core.TenantID]int{"a": 2}, g.tenants)
	})

	t.Run("WhatHasNoLimitIsNotSkipped", func(t *testing.T) {
		t.Parallel()
		c := plain()
		c.TenantLimit = func(core.TenantID) int { return 0 }
		c.TemplateLimit = func(ports.TemplateKey) int { return 0 }
		g := newGate(c)
		enter(t, &g, job("a", "t"), job("a", "t"))
		require.Equal(t, outlook{room: 8}, g.look(now))
	})

	// Skips are sorted and bounded.
	t.Run("Skips", func(t *testing.T) {
		t.Parallel()
		c := plain()
		c.TenantLimit = func(core.TenantID) int { return 1 }
		c.TemplateLimit = func(ports.TemplateKey) int { return 1 }
		g := newGate(c)
		for i := range maxSkip + 1 {
			enter(t, &g, job(fmt.Sprintf("%04d", (i*8)%(maxSkip+1)), "t"))
		}
		skip := g.look(now).skip
		require.Len(t, skip.Tenants, maxSkip)
		require.Len(t, skip.Templates, maxSkip)
		for i := range maxSkip {
			id := core.TenantID(fmt.Sprintf("%04d", i))
			require.Equal(t, id, skip.Tenants[i])
			require.Equal(t, id, skip.Templates[i].Tenant)
		}
	})
}

// A probe whose claim has no effect tells that the others of its run have none either:
// they need not wait for their turns as probes.
func TestAProbeThatIsDropped(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Breaker = quick })
	jobs := h.works(acme("r", 1)...)
	h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1}).do(HandedBack{Group: 2}, Received{})
	h.at(time.Second + time.Millisecond).do(Received{})
	h.message(acme("s", 1)...)
	probe := one[Claim](h)
	h.do(ClaimAnswered{Group: probe.Group, Outcomes: outcomes(1, OutcomeDropped)}, Answered{Message: h.last})
	for _, a := range all[Answer](h) {
		h.do(Answered{Message: a.Message})
	}
	h.message(acme("s", 3)[1:]...)
	require.Len(t, one[Claim](h).Jobs, 2)
}

// The parts of a group that failed go before what came later, and results take turns with
// them.
func TestPartsTakeTurns(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	jobs := h.works(acme("r", 2)...)
	more := acme("r", 6)[2:]
	h.message(more...)
	claim := one[Claim](h)
	h.do(executedWell(jobs...)...)
	h.do(ClaimAnswered{Group: claim.Group, Fault: FaultOfOne})
	settle := one[Settle](h)
	none[Claim](h)
	h.do(SettleAnswered{Group: settle.Group, Fault: FaultOfOne})
	claim = one[Claim](h)
	require.Equal(t, ids(more[:2]), names(claim.Jobs))
	none[Settle](h)
	h.claimed(claim)
	require.Len(t, one[Settle](h).Settlements, 1)
}

// What takes its time has its timer: without another event it goes on.
func TestTimersAreSet(t *testing.T) {
	t.Parallel()
	due := func(h *hand, d time.Duration) {
		h.t.Helper()
		at := h.s.timers.next()
		require.Equal(h.t, d, at.Sub(h.start))
		h.at(d)
	}

	t.Run("OfHeldRuns", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 1), acme("s", 1))
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(2, OutcomeHeld)})
		for n := range 3 {
			due(h, time.Duration(n+1)*heldRetry)
			h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(1, OutcomeHeld)})
		}
	})

	t.Run("OfHeldResults", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		jobs := append(h.works(acme("r", 1)...), h.works(acme("s", 1)...)...)
		h.do(executedWell(jobs...)...)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Held: []bool{true, true}})
		require.Equal(t, jobs[0], one[Settle](h).Settlements[0].Job)
		for n := range 3 {
			due(h, time.Duration(n+1)*heldRetry)
			again := one[Settle](h)
			require.Equal(t, jobs[1], again.Settlements[0].Job)
			h.do(SettleAnswered{Group: again.Group, Held: []bool{true}})
		}
	})

	t.Run("OfPlacesThatGather", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Linger, c.Transactions = 2*time.Millisecond, 1 })
		jobs := h.works(acme("r", 8)...)
		h.do(executedWell(jobs[0])...)
		due(h, 2*time.Millisecond)
		none[Receive](h)
		due(h, 4*time.Millisecond)
		none[Receive](h)
		h.do(SettleAnswered{Group: 2})
		due(h, 6*time.Millisecond)
		one[Receive](h)
		require.True(t, h.s.receive.gathers.IsZero())
	})

	t.Run("OfTheParked", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Parked, c.TenantLimit = 4, func(core.TenantID) int { return 1 } })
		h.message(acme("r", 2)...)
		h.at(time.Second).message(acme("s", 1)...)
		due(h, parkFor)
		require.Equal(t, Release, one[Answer](h).Reply)
		due(h, parkFor+time.Second)
		require.Equal(t, Answer{Message: 2, Reply: Nack}, one[Answer](h))
	})

	t.Run("OfTheReceive", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Breaker = quick })
		jobs := h.works(acme("r", 1)...)
		h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1}).do(HandedBack{Group: 2}, Received{})
		due(h, time.Second+time.Millisecond)
		one[CancelReceive](h)
	})
}

// A parked job that enters is one that waits to be claimed, with a place.
func TestAParkedJobThatEnters(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Parked, c.TenantLimit = 4, func(core.TenantID) int { return 1 } })
	h.message(acme("r", 1)...)
	h.claimed(one[Claim](h)).do(Answered{Message: 1})
	first := h.s.claimed.first
	h.message(acme("s", 2)...)
	h.do(executedWell(first)...)
	claim := one[Claim](h)
	require.Equal(t, ids(acme("s", 1)), names(claim.Jobs))
	require.Equal(t, 1, h.s.taken)
	require.Equal(t, 1, h.s.Stats(h.now).Waiting)
	require.Equal(t, 1, h.s.Stats(h.now).Parked)
	h.claimed(claim)
	require.Len(t, one[Execute](h).Jobs, 1)
}

// A stop that finds hand backs which wait to be tried again tries them at once.
func TestAStopTriesHandBacksAtOnce(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Breaker, c.DrainTimeout = quick, 0 })
	jobs := h.works(acme("r", 1)...)
	h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1})
	h.do(HandedBack{Group: one[HandBack](h).Group, Fault: FaultOfStore}, Received{})
	none[HandBack](h)
	h.do(Stop{}, Received{})
	none[Cancel](h)
	h.do(HandedBack{Group: one[HandBack](h).Group})
	one[Stopped](h)
	h.over()
}

// What a job that is given up leaves of its pieces is not taken for its results.
func TestPiecesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
	j := h.works(batchOf("r", 9))[0]
	h.do(Executed{Job: j, Verdict: answered, Early: []int{400, 400, 400}, Rest: 1})
	require.Equal(t, recording, j.state)
	h.at(10 * time.Minute)
	for _, r := range all[Renew](h) {
		h.do(Renewed{Group: r.Group, Lost: []*Job{j}})
	}
	h.at(20 * time.Minute)
	for _, r := range all[Renew](h) {
		h.do(Renewed{Group: r.Group, Lost: []*Job{j}})
	}
	require.Equal(t, done+1, j.state, "nothing more of it can be recorded")
	h.do(SettleAnswered{Group: 2}, Received{})
	none[Settle](h)
	h.over()
}

// Renewals take turns with the others where all transactions are in use.
func TestRenewalsTakeTurns(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { leases(c); c.Transactions = 1 })
	a, b := h.works(acme("r", 1)...), h.works(globex("s", 2)...)
	h.do(executedWell(b[0])...)
	settle := one[Settle](h)
	h.do(executedWell(a[0])...)
	h.at(10 * time.Second)
	none[Renew](h)
	h.do(SettleAnswered{Group: settle.Group})
	renew := one[Renew](h)
	h.do(Renewed{Group: renew.Group})
	settle = one[Settle](h)
	none[Renew](h)
	h.do(SettleAnswered{Group: settle.Group})
	require.Equal(t, b[1:], one[Renew](h).Jobs)
}

// Messages that go back are ours until the queue has taken them: no more come meanwhile
// than there are places and room to park.
func TestMessagesThatGoBackCount(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Concurrency, c.TenantLimit = 2, func(core.TenantID) int { return 1 } })
	h.message(acme("r", 1)...)
	h.message(acme("s", 1)...)
	h.at(time.Second)
	none[Receive](h)
	h.do(Answered{Message: 2})
	require.Equal(t, 1, one[Receive](h).Limit)
}

// A wait for a locked run that fails is over: its results are tried again by themselves.
func TestAFaultWhileResultsWait(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	jobs := h.works(acme("r", 2)...)
	h.do(executedWell(jobs...)...)
	h.do(SettleAnswered{Group: one[Settle](h).Group, Held: []bool{true, true}})
	h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
	none[Settle](h)
	require.Empty(t, h.s.held)
	h.at(firstPause * 3 / 2)
	require.Len(t, one[Settle](h).Settlements, 2)
}

// What is refused alone is settled in other words with the rest of its job, and costs that.
func TestAForfeitedResultIsSettledWithTheRest(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	j := h.works(batchOf("r", 3))[0]
	h.do(Reported{Job: j, Cost: 40})
	h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultRefused})
	require.Equal(t, Forfeit{Job: j}, one[Forfeit](h))
	h.do(Executed{Job: j, Verdict: answered, Rest: 2})
	require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
	require.Equal(t, 3+1, j.cost)
	require.Equal(t, j.cost, h.s.unsaved)
	// What was forfeited is no result that could be recorded early once more.
	h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultRefused})
	require.Equal(t, []Settlement{{Job: j, NotKept: true}}, one[Settle](h).Settlements)
}

// A run that went back while it was locked is claimed like any other when it comes again.
func TestARunThatWasLockedComesAgain(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	h.message(acme("r", 8)...)
	h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(8, OutcomeHeld)})
	wait := one[Claim](h)
	h.at(stuckAfter).do(Answered{Message: 1})
	h.claimed(wait).do(Received{})
	h.messages(acme("r", 8)[2:4], acme("s", 1), acme("u", 1))
	require.Equal(t, []core.JobID{"r:file:2", "r:file:3", "s:file:0", "u:file:0"}, names(one[Claim](h).Jobs))
	lane := h.s.runs[ports.RunKey{Tenant: "acme", Run: "r"}].tenant.lanes[claims]
	require.Empty(t, lane.runs)
}
