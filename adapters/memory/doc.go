// Package memory has adapters of every port that keep what they have in the
// memory of the process: nothing survives it. They are full adapters, not
// doubles: they pass the same conformance suites as the others, and serve the
// embedded default, the simulator and tests.
//
// The store behaves as Postgres does under READ COMMITTED: a transaction's
// writes are kept apart until it commits and dropped if it does not; a plain
// read sees the latest commit; …ForUpdate and every write wait for the transaction that holds
// the row; transactions that wait for each other are found out at once and one
// gets ports.ErrDeadlock. So a missing lock, or a read before the lock, shows
// here as it would there. Waiting goes through WithWaits, so that a deterministic
// scheduler can own it.
package memory
