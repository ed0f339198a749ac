package sim

import (
	"fmt"

	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/sched"
)

// Strategy is how schedules are chosen. None is best at everything, so a campaign
// takes turns unless it is told otherwise.
type Strategy string

// The strategies.
const (
	Portfolio Strategy = "portfolio"
	Random    Strategy = "random"
	PCT3      Strategy = "pct3"
	PCT10     Strategy = "pct10"
	Sparse    Strategy = "sparse"

	// Exhaustive is how Exhaust chooses; no campaign can.
	Exhaustive Strategy = "exhaustive"
)

// Strategies lists them.
func Strategies() []Strategy { return []Strategy{Portfolio, Random, PCT3, PCT10, Sparse} }

// ParseStrategy reads the name of a strategy.
func ParseStrategy(s string) (Strategy, error) {
	for _, known := range Strategies() {
		if string(known) == s {
			return known, nil
		}
	}
	return "", fmt.Errorf("strategy %q is not known; take one of %v", s, Strategies())
}

// of is the strategy of a seed.
func (s Strategy) of(seed uint64) Strategy {
	if s != Portfolio && s != "" {
		return s
	}
	return [...]Strategy{Random, PCT3, Sparse, PCT10}[seed%4]
}

// expectedSteps is about how long the part of a world with faults is, for the
// change points of PCT.
const expectedSteps = 100

// choosers are the choosers of one worker, reused.
type choosers struct {
	walk   sched.Walk
	rates  sched.Rates // of one seed
	sparse sched.Sparse
	pct    sched.PCT
}

// chooser gives a strategy's chooser for a seed.
func (c *choosers) chooser(s Strategy, seed uint64, rates *sched.Rates) sched.Chooser {
	mixed := sched.Mix(seed ^ 0xc0ffee)
	c.rates = swarm(sched.Mix(mixed^0x5a4a), rates)
	rates = &c.rates
	switch s.of(seed) {
	case PCT3:
		c.pct.Reset(mixed, rates, 3, expectedSteps)
		return &c.pct
	case PCT10:
		c.pct.Reset(mixed, rates, 10, expectedSteps)
		return &c.pct
	case Sparse:
		c.sparse.Reset(mixed, rates)
		return &c.sparse
	case Random, Portfolio, Exhaustive:
	}
	c.walk.Reset(mixed, rates)
	return &c.walk
}

// swarm gives a seed rates of its own: some faults never happen in its world and
// others often. What takes two of a kind, or one without another in its way, is
// found sooner so than with all of them everywhere.
func swarm(seed uint64, rates *sched.Rates) sched.Rates {
	own, r := *rates, sched.NewRand(seed)
	for k := faults.BeginFault; int(k) < len(own); k++ {
		switch r.IntN(4) {
		case 0:
			own[k] = 0
		case 1:
			own[k] = min(4*own[k], 0.5)
		}
	}
	return own
}

// DefaultRates is how often each fault happens when it could.
func DefaultRates() sched.Rates {
	var r sched.Rates
	r[sched.Next] = 0.05
	r[faults.BeginFault] = 0.01
	r[faults.CommitFault] = 0.06
	r[faults.LockFault] = 0.01
	r[faults.ReadFault] = 0.005
	r[faults.RefundFault] = 0.1
	r[faults.EnqueueFault] = 0.25
	r[faults.MessageFault] = 0.08
	r[faults.OrderChoice] = 0.2
	r[faults.AckFault] = 0.03
	r[faults.NackFault] = 0.1
	r[faults.ReleaseFault] = 0.1
	r[faults.ActionFault] = 0.02
	r[faults.ExecuteFault] = 0.13
	r[faults.FilesFault] = 0.02
	r[faults.CrashFault] = 0.007
	r[faults.ClockFault] = 0.015
	return r
}
