package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Stats is what an operator wants to know of a scheduler. The counts only grow.
type Stats struct {
	Running int // jobs that are claimed and not executed yet
	Unsaved int // jobs that are executed and whose results are not recorded yet
	Waiting int // jobs on their way to a claim
	Parked  int // jobs that wait for a limit to free

	Received     int64 // jobs that were delivered
	Released     int64 // jobs that were passed on at once, for want of a place or at a stop
	Nacked       int64 // jobs that went back to the queue for later
	Claimed      int64 // jobs
	Settled      int64 // jobs
	HandedBack   int64 // jobs: the provider was down, or the worker stopped
	LostLeases   int64 // jobs that were stopped because their lease was lost
	ClaimGroups  int64 // transactions that claimed
	SettleGroups int64 // transactions that recorded results
	RenewGroups  int64 // transactions that renewed leases

	Interrupted int64 // runs that were closed because of a fault of ours, see Breaker

	BreakerOpened, BreakerClosed int64 // outages that began, and that are over
	// Breakers are the providers that are down, have failed or are in use, by name.
	Breakers []BreakerStats
}

// BreakerStats is the state of one provider.
type BreakerStats struct {
	Endpoint string
	CircuitState
	// Whole says that all of the provider's templates wait, or all of one tenant's. Else
	// the state is that of the template that has waited for the longest time.
	Whole bool
	// Circuits are the templates whose own circuits are open, by name.
	Circuits []CircuitStats
}

// CircuitStats is the state of one template.
type CircuitStats struct {
	Template ports.TemplateKey
	CircuitState
}

// CircuitState says whether jobs are kept back, and why.
type CircuitState struct {
	State    string // closed, open, or half-open while a probe is under way or due
	Failures int    // jobs in a row; of a provider with several templates the most
	Running  int    // jobs
	// Cause is "provider" for its trouble in passing, "service" for a fault of ours, which
	// the operator can mend; empty if nothing is kept back.
	Cause     string
	Fault     core.Failure // the latest
	DownSince time.Time    // zero if nothing is kept back
	// GivenUp says that the outage is longer than MaxOutage: jobs are let through.
	GivenUp bool
}

// state says how an outage stands.
func (o *outage) state(now time.Time, b *Breaker) CircuitState {
	s := CircuitState{State: "closed", Cause: o.cause.String(), Fault: o.failure, DownSince: o.since, GivenUp: o.givenUp(now, b)}
	switch {
	case o.open() && (o.probing || o.due(now)):
		s.State = "half-open"
	case o.open():
		s.State = "open"
	}
	return s
}

// stats lists the providers by name.
func (b *breaker) stats(now time.Time) (list []BreakerStats) {
	for _, e := range b.endpoints {
		s := BreakerStats{Endpoint: e.name, Whole: e.whole.open()}
		running, failures := 0, 0
		for key, c := range e.circuits {
			running, failures = running+c.inside, max(failures, c.failures)
			if c.open() {
				one := CircuitStats{Template: key, CircuitState: c.state(now, &b.settings)}
				one.Running = c.inside
				s.Circuits = append(s.Circuits, one)
			}
		}
		slices.SortFunc(s.Circuits, func(a, b CircuitStats) int { return compareTemplates(a.Template, b.Template) })
		s.CircuitState = e.whole.state(now, &b.settings)
		for _, c := range s.Circuits {
			if !s.Whole && (s.DownSince.IsZero() || c.DownSince.Before(s.DownSince)) {
				s.CircuitState = c.CircuitState
			}
		}
		s.Running, s.Failures = running, failures
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b BreakerStats) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return list
}

// counts are Stats while they are counted.
type counts struct {
	Stats
	sentBack int // jobs that could not be let in or parked
}

// count notes that a job has come to a state, or gone from it.
func (s *Scheduler) count(j *Job, n int) {
	switch j.state {
	case claiming:
		s.stats.Waiting += n
	case ready, executing:
		s.stats.Running += n
	case recording, returning:
		s.stats.Unsaved += n
	case parked, done, gone:
	}
}

// Stats reads the numbers.
func (s *Scheduler) Stats(now time.Time) Stats {
	stats := s.stats.Stats
	stats.Parked = len(s.parked)
	stats.Breakers = s.gate.breaker.stats(now)
	return stats
}
