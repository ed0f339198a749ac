package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
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

// one2 gives the only action of a kind, or an empty one for the group.
func one2[A Action](h *hand, _ GroupID) (a A) {
	if list := all[A](h); len(list) > 0 {
		return list[0]
	}
	return a
}

func TestPieces(t *testing.T) {
	t.Parallel()
	batch := func(t *testing.T, files int) (*hand, *Job) {
		h := play1(t, nil)
		return h, h.works(batchOf("r", files))[0]
	}

	t.Run("AreRecordedOneAfterTheOther", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1})
		require.Equal(t, Accept{Job: j, N: 1}, one[Accept](h))
		first := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, first.Settlements)
		h.do(Reported{Job: j, Cost: 2}, Reported{Job: j, Cost: 3})
		require.Equal(t, []Accept{{Job: j, N: 1}, {Job: j, N: 1}}, all[Accept](h))
		none[Settle](h)
		h.do(SettleAnswered{Group: first.Group})
		second := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 2}}, second.Settlements)
		require.Equal(t, 5, h.s.unsaved)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{1}, Rest: 1})
		none[Settle](h)
		h.do(SettleAnswered{Group: second.Group})
		whole := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j}}, whole.Settlements)
		require.Equal(t, 5, j.cost)
		h.do(SettleAnswered{Group: whole.Group}, Received{})
		h.over()
	})

	t.Run("AreBounded", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 2000)
		h.do(Reported{Job: j, Cost: 1})
		first := one[Settle](h)
		var events []Event
		for range 600 {
			events = append(events, Reported{Job: j, Cost: 1})
		}
		h.do(events...)
		h.do(SettleAnswered{Group: first.Group})
		piece := one[Settle](h)
		require.Equal(t, pieceResults, piece.Settlements[0].Piece)
		h.do(SettleAnswered{Group: piece.Group})
		piece = one[Settle](h)
		require.Equal(t, 100, piece.Settlements[0].Piece)
		h.do(Reported{Job: j, Cost: 400}, Reported{Job: j, Cost: 112}, Reported{Job: j, Cost: 1})
		h.do(SettleAnswered{Group: piece.Group})
		require.Equal(t, 2, one[Settle](h).Settlements[0].Piece)
	})

	// What a job has that is not recorded is bounded, and so is what all have; what is larger
	// than the bounds goes alone.
	t.Run("WaitForRoom", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		a, b := h.works(batchOf("r", 9))[0], h.works(batchOf("s", 9))[0]
		h.do(Reported{Job: a, Cost: 1000})
		one[Accept](h)
		h.do(Reported{Job: a, Cost: 25})
		none[Accept](h)
		h.do(Reported{Job: b, Cost: 1001})
		none[Accept](h)
		h.do(Reported{Job: b, Cost: 1})
		none[Accept](h) // one after the other
		h.do(SettleAnswered{Group: 3})
		require.Equal(t, []Accept{{Job: a, N: 1}, {Job: b, N: 2}}, all[Accept](h))
		require.Equal(t, 1027, h.s.unsaved)
		h.do(SettleAnswered{Group: 4}, SettleAnswered{Group: 5}, SettleAnswered{Group: 6})
		h.do(SettleAnswered{Group: 5}, SettleAnswered{Group: 6})
		require.Zero(t, h.s.unsaved)
		h.do(Reported{Job: b, Cost: 5000})
		one[Accept](h)
		h.do(Reported{Job: a, Cost: 1})
		none[Accept](h)
	})

	// Large results of a job that has ended are recorded in pieces too, but for the last.
	t.Run("OfAJobThatHasEnded", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 4)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{300, 200, 300, 100}})
		require.Equal(t, Accept{Job: j, N: 3}, one[Accept](h))
		require.False(t, j.executed)
		require.Equal(t, 1, h.s.taken)
		piece := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 2}}, piece.Settlements)
		h.do(SettleAnswered{Group: piece.Group})
		piece = one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, piece.Settlements)
		h.do(SettleAnswered{Group: piece.Group})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Equal(t, 103, j.cost)
		require.Equal(t, 103, h.s.unsaved)
		require.Zero(t, h.s.taken)
	})

	t.Run("OfAJobThatHasEndedAndIsSmall", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 4)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{300, 112}, Rest: 100})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Equal(t, 4+299+111+99, j.cost)
	})

	t.Run("ThatAreRefusedAreTriedOneByOne", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		both := one[Settle](h)
		require.Equal(t, 2, both.Settlements[0].Piece)
		h.do(SettleAnswered{Group: both.Group, Fault: FaultRefused})
		first := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, first.Settlements)
		none[Forfeit](h)
		h.do(SettleAnswered{Group: first.Group, Fault: FaultRefused})
		require.Equal(t, Forfeit{Job: j}, one[Forfeit](h))
		second := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, second.Settlements)
		h.do(SettleAnswered{Group: second.Group})
		require.Zero(t, h.s.unsaved)
		h.do(Executed{Job: j, Verdict: nothing, Early: []int{1, 1}})
		require.Len(t, one[Settle](h).Settlements, 1)
		require.Equal(t, 1, one[Settle](h).Settlements[0].Piece, "one by one to the end")
	})

	t.Run("OfAWholeThatIsRefused", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 3)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{1, 1}, Rest: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultRefused})
		for range 2 {
			piece := one[Settle](h)
			require.Equal(t, []Settlement{{Job: j, Piece: 1}}, piece.Settlements)
			h.do(SettleAnswered{Group: piece.Group})
		}
		whole := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j}}, whole.Settlements)
		h.do(SettleAnswered{Group: whole.Group, Fault: FaultRefused})
		require.Equal(t, []Settlement{{Job: j, NotKept: true}}, one[Settle](h).Settlements)
		h.do(SettleAnswered{Group: one[Settle](h).Group}, Received{})
		h.over()
	})

	// What was answered makes the job be recorded, whatever else happened to it.
	t.Run("MeanThatSomethingWasAnswered", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Breaker = quick })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 1}, Executed{Job: j, Verdict: wrongKey, Rest: 4})
		none[HandBack](h)
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Zero(t, h.s.Stats(h.now).BreakerOpened)
	})

	// A batch that is given up in the middle keeps what it has answered: that is recorded
	// before it is handed back.
	t.Run("AreRecordedBeforeTheJobIsHandedBack", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1})
		piece := one[Settle](h)
		h.do(Stop{}, Received{})
		h.at(h.s.cfg.DrainTimeout)
		require.Equal(t, []*Job{j}, one[Cancel](h).Jobs)
		h.do(Reported{Job: j, Cost: 1})
		none[Accept](h)
		h.do(Executed{Job: j, GaveUp: true})
		none[HandBack](h)
		h.do(SettleAnswered{Group: piece.Group})
		h.do(HandedBack{Group: one[HandBack](h).Group})
		one[Stopped](h)
		h.over()
	})

	t.Run("OfALostJobAreDropped", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 1})
		piece := one[Settle](h)
		h.do(Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 2000})
		h.at(time.Second)
		h.do(Looked{Group: one[Look](h).Group, Lost: []*Job{j}})
		require.Equal(t, []*Job{j}, one[Cancel](h).Jobs)
		require.Equal(t, 1, h.s.unsaved)
		require.Empty(t, h.s.reports)
		h.do(Executed{Job: j, GaveUp: true}, SettleAnswered{Group: piece.Group}, Received{})
		none[Settle](h)
		h.over()
	})

	t.Run("ThatFailWaitAndAreForgottenWithTheJob", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 7})
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		require.Equal(t, 7, h.s.unsaved)
		h.at(firstPause * 3 / 2)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		h.at(time.Second)
		h.do(Looked{Group: one[Look](h).Group, Lost: []*Job{j}})
		require.Zero(t, h.s.unsaved)
		h.do(Executed{Job: j, GaveUp: true}, Received{})
		h.at(time.Minute)
		none[Settle](h)
		h.over()
	})
}

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

