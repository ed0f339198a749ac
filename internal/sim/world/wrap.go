package world

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/ports"
)

// Wrap puts something between the use cases and the ports that fail: an embedder's
// own decorators, or a mistake that is to be found. What it calls still yields,
// fails and is judged. A nil leaves a port as it is.
type Wrap struct {
	Store    func(ports.Store) ports.Store
	Queue    func(ports.Queue) ports.Queue
	Executor func(ports.Executor) ports.Executor
	// Options are those of the use cases. What is zero is as worlds have it; of
	// DispatchTimeout and Roll nothing is taken, since neither this machine's clock
	// nor its dice may decide anything.
	Options app.Options
}

// options are what the use cases of a world get.
func (wrap *Wrap) options() app.Options {
	o := wrap.Options
	if o.Recovery == (core.RecoveryPolicy{}) {
		o.Recovery = recovery
	}
	if o.Retry == (core.RetryPolicy{}) {
		o.Retry = core.RetryPolicy{MaxTries: 2, BaseDelay: time.Second, MaxDelay: 5 * time.Second, Budget: time.Minute}
	}
	o.DispatchTimeout = -1
	// The clock jumps by months, and nothing is swept here.
	o.UploadGrace = 100 * 365 * 24 * time.Hour
	o.IdempotencyTTL = o.UploadGrace
	// A process that is killed here comes back with its counts of uploads.
	o.MaxTenantUploads, o.MaxTenantUploadBytes = -1, -1
	o.Roll = func() float64 { return 0.5 }
	return o
}

func wrapped[P any](wrap func(P) P, port P) P {
	if wrap == nil {
		return port
	}
	return wrap(port)
}

// Observer sees a world as histories need it: what users ask, what they are
// answered, and what is committed. What it is given is reused, so it keeps copies.
type Observer interface {
	// Began is called when the world is set up.
	Began(sc *Scenario)
	// Asked is called when a user sends a request; run is the slot's, if known; most is
	// the price that the user accepts, nil for any.
	Asked(user uint8, op *Op, tenant core.TenantID, run core.RunID, most *core.Credits, now time.Time)
	// Answered is called when an answer arrives. A request that is followed by
	// another one of the same user, or by the end, was never answered. preview is
	// the answer of a Preview that was not refused.
	Answered(user uint8, a *oracle.Answer, preview *app.Preview, now time.Time)
	// Committed is called after each commit, at the moment that it is one.
	Committed(c *oracle.Commit)
}
