package worker

import (
	"sync/atomic"

	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// Stats is what an operator wants to know of a worker. The counts only grow and
// are those of this process.
type Stats struct {
	scheduler.Stats
	Panics int64 // outside of the executor, whose own are in app.Stats
}

// What Stats says of the providers.
type (
	BreakerStats = scheduler.BreakerStats
	CircuitStats = scheduler.CircuitStats
	CircuitState = scheduler.CircuitState
)

type counters struct{ panics atomic.Int64 }

// Stats reads the numbers.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{Stats: w.scheduler.Stats(w.time.read()), Panics: w.stats.panics.Load()}
}
