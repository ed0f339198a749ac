package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
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