func TestHandingBack(t *testing.T) {
	t.Parallel()
	broken := func(t *testing.T) (*hand, []*Job) {
		h := play1(t, func(c *Config) { c.Breaker = quick })
		return h, h.works(acme("r", 3)...)
	}

	t.Run("WhatAFaultOfOursKeepsBack", func(t *testing.T) {
		t.Parallel()
		h, jobs := broken(t)
		h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1})
		note := one[Notify](h).Note
		require.Equal(t, NoteDown, note.Kind)
		require.True(t, note.Ours)
		require.Equal(t, core.FailureUnauthorized, note.Fault.Code)
		require.Equal(t, jobs[:1], one[HandBack](h).Jobs)
		require.EqualValues(t, 1, h.s.Stats(h.now).BreakerOpened)
		require.Equal(t, 1, h.s.Stats(h.now).Unsaved)
		one[CancelReceive](h)
		h.do(Received{})
		require.Equal(t, []ports.TemplateKey{{Tenant: "acme", Template: "t"}}, one[Receive](h).Skip.Templates)
		h.do(HandedBack{Group: 2})
		require.EqualValues(t, 1, h.s.Stats(h.now).HandedBack)
		h.at(time.Second + time.Millisecond)
		one[CancelReceive](h) // a probe is due
		h.do(Received{})
		require.Empty(t, one[Receive](h).Skip.Templates)
		h.message(acme("s", 1)...)
		h.claimed(one[Claim](h))
		probe := one[Execute](h).Jobs[0]
		h.do(Executed{Job: probe, Verdict: answered, Rest: 1})
		require.Equal(t, NoteUp, one[Notify](h).Note.Kind)
		require.EqualValues(t, 1, h.s.Stats(h.now).BreakerClosed)
	})

	// What was claimed when it began is not begun.
	t.Run("WhatIsClaimedAndNotBegun", func(t *testing.T) {
		t.Parallel()
		h, jobs := broken(t)
		h.message(acme("s", 2)...)
		claim := one[Claim](h)
		h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1})
		h.do(HandedBack{Group: one[HandBack](h).Group})
		h.claimed(claim)
		none[Execute](h)
		require.Equal(t, claim.Jobs, one[HandBack](h).Jobs)
	})

	t.Run("RunByRun", func(t *testing.T) {
		t.Parallel()
		h, jobs := broken(t)
		more := h.works(acme("s", 1)...)
		h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1}, Executed{Job: more[0], Verdict: wrongKey, Rest: 1}, Executed{Job: jobs[1], Verdict: wrongKey, Rest: 1})
		first := one[HandBack](h)
		require.Equal(t, jobs[:2], first.Jobs)
		h.do(HandedBack{Group: first.Group, Fault: FaultOfStore})
		second := one[HandBack](h)
		require.Equal(t, more, second.Jobs)
		h.do(HandedBack{Group: second.Group})
		h.at(firstPause * 3 / 2)
		require.Equal(t, jobs[:2], one[HandBack](h).Jobs)
	})

	t.Run("RunsAreInterruptedInTheEnd", func(t *testing.T) {
		t.Parallel()
		h, jobs := broken(t)
		h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1})
		h.do(HandedBack{Group: one[HandBack](h).Group}, Received{})
		none[Interrupt](h)
		for i := 0; ; i++ {
			require.Less(t, i, 10)
			h.now = h.now.Add(30 * time.Second)
			h.do(Tick{}).do(Received{})
			h.message(jobsOfRun("acme", "t", core.RunID("s"+string(rune('a'+i))), 1, 1)...)
			h.claimed(one[Claim](h)).do(Answered{Message: h.last})
			for _, g := range h.s.groups { // renewals
				h.do(Renewed{Group: g.id})
			}
			probe := h.s.claimed.last
			require.Equal(t, executing, probe.state)
			h.do(Executed{Job: probe, Verdict: wrongKey, Rest: 1})
			h.do(HandedBack{Group: one[HandBack](h).Group})
			if len(all[Interrupt](h)) > 0 {
				break
			}
		}
		i := one[Interrupt](h).Interruption
		require.Equal(t, []ports.TemplateKey{{Tenant: "acme", Template: "t"}}, i.Templates)
		require.Equal(t, 1, h.s.interrupts)
		changes := h.s.gate.breaker.changes
		h.do(Interrupted{Interruption: i})
		require.Equal(t, changes, h.s.gate.breaker.changes, "none was closed")
		require.Zero(t, h.s.interrupts)
		h.s.interrupts++
		h.do(Interrupted{Interruption: i, Closed: 2})
		require.Equal(t, changes+1, h.s.gate.breaker.changes)
		require.EqualValues(t, 2, h.s.Stats(h.now).Interrupted)
	})
}

