package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A claim whose turn it is and that the stop takes back lets the results of its run go,
// and what is to be tried again of them.
func TestAStopLetsTheResultsOfARunGo(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{"TheNext": FaultNone, "PartsOfThoseThatFailed": FaultOfOne} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play1(t, nil)
			r, s := h.works(acme("r", 2)...), h.works(acme("s", 2)...)
			h.do(executedWell(r[0], s[0])...)
			settle := one[Settle](h)
			// Claims want both runs next, and have no room for them in one group.
			h.messages([]core.Job{batchOf("s", groupCost)}, acme("r", 3)[2:])
			none[Claim](h)
			first := r[0]
			if fault == FaultNone {
				first = r[1]
				h.do(executedWell(r[1], s[1])...)
			}
			h.do(SettleAnswered{Group: settle.Group, Fault: fault})
			require.Equal(t, []core.JobID{"s"}, names(one[Claim](h).Jobs))
			none[Settle](h)
			h.do(Stop{})
			require.Equal(t, []Settlement{{Job: first}}, one[Settle](h).Settlements)
		})
	}
}

// A transaction for a locked run takes its turn like any other: the renewals that come
// after it go first again.
func TestALockedRunTakesATurn(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { leases(c); c.Transactions = 1 })
	jobs := h.works(globex("s", 2)...)
	h.message(acme("r", 1)...)
	h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(1, OutcomeHeld)})
	wait := one[Claim](h)
	h.at(10 * time.Second)
	h.do(Renewed{Group: one[Renew](h).Group})
	h.do(ClaimAnswered{Group: wait.Group, Outcomes: outcomes(1, OutcomeHeld)})
	require.True(t, one[Claim](h).Wait)
	h.now = h.start.Add(20 * time.Second)
	h.do(executedWell(jobs[0])...)
	one[Renew](h)
	none[Settle](h)
}

// A look that waits for a transaction until nothing is left to be looked at is not made,
// and the next one is.
func TestALookThatComesTooLateIsFollowedByOthers(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.CancelEvery, c.Transactions = time.Second, 1 })
	looked, recorded := h.works(acme("r", 1)...), h.works(globex("s", 1)...)
	h.do(executedWell(recorded...)...)
	settle := one[Settle](h)
	h.at(time.Second)
	none[Look](h)
	h.do(Executed{Job: looked[0], GaveUp: true})
	h.do(SettleAnswered{Group: settle.Group})
	none[Look](h)
	next := h.works(acme("u", 1)...)
	h.at(2 * time.Second)
	require.Equal(t, next, one[Look](h).Jobs)
}

// While the worker stops nothing is looked at any more: everything was told to end.
func TestNothingIsLookedAtAtTheEndOfAStop(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.CancelEvery = c.DrainTimeout + time.Second })
	jobs := h.works(acme("r", 1)...)
	h.do(Stop{}, Received{})
	h.at(h.s.cfg.DrainTimeout)
	require.Equal(t, jobs, one[Cancel](h).Jobs)
	h.at(h.s.cfg.CancelEvery)
	none[Look](h)
}

// At the end of a stop hand backs have all transactions: those that may wait for locked
// runs and the others, and no more than these.
func TestHandBacksHaveAllTransactionsAtTheEndOfAStop(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Transactions, c.DrainTimeout = 4, 0 })
	var events []Event
	for _, run := range []string{"r", "s", "u", "v", "w", "x", "y", "z"} {
		events = append(events, Executed{Job: h.works(acme(run, 1)...)[0], GaveUp: true})
	}
	h.do(Stop{}, Received{})
	h.do(events...)
	first := all[HandBack](h)
	require.Len(t, first, 2+4)
	h.do(HandedBack{Group: first[0].Group}, HandedBack{Group: first[5].Group})
	require.Len(t, all[HandBack](h), 2)
	for _, back := range append(first[1:5:5], all[HandBack](h)...) {
		h.do(HandedBack{Group: back.Group})
	}
	one[Stopped](h)
	h.over()
}

// A group of renewals is filled up to its bound.
func TestAGroupOfRenewalsIsFilled(t *testing.T) {
	t.Parallel()
	h := play1(t, leases)
	h.works(batchOf("r", groupCost-1))
	h.works(acme("s", 1)...)
	h.works(acme("u", 1)...)
	h.at(10 * time.Second)
	list := all[Renew](h)
	require.Len(t, list, 2)
	require.Len(t, list[0].Jobs, 2)
	require.Len(t, list[1].Jobs, 1)
}

// After any other transaction renewals go first again.
func TestRenewalsGoFirstAfterAnother(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { leases(c); c.Transactions = 1 })
	jobs := h.works(acme("r", 1)...)
	h.at(10 * time.Second)
	h.do(Renewed{Group: one[Renew](h).Group})
	h.works(globex("s", 1)...)
	h.now = h.start.Add(20 * time.Second)
	h.do(executedWell(jobs...)...)
	none[Settle](h)
	one[Renew](h)
}

// A run that was found locked and is claimed in time goes on like any other.
func TestALockedRunThatIsClaimedInTime(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	h.message(acme("r", 1)...)
	h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(1, OutcomeHeld)})
	h.at(stuckAfter - 1)
	h.claimed(Claim{Group: 2, Jobs: make([]*Job, 1)})
	one[Execute](h)
	h.at(2 * stuckAfter)
	none[Notify](h)
	h.message(acme("r", 2)[1:]...)
	one[Claim](h)
}

// Of a locked run only what is still locked is waited for.
func TestALockedRenewalIsForWhatIsStillLocked(t *testing.T) {
	t.Parallel()
	h := play1(t, leases)
	jobs := h.works(acme("r", 2)...)
	h.at(10 * time.Second)
	h.do(Renewed{Group: one[Renew](h).Group, Held: slices.Clone(jobs)})
	h.do(Renewed{Group: one[Renew](h).Group, Held: slices.Clone(jobs[1:])})
	require.Equal(t, jobs[1:], one[Renew](h).Jobs)
}

// What was recorded while its renewal waited for a locked run is not renewed again.
func TestALockedRenewalIsForWhatIsStillClaimed(t *testing.T) {
	t.Parallel()
	h := play1(t, leases)
	jobs := h.works(acme("r", 2)...)
	h.at(10 * time.Second)
	h.do(Renewed{Group: one[Renew](h).Group, Held: slices.Clone(jobs)})
	wait := one[Renew](h)
	require.True(t, wait.Wait)
	h.do(executedWell(jobs[0])...)
	h.do(SettleAnswered{Group: one[Settle](h).Group})
	h.do(Renewed{Group: wait.Group, Held: slices.Clone(jobs)})
	require.Equal(t, jobs[1:], one[Renew](h).Jobs)
}
