package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Clock is the world's clock, which moves when everybody sleeps or when it jumps.
type Clock struct {
	Env *Env
	// Ahead is by how much the clock of the process is; nil for nothing.
	Ahead *time.Duration
}

var (
	_ ports.Clock = Clock{}
	_ ports.IDs   = IDs{}
)

// Now implements ports.Clock.
func (c Clock) Now() time.Time {
	if c.Ahead == nil {
		return c.Env.now(0)
	}
	return c.Env.now(*c.Ahead)
}

// Sleep implements ports.Clock.
func (c Clock) Sleep(ctx context.Context, d time.Duration) error {
	e := c.Env
	if err := ctx.Err(); err != nil {
		return err
	}
	e.Sched.Alive()
	e.outsideTx(trace.Sleep)
	if e.Over {
		return context.Canceled
	}
	e.Sched.Sleep(e.Sched.Now.Add(d))
	e.event(trace.Call, trace.Sleep, "", "", int64(d))
	if e.Over {
		return context.Canceled
	}
	return ctx.Err()
}

// Rest is Clock.Sleep between two rounds of a loop, which returns when its process
// dies: goOn is false then, and when the world ends.
func (e *Env) Rest(d time.Duration) (goOn bool) {
	e.Sched.Alive()
	if e.Over || !e.Sched.TrySleep(e.Sched.Now.Add(d)) {
		return false
	}
	e.event(trace.Call, trace.Sleep, "", "", int64(d))
	return !e.Over
}