func TestStop(t *testing.T) {
	t.Parallel()

	t.Run("WithNothingToDo", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.do(Stop{})
		one[CancelReceive](h)
		none[Stopped](h)
		h.do(Stop{})
		none[CancelReceive](h)
		h.do(Received{})
		one[Stopped](h)
		require.Nil(t, h.s.Handle(h.now, Tick{}))
	})

	t.Run("GivesBackWhatIsNotClaimed", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) {
			c.Parked, c.TenantLimit = 2, func(core.TenantID) int { return 3 }
		})
		h.message(acme("r", 1)...)
		under := one[Claim](h)
		h.message(acme("s", 4)...) // two wait to be claimed, two for the limit
		none[Claim](h)
		h.message(globex("u", 1)...)
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfStore})
		h.do(Stop{})
		require.Equal(t, []Answer{
			{Message: 2, Reply: Release, Jobs: append(acme("s", 4)[2:], acme("s", 4)[:2]...)}, {Message: 3, Reply: Release, Jobs: globex("u", 1)},
		}, all[Answer](h))
		h.messages(acme("v", 2))
		require.Equal(t, Answer{Message: 4, Reply: Release, Jobs: acme("v", 2)}, one[Answer](h))
		none[Receive](h)
		h.do(Answered{Message: 2}, Answered{Message: 3}, Answered{Message: 4})
		for _, a := range all[Answer](h) {
			h.do(Answered{Message: a.Message})
		}
		h.claimed(under)
		one[Execute](h)
		h.do(Answered{Message: 1}, Executed{Job: under.Jobs[0], Verdict: answered, Rest: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		one[Stopped](h)
		h.over()
	})

	t.Run("GivesBackWhatWaitsForALockedRun", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 4), acme("s", 1), acme("u", 1), acme("v", 1))
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(7, OutcomeHeld)})
		wait := one[Claim](h)
		require.Equal(t, ids(acme("r", 2)), names(wait.Jobs))
		h.at(heldRetry)
		again := all[Claim](h)
		require.Len(t, again, 2)
		h.do(Stop{}, Received{})
		require.Equal(t, []Answer{
			{Message: 4, Reply: Release, Jobs: acme("v", 1)}, {Message: 1, Reply: Release, Jobs: acme("r", 4)[2:]},
		}, all[Answer](h))
		h.do(ClaimAnswered{Group: again[1].Group, Outcomes: outcomes(1, OutcomeClaimed)})
		h.do(executedWell(one[Execute](h).Jobs...)...)
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		h.do(ClaimAnswered{Group: again[0].Group, Outcomes: outcomes(1, OutcomeHeld)})
		require.Equal(t, Answer{Message: 2, Reply: Release, Jobs: acme("s", 1)}, one[Answer](h))
		h.do(ClaimAnswered{Group: wait.Group, Fault: FaultOfOne})
		h.do(Answered{Message: 1}, Answered{Message: 2}, Answered{Message: 3}, Answered{Message: 4})
		for answers := all[Answer](h); len(answers) > 0; answers = all[Answer](h) {
			var events []Event
			for _, a := range answers {
				require.NotEqual(t, Nack, a.Reply)
				events = append(events, Answered{Message: a.Message})
			}
			h.do(events...)
		}
		one[Stopped](h)
		h.over()
	})

	t.Run("OfAGroupThatIsTriedInParts", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 2), acme("s", 1))
		h.do(ClaimAnswered{Group: one[Claim](h).Group, Fault: FaultOfOne})
		under := one[Claim](h)
		h.do(Stop{}, Received{})
		require.Equal(t, Answer{Message: 2, Reply: Release, Jobs: acme("s", 1)}, one[Answer](h))
		h.do(Answered{Message: 2}).do(Answered{Message: 2})
		h.do(ClaimAnswered{Group: under.Group, Outcomes: []Outcome{OutcomeClaimed, OutcomeDropped}})
		require.Len(t, one[Execute](h).Jobs, 1)
		h.do(Answered{Message: 1}, Executed{Job: under.Jobs[0], Verdict: answered, Rest: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		one[Stopped](h)
		h.over()
	})

	t.Run("HandsBackWhatTakesTooLong", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Ahead = 8 })
		h.do(Received{})
		h.s.pace.mean = 0
		h.message(acme("r", 10)...)
		claim := one[Claim](h)
		h.claimed(claim).do(Answered{Message: 1})
		h.do(executedWell(claim.Jobs[0])...)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		h.do(Stop{}, Received{})
		h.at(h.s.cfg.DrainTimeout - 1)
		for _, set := range all[Settle](h) {
			h.do(SettleAnswered{Group: set.Group, Fault: FaultOfStore})
		}
		none[Cancel](h)
		h.at(h.s.cfg.DrainTimeout)
		require.Equal(t, claim.Jobs[1:9], one[Cancel](h).Jobs)
		back := one[HandBack](h)
		require.ElementsMatch(t, names([]*Job{claim.Jobs[0], claim.Jobs[9]}), names(back.Jobs))
		h.do(HandedBack{Group: back.Group}, Executed{Job: claim.Jobs[1], GaveUp: true}, Executed{Job: claim.Jobs[2], Verdict: answered, Rest: 1})
		require.Equal(t, claim.Jobs[1:2], one[HandBack](h).Jobs)
		h.do(HandedBack{Group: one[HandBack](h).Group, Fault: FaultOfStore})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		h.at(h.s.cfg.DrainTimeout + abandonAfter - 1)
		none[Notify](h)
		h.at(h.s.cfg.DrainTimeout + abandonAfter)
		require.Equal(t, Note{Kind: NoteNotEnded, Jobs: 6}, one[Notify](h).Note)
		require.Equal(t, claim.Jobs[3:9], one[HandBack](h).Jobs)
		h.do(HandedBack{Group: one[HandBack](h).Group})
		one[Stopped](h)
		h.over()
	})

	t.Run("DoesNotWaitForClaimsForEver", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.DrainTimeout = 0 })
		h.message(acme("r", 2)...)
		h.do(Stop{}, Received{})
		none[Stopped](h)
		h.at(abandonAfter)
		require.Equal(t, Note{Kind: NoteNotAnswered, Jobs: 2}, one[Notify](h).Note)
		one[Stopped](h)
	})

	t.Run("HandsBackWhatIsClaimedTooLate", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.DrainTimeout = 0 })
		h.message(acme("r", 2)...)
		claim := one[Claim](h)
		h.do(Stop{}, Received{})
		h.claimed(claim)
		none[Execute](h)
		back := one[HandBack](h)
		require.Equal(t, claim.Jobs, back.Jobs)
		h.do(HandedBack{Group: back.Group})
		none[Stopped](h)
		h.do(Answered{Message: 1})
		one[Stopped](h)
		h.over()
	})

	// Neither for hand backs that are not answered.
	t.Run("DoesNotWaitForHandBacksForEver", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.DrainTimeout = 0 })
		h.works(acme("r", 2)...)
		h.do(Stop{}, Received{})
		h.at(abandonAfter)
		one[HandBack](h)
		none[Stopped](h)
		h.at(abandonAfter + HandBackTimeout - 1)
		none[Stopped](h)
		h.at(abandonAfter + HandBackTimeout)
		one[Stopped](h)
	})
}

