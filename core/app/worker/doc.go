// Package worker runs the use cases of a live process: a bounded pool that
// claims, executes and settles jobs, the renewal of their leases, and the loops of
// recovery and of the monthly refill. Goroutines live here and not in package
// app, so that a deterministic scheduler can drive app without them.
//
// # The way of a job
//
//	Feed ──receive──► gate ──► claim, ack ──► execute ──► settle ──► forgotten
//	                   │       (in groups)                (in groups)
//	                   ▼
//	                 parked, or nacked
//
// A job has one of Concurrency places from when it was received until it was
// executed, and no more is received than there are free places: that pushes back
// on the queue and bounds memory, however much waits. Results wait for their
// transaction without a place, up to a bound; beyond it places stay taken, so that a
// store which cannot keep up slows everything down. Executing takes no connection and
// no transaction. Claims, renewals and settlements of all runs of a tenant
// share transactions: while one is being written the next gathers, so groups grow
// with the load; at most Transactions are open at a time. A run that somebody else
// has locked is left out of its group and waited for by itself, so that it holds
// up nobody.
//
// The gate lets no more jobs of a tenant or template through than its limit, and
// none of a provider that is down. What it stops is named to the feed, which then
// leaves it in the queue; what comes nevertheless is parked for a few seconds, up
// to Parked, and goes back to the queue if that does not help. Limits and
// breakers are those of this process: three servers with a tenant limit of 10 work
// 30 of its jobs at once.
//
// # When the provider is down
//
// Breaker failures in a row (core.Failure.ProviderDown) open the breaker of an
// endpoint. From then on nothing of its templates is claimed, and what was under way
// and fails is handed back instead of being recorded as failed: an outage costs a
// file neither its retries nor its price. After OpenFor, or what the provider asked
// for, one job is let through as a probe. If the provider does not come back within
// MaxOutage, its jobs are let through and end as they end, so that every run
// closes; Continue is then the user's to decide. The count begins anew with the
// process.
//
// # Faults
//
// Claims that fail go back to the queue after a pause, in which their places stay
// taken: an outage of the store is not hammered. A result in hand is kept, and
// recorded when the store is back, unless its lease is lost. A group that fails by
// one of its members is split, so that a bad one takes no others with it. A panic
// anywhere on a job's way is logged with the job's run, ID and epoch, and costs that
// step of that job alone.
package worker
