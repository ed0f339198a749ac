// Package app has the use cases: each loads what a rule of package core needs,
// lets the rule decide, saves what it decided in one transaction, and enqueues
// after the commit. It is the only code that drives the ports.
//
// The use cases start no goroutines and keep no state, so that a deterministic
// scheduler can own every choice; the worker pool and the loops of a running
// process are in core/app/worker.
//
// # Locks
//
// Whoever needs both locks takes the run's first and the tenant's second:
// RetryFailed and compensation take both, Initiate, grants and the refill take
// the tenant's alone (a new run is nobody else's yet), everything else takes the
// run's alone.
//
// # After the commit
//
// What is committed and not yet enqueued is an unconfirmed dispatch. It ends in
// one of three ways: the enqueueing is confirmed (or a claim proves it), or it
// failed and is compensated, or the process died and Recover enqueues. Claims
// and compensation exclude each other under the run's lock.
package app
