// Package storetest is the conformance suite of ports.Store. Every adapter runs it
// from a test of its own:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) ports.Store { return newEmptyStore(t) })
//	}
//
// It has two halves. The first holds each sentence of the contract in
// ports/store.go to the store itself: round trips, rollback, isolation, locks,
// deadlocks, tenants, keys. The second drives the use cases of core/app on the
// store with a queue, files and a clock in memory, many at once, and afterwards
// recomputes the invariants that package core lists from what the store holds.
//
// # What a store has to do to pass
//
//   - Transactions roll back as a whole, also when fn panics or ctx ends, and see what
//     they wrote themselves. Statements of one see what others have committed meanwhile
//     (READ COMMITTED); View sees one moment.
//   - Locks are of rows: a lock of one run, or of one tenant's credits, makes nobody wait
//     who wants another. Waiting ends with ctx. Of transactions that wait for each other
//     one fails with ports.ErrDeadlock or ErrSerialization, or is run again.
//   - At least 8 transactions are open at once. A store with one connection hangs.
//   - Nothing of a tenant is found, locked or changed from another tenant.
//   - A key is taken once: the ledger's and that of an answer, however many race for it.
//   - IDs and texts come back as they were; times have microseconds, in UTC.
//   - A store that is a ports.Mover moves tenants; one that is none says so (Options.NoMoves).
//   - Runs of 10,000 files are written and read in seconds.
//
// RunOutbox is a suite of its own, for stores whose transactions send jobs (ports.Outbox).
//
// # How long it takes
//
// 5 s with a store in memory and 90 s with Postgres beside other work, on two cores.
// Options make it shorter for the loop at the desk, or longer for a night.
package storetest
