// Package postgres is ports.Store on PostgreSQL, through pgx; it is tested on version 15.
//
//	pool, err := postgres.Connect(ctx, postgres.Config{URL: url})
//	applied, err := postgres.Migrate(ctx, pool)
//	store, err := postgres.New(pool, postgres.Config{})
//
// # Transactions
//
// InTx is READ COMMITTED: what it relies on it locks, a run's row first and the
// tenant's credits second. A transaction that Postgres chose as the victim (a
// deadlock or a serialization failure) is run again, a bounded number of times
// and after a random wait. Waiting for a lock and every statement are bounded by
// timeouts that travel with the BEGIN, so they cost no round trip and hold
// behind a connection pooler too. The BEGIN travels with the first statement, so
// that one is what fails if the database cannot be reached.
//
// View is REPEATABLE READ, READ ONLY: one snapshot, no locks.
//
// With a queue in the same database the transaction that begins an attempt sends its
// jobs too, and nothing is left that could fail after it:
//
//	queue, err := watermillqueue.OpenPostgres(pool, watermillqueue.Options{})
//	store = store.WithOutbox(queue.Outbox())
//
// # Lost connections
//
// Before the COMMIT is sent, a lost connection means that nothing happened:
// ports.ErrUnavailable. If it is lost after that, the outcome is unknown:
// ports.ErrCommitUnknown, and nothing is run again. The caller's cancellation
// does not reach a COMMIT, so that a client which goes away does not make its
// outcome unknown. A connection that turns out to be dead at the BEGIN, as all of
// a pool are after the server was restarted, is replaced by another one.
//
// # Citus
//
// Distribute spreads the tables over the nodes of a cluster, by tenant. Everything that a
// transaction reads and writes is then on one node, which commits it in one phase. What the
// adapter asks of all tenants at once goes on for the others while a node is down
// (ports.ErrIncomplete). Whether the tables are spread is asked of the catalog, once a store.
//
// # Round trips
//
// No method's number of round trips depends on how many files it reads or
// writes: rows travel as arrays (unnest), many in one statement.
package postgres
