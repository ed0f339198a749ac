// Package sim searches for interleavings that lose work or money. It plays the
// real use cases of core/app and the real scheduler of core/app/worker on the
// in-memory adapters, and owns every choice: who goes on, which fault happens, which
// message comes first, what time it is.
//
// # Layout
//
//	sim            campaigns over seeds, strategies, tokens, replay; shrinking,
//	               exhaustive search, campaigns of linearizability checks
//	sim/history    what users asked and were answered, checked with porcupine
//	sim/sched      actors as coroutines; choices, their default, deviations from
//	               it; the choosers: random walk, PCT, sparse, replay, explorer
//	sim/faults     every port wrapped: yields, fails, and tells the oracle
//	sim/oracle     the invariants of the specification; every commit must be one
//	               step of the sequential model (internal/testkit/model)
//	sim/world      scenarios: tenants, users, recovery loops, and servers, each with a
//	               scheduler of jobs whose actions actors carry out;
//	               faults on, then faults off until everything has healed
//	sim/mutants    mistakes that are planted to see how soon they are found
//	sim/planted    the switch of these mistakes; all that their copies of production
//	               code import
//	sim/trace      what happened, as events; its hash is always kept
//	sim/report     what was found, for readers: text, a page, lines of JSON, JUnit
//
// Imports go downwards: sim → history → world → faults → oracle → trace, sched. Each hides
// something from those above it: sched that actors are coroutines, and from Redrive
// altogether; trace what is hashed; oracle the model, and whatever has to be remembered to
// judge; faults which fault comes, and what it does to a port; world what a server is made
// of; history the search for an order. No two of them are one thing.
//
// # One simulation
//
// A seed gives a scenario and a strategy; both together give every choice. The
// scheduler records where a choice was not the default one. These deviations and
// the seed of the scenario are all that a token carries, and all that a replay
// needs.
//
// # Shrinking
//
// Shrink takes away deviations, in runs and then singly, looks for one to three that
// suffice, leaves out operations, workers and files, and puts one deviation in the
// place of two; all of it again until nothing more can go. The rule that is violated
// first stays the same. What is left out keeps its place, so that the other
// deviations, which are named by actor, step and kind, mean what they meant.
//
// # Exhaustive search
//
// Exhaust plays every schedule of a small scenario (world.Named) with bounded
// preemptions and faults, those with fewer deviations first. A schedule is its list
// of deviations from the default, and each list is played once, as the child of the
// list without its last one. Schedules are not taken together because their traces
// look alike: Counts.Distinct only says how many traces there are. World after world
// begins anew; nothing is kept but the lists, so both cores share them, and counts
// are added up in the order of the lists, whoever played them.
//
// A preemption is any switch to another actor than the default one: that which ran
// last if it can go on, else the next one round.
//
// # Linearizability
//
// Linearize plays worlds as a campaign does, records what users asked and were
// answered, and checks each tenant's history (package history). A history whose check
// does not end in time is counted as unknown; the campaign's other worlds go on.
//
// # Wrapped ports
//
// world.Wrap puts decorators between the use cases and the ports that fail: those of
// an embedder, or mistakes that are to be found. Config, ShrinkOptions and
// ExhaustOptions take it; ReplayWith replays a token that was found with it.
package sim
