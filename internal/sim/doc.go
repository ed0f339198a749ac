// Package sim searches for interleavings that lose work or money. It plays the
// real use cases of core/app on the in-memory adapters, under a scheduler that
// owns every choice: who goes on, which fault happens, which message comes first,
// what time it is.
//
// # Layout
//
//	sim            campaigns over seeds, strategies, tokens, replay
//	sim/sched      actors as coroutines; choices, their default, deviations from
//	               it; the choosers: random walk, PCT, sparse, replay
//	sim/hostile    every port wrapped: yields, fails, and tells the oracle
//	sim/oracle     the invariants of the specification, and a sequential model of
//	               credits and runs that every commit must be one step of
//	sim/world      scenarios: tenants, users, workers, recovery loops, processes;
//	               faults on, then faults off until everything has healed
//	sim/trace      what happened, as events; its hash is always kept
//
// Imports go downwards: sim → world → hostile → oracle → trace, sched.
//
// # One simulation
//
// A seed gives a scenario and a strategy; both together give every choice. The
// scheduler records where a choice was not the default one. These deviations and
// the seed of the scenario are all that a token carries, and all that a replay
// needs. Shrinking takes deviations away, then operations of users.
package sim
