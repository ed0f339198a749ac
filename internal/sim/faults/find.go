package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/ports"
)

// What people look for decides nothing, so it is passed through and is no step of
// the simulation.

func (t *tx) Find() ports.Finder { return t.inner.Find() }

// InterruptedRuns implements ports.Store.
func (s *Store) InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	return s.Inner.InterruptedRuns(ctx, since, limit)
}
