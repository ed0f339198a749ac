package worker

import (
	"sort"
	"sync/atomic"
	"time"
)

// Stats is what an operator wants to know of a worker. The counts only grow and
// are those of this process.
type Stats struct {
	Running int // jobs that are claimed and executing
	Unsaved int // jobs that are executed and whose results are not recorded yet
	Waiting int // jobs on their way to a claim
	Parked  int // deliveries that wait for a limit to free

	Received     int64 // deliveries
	Nacked       int64 // deliveries that went back to the queue
	Claimed      int64 // jobs
	Settled      int64 // jobs
	HandedBack   int64 // jobs: the provider was down, or the worker stopped
	LostLeases   int64 // jobs that were stopped because their lease was lost
	Panics       int64 // outside of the executor, whose own are in app.Stats
	ClaimGroups  int64 // transactions that claimed
	SettleGroups int64 // transactions that recorded results
	RenewGroups  int64 // transactions that renewed leases

	BreakerOpened, BreakerClosed int64 // changes of all breakers
	// Breakers are those of providers that are down, or have failed or are in use,
	// by name.
	Breakers []BreakerStats
}

// BreakerStats is the state of one provider's breaker.
type BreakerStats struct {
	Endpoint  string
	State     string    // closed, open or half-open
	Failures  int       // in a row
	Running   int       // jobs
	DownSince time.Time // zero if it is not
	// GivenUp says that the outage is longer than MaxOutage: jobs are let through.
	GivenUp bool
}

type counters struct {
	received, nacked, claimed, settled, handedBack, lost, panics atomic.Int64
	claimGroups, settleGroups, renewGroups                       atomic.Int64
	breakerOpened, breakerClosed                                 atomic.Int64
}

// Stats reads the numbers. They are not of one moment.
func (w *Worker) Stats() Stats {
	c := &w.stats
	s := Stats{
		Received: c.received.Load(), Nacked: c.nacked.Load(), Claimed: c.claimed.Load(), Settled: c.settled.Load(),
		HandedBack: c.handedBack.Load(), LostLeases: c.lost.Load(), Panics: c.panics.Load(),
		ClaimGroups: c.claimGroups.Load(), SettleGroups: c.settleGroups.Load(), RenewGroups: c.renewGroups.Load(),
		BreakerOpened: c.breakerOpened.Load(), BreakerClosed: c.breakerClosed.Load(),
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.pool.entries {
		switch {
		case e.executed:
			s.Unsaved++
		case e.claimed:
			s.Running++
		default:
			s.Waiting++
		}
	}
	s.Parked = len(w.pool.parked)
	for _, e := range w.pool.gate.endpoints {
		s.Breakers = append(s.Breakers, BreakerStats{
			Endpoint: e.name, State: e.breaker.State().String(), Failures: int(e.breaker.Counts().ConsecutiveFailures),
			Running: e.inside, DownSince: e.downSince, GivenUp: e.givenUp(now),
		})
	}
	sort.Slice(s.Breakers, func(i, j int) bool { return s.Breakers[i].Endpoint < s.Breakers[j].Endpoint })
	return s
}
