// Package sqlite is ports.Store in a file of SQLite, for one process on one machine: the
// store to begin with. Everything that was answered survives a crash and a power cut.
//
//	store, err := sqlite.Open(ctx, "data/redrive.db")
//	applied, err := sqlite.Migrate(ctx, store)
//
// # One process
//
// A file has one Store at a time. The second one to open it, in whatever process, is told
// who has it (ErrInUse): a lock on a file beside the database says so, which the system
// frees when its process dies. When Open succeeds, the previous process is gone for
// certain, and with it all that it had in its hands.
//
// # Transactions
//
// SQLite lets one transaction write at a time, and a transaction that reads first and
// then writes fails as soon as another one has written. The port promises READ COMMITTED
// with row locks. So a transaction of this store is not one of SQLite until it commits:
//
//   - Its row locks are kept in memory (internal/locktable), deadlocks are found at once,
//     and the transaction that found one is run again, a bounded number of times.
//   - A plain read is a statement of its own on one of the reading connections: it sees what
//     was committed last, and waits for nobody.
//   - What it writes is kept as statements. Whether a row is there is looked up at once, under
//     its lock, so ports.ErrExists and ports.ErrNotFound come from the method as on Postgres.
//     What a CHECK, a foreign key or a trigger refuses comes from the commit.
//   - A read of tables that it has written carries the statements out where they would be
//     committed, reads, and rolls back. It is right in every case and dear; the use cases
//     read before they write.
//   - There is one writing connection. Of the transactions that wait for it, the first to get
//     it commits all that wait, each under a savepoint: one wait for the disk for all. One
//     that fails takes nothing of the others with it. No fn of a caller ever holds that
//     connection.
//
// So nothing of the port's contract is served by SQLite's serial writing, and no case of
// the conformance suite is vacuous here: transactions overlap, wait for row locks, deadlock
// and overtake each other as they do on Postgres.
//
// View is one snapshot of SQLite on a reading connection.
//
// # Durability
//
// WAL with synchronous=FULL: a commit is answered after its fsync. With NORMAL, which
// transactions marked by ports.Relaxed use when no other is in their group, the last
// commits may be lost at a power cut, each whole. A COMMIT that failed for lack of room had
// no effect (ports.ErrUnavailable); one that failed by any other I/O may be on the disk, so
// its outcome is unknown to every transaction of its group (ports.ErrCommitUnknown).
//
// The caller's cancellation reaches a transaction as long as its commit was not begun.
package sqlite
