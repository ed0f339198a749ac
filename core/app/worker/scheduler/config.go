package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Config are the scheduler's settings. There are no defaults: package worker has them.
type Config struct {
	Concurrency int // jobs executed at once, at least 1

	// Ahead is how many jobs more may be claimed while jobs are so short that executors
	// would wait for the next, and up to 250 more that came in the same message; 0 for none.
	Ahead int

	// TenantConcurrency and TemplateConcurrency are the limits of those that have none of
	// their own, 0 for none; TenantLimit and TemplateLimit give the limit of one, 0 for
	// none, and may be nil if there are no limits. They must be quick.
	TenantConcurrency, TemplateConcurrency int
	TenantLimit                            func(core.TenantID) int
	TemplateLimit                          func(ports.TemplateKey) int
	// Parked is how many jobs that came in spite of a limit are kept for when it frees.
	Parked int

	Breaker Breaker

	// Transactions is how many groups are written to the store at once, at least 1. Half
	// as many more may wait for locked runs.
	Transactions int
	// Linger is how long a result waits for others to be recorded with if nothing is being
	// recorded, and a free place for others to be filled with; 0 for not at all.
	Linger time.Duration
	// Lease is how long a claim lasts; it is renewed three times in that.
	Lease time.Duration
	// CancelEvery is how often jobs under way are looked at; 0 for never.
	CancelEvery time.Duration
	// DrainTimeout is how long jobs may go on after the stop; 0 for not at all.
	DrainTimeout time.Duration
	// Seed varies the pauses after faults, so that workers do not come all at once.
	Seed uint64
}

// Breaker says when a template's jobs are kept back because they could not be done
// now, and until when; see package worker's comment.
type Breaker struct {
	// Failures is how many jobs of a template in a row must have failed by the provider;
	// of a fault of ours the first is enough. Default 10, negative for no breaker.
	Failures int
	// OpenFor is after what time a job is let through as a probe; default 30 s. If
	// the provider asked for longer (Retry-After), that counts. Of a fault of ours the
	// first probe comes after a second, and OpenFor is the longest time between two.
	OpenFor time.Duration
	// MaxOutage is after what time without the provider its jobs are no longer kept
	// back, so that runs close; default 1 h.
	MaxOutage time.Duration
	// InterruptAfter is after what time with a fault of ours the runs that wait for its
	// end are closed INTERRUPTED, free to continue; default 30 s.
	InterruptAfter time.Duration
	// Endpoint names the provider that a template's jobs go to. What two templates of the
	// same name meet is taken for trouble with the provider and keeps all of them
	// back. nil: a template has a provider of its own. It must be quick.
	Endpoint func(ports.TemplateKey) string
}

const (
	// mostKept is how many jobs may be kept beyond Ahead with others of their message: as
	// many as a message has.
	mostKept = 250
	// abandonAfter bounds the wait for claims and executions that do not end when the
	// drain's time is over.
	abandonAfter = 2 * time.Second
	// HandBackTimeout bounds a hand back, and all of them at the very end of a stop.
	HandBackTimeout = 10 * time.Second
	// parkFor is how long a job is parked before it goes back to the queue, where another
	// process may take it.
	parkFor = 5 * time.Second
	// stuckAfter is how long the claim of a locked run may take before no more of its
	// jobs are let in.
	stuckAfter = 250 * time.Millisecond
	// heldRetry is how often a locked run is looked at while others are waited for.
	heldRetry = 20 * time.Millisecond
	// groupCost bounds a group in files and, for results, in pages of output, so
	// that a transaction does not grow with what jobs are made of.
	groupCost, groupPage = 2000, 8 << 10
	// unsavedCost bounds the results that wait to be recorded with their places
	// given to others: some 2,000 jobs of one file, or 16 MiB of output.
	unsavedCost = 2000
	// pieceResults and pieceCost bound what is recorded at once of a job that goes on:
	// 4 MiB of output. Its results wait for that up to jobUnsaved, some 8 MiB.
	pieceResults, pieceCost, jobUnsaved = 500, 512, 1024
)

// ResultCost is what recording a result costs: 1, and 1 for each page of its output.
func ResultCost(r *core.FileResult) int { return 1 + len(r.Output)/groupPage }

// NotRecorded is what becomes of a file whose result the store can never hold. To do
// its work again would end in the same way, so its run closes and says why.
func NotRecorded(index int) core.FileResult {
	return core.FileResult{Index: index, Outcome: core.OutcomeInterrupted, Failure: core.Failure{
		Code:    core.FailureNotRecorded,
		Message: "the service could not keep the result of this file; once that is mended it is free to continue",
	}}
}
