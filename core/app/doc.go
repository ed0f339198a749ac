// Package app has the use cases. Each loads what a rule of package core needs, lets the
// rule decide, saves the decision in one transaction, and enqueues after the commit. It
// is the only code that drives the ports.
//
// The use cases start no goroutines and keep no state, so that a deterministic scheduler
// can control every interleaving. The worker pool and the loops of a running process are
// in core/app/worker.
//
// # Locks
//
// A transaction that needs both locks takes the run's first and the tenant's second.
// RetryFailed and compensation take both. Initiate, grants and the refill take only the
// tenant's: no other transaction can see a new run yet. All others take only the run's.
//
// # After the commit
//
// An attempt that is committed and not yet known to be enqueued is an unconfirmed
// dispatch. It ends in one of three ways: the enqueueing is confirmed, or a claim proves
// it; it failed and is compensated; or the process died and Recover enqueues. Claims and
// compensation exclude each other under the run's lock.
package app
