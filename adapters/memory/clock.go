package memory

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/ports"
)

var _ ports.Clock = (*ManualClock)(nil)

// ManualClock stands still until it is told to move. Sleepers wake when it has
// moved past their time.
type ManualClock struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed and replaced at every move
}

// NewManualClock makes a clock that stands at t.
func NewManualClock(t time.Time) *ManualClock {
	return &ManualClock{now: t.UTC(), moved: make(chan struct{})}
}

// Now implements ports.Clock.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, which may be negative: clocks jump.
func (c *ManualClock) Advance(d time.Duration) {
	c.move(func(now time.Time) time.Time { return now.Add(d) })
}

// Set moves the clock to t.
func (c *ManualClock) Set(t time.Time) { c.move(func(time.Time) time.Time { return t.UTC() }) }

func (c *ManualClock) move(to func(time.Time) time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = to(c.now)
	close(c.moved)
	c.moved = make(chan struct{})
}

// Sleep implements ports.Clock.
func (c *ManualClock) Sleep(ctx context.Context, d time.Duration) error {
	until := c.Now().Add(d)
	for {
		c.mu.Lock()
		now, moved := c.now, c.moved
		c.mu.Unlock()
		if !now.Before(until) {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
