package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

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
