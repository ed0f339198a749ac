// Package bench measures Redrive beside River, a job queue in Postgres that is
// known to be fast, in one run, on one server, in turns:
//
//	make bench-river
//
// Both do the same number of no-op jobs through a pool of the same size, with
// fsync and synchronous commits on. What they do is not the same. River inserts
// a row for each job, and its completion is another write of it. Redrive also
// charges a tenant, records what was paid for, fences each file by epoch and
// lease, counts the run's results and closes it.
//
// River has its best settings: InsertManyFast (COPY) and the shortest fetch
// cooldown that it accepts. Redrive has those of the server. What does not wait
// for the disk is what recovery makes good: putting jobs into the queue and taking
// them out, the confirmation of a dispatch, the renewal of leases. Runs, charges,
// claims and settlements do.
//
// The floor, in the same turns, is the barest SQL that does what Postgres has to do
// for Redrive's jobs: what share of it Redrive reaches says what is left to gain.
package bench
