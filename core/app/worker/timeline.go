package worker

import (
	"context"
	"time"

	"github.com/redrive/redrive/ports"
)

// timeline is the time that the scheduler goes by. It passes as the machine's does, so
// that a pause is one whatever the service's clock says, and as the clock's where that is
// faster: a clock may jump, and one of a test may only be moved. It never goes back.
type timeline struct {
	clock               ports.Clock
	now, machine, other time.Time
}

func newTimeline(c ports.Clock) timeline {
	now := time.Now()
	return timeline{clock: c, now: now, machine: now, other: c.Now()}
}

func (t *timeline) read() time.Time {
	machine, other := time.Now(), t.clock.Now()
	t.now = t.now.Add(max(machine.Sub(t.machine), other.Sub(t.other), 0))
	t.machine, t.other = machine, other
	return t.now
}

// alarm wakes the loop when the scheduler's timer is due. It is used by the loop alone.
type alarm struct {
	clock ports.Clock
	wake  chan<- struct{}
	timer *time.Timer
	due   time.Time // of the scheduler's timer
	armed time.Time // it rings at that time, or before; zero: it does not
	sleep context.CancelFunc
}

// clockTicks is up to what time the machine's timer does without the service's clock.
const clockTicks = 10 * time.Millisecond

func newAlarm(c ports.Clock, w chan<- struct{}) *alarm {
	return &alarm{clock: c, wake: w, sleep: func() {}}
}

func (a *alarm) set(due time.Time) { a.due = due }

// arm makes the alarm ring when it is due. It may ring earlier, for a time that was set
// before: then it is armed again.
func (a *alarm) arm(now time.Time) {
	if !a.armed.IsZero() && !now.Before(a.armed) {
		a.armed = time.Time{}
	}
	if a.due.IsZero() || !a.armed.IsZero() && !a.due.Before(a.armed) {
		return
	}
	a.stop()
	a.armed = a.due
	d := max(a.due.Sub(now), 0)
	ring := func() { wake(a.wake) }
	a.timer = time.AfterFunc(d, ring)
	if d > clockTicks {
		var ctx context.Context
		ctx, a.sleep = context.WithCancel(context.Background())
		go func() {
			if a.clock.Sleep(ctx, d) == nil {
				ring()
			}
		}()
	}
}

func (a *alarm) stop() {
	a.sleep()
	if a.timer != nil {
		a.timer.Stop()
	}
}