func TestDiceAndPauses(t *testing.T) {
	t.Parallel()
	a, b := dice{7}, dice{7}
	sum := 0.0
	for range 1000 {
		x := a.roll()
		require.Equal(t, x, b.roll())
		require.True(t, x >= 0 && x < 1)
		sum += x
	}
	require.InDelta(t, 500, sum, 30)
	require.NotEqual(t, a.roll(), (&dice{8}).roll())
	// SplitMix64 of the seed 0 begins with 0xe220a8397b1dcdaf.
	require.Equal(t, float64(uint64(0xe220a8397b1dcdaf)>>11)/(1<<53), (&dice{}).roll())

	p := pause{first: time.Second, most: 3 * time.Second}
	for _, mean := range []time.Duration{time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond, 3 * time.Second, 3 * time.Second} {
		at := a
		want := mean/2 + time.Duration(at.roll()*float64(mean))
		require.Equal(t, want, p.next(&a))
	}
	p.reset()
	require.LessOrEqual(t, p.next(&a), 1500*time.Millisecond)
	require.LessOrEqual(t, backoff(1, &a), firstPause*3/2)
	require.GreaterOrEqual(t, backoff(3, &a), firstPause*9/8)
	require.GreaterOrEqual(t, backoff(1000, &a), mostPause/2)
}

func TestTimers(t *testing.T) {
	t.Parallel()
	var set timers
	var fired []int
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	require.True(t, set.next().IsZero())
	for i, s := range []int{3, 1, 2, 1} {
		set.set(at(s), func() { fired = append(fired, i) })
	}
	stopped := set.set(at(0), func() { fired = append(fired, 99) })
	require.Equal(t, at(0), set.next())
	stopped.stop()
	require.Equal(t, at(1), set.next())
	set.run(at(1).Add(-1))
	require.Empty(t, fired)
	set.run(at(1))
	require.Equal(t, []int{1, 3}, fired)
	again := set.set(at(1), func() { fired = append(fired, 5) })
	again.stop()
	set.run(at(3))
	require.Equal(t, []int{1, 3, 2, 0}, fired)
	require.True(t, set.next().IsZero())
	(*timer)(nil).stop()
}
