package app

import (
	"context"
	"time"

	"github.com/redrive/redrive/ports"
)

// SystemClock is the machine's clock, and what Deps.Clock is by default. Times have
// microseconds, which is what every store can keep.
type SystemClock struct{}

var _ ports.Clock = SystemClock{}

// Now implements ports.Clock.
func (SystemClock) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Sleep implements ports.Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
