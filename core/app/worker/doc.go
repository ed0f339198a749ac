// Package worker runs the use cases of a live process: a bounded pool that
// claims, executes and settles jobs, the renewal of their leases, and the loops of
// recovery and of the monthly refill. What the pool does next is decided by package
// scheduler, a state machine, which one goroutine owns (Worker.loop). Here its actions
// are carried out, each by a goroutine that gives the answer as an event.
//
// # The way of a job
//
//	Feed ──receive──► gate ──► claim, ack ──► execute ──► settle ──► forgotten
//	                   │       (in groups)                (in groups)
//	                   ▼
//	        parked, released, or nacked
//
// A job has one of Concurrency places from when it was received until it was
// executed, and no more is received than there are free places: that pushes back
// on the queue and bounds memory, however much waits. Of a message with more jobs than
// there are places the rest is released at once, for other servers; it is acked when the
// claims of the jobs that it keeps were answered. While jobs are so short that executors
// would wait for the next, up to Ahead more are claimed than can be executed at once.
//
// Results wait for their transaction without a place, up to a bound; beyond it places
// stay taken, so that a store which cannot keep up slows everything down. Executing takes
// no connection and no transaction. Claims, renewals and settlements of all runs of a tenant
// share transactions: while one is being written the next gathers, so groups grow
// with the load; at most Transactions are open at a time. A run that another transaction
// has locked is left out of its group and waited for by itself, so that it holds
// up no other.
//
// The gate lets no more jobs of a tenant or template through than its limit, and
// none that could not be done now. What it stops is named to the feed, which then
// leaves it in the queue; what comes nevertheless is parked for a few seconds, up
// to Parked, and goes back to the queue if that does not help. Limits and
// breakers are those of this process: three servers with a tenant limit of 10 work
// 30 of its jobs at once.
//
// Results of a job with several files are recorded in bounded pieces as they come
// (ports.Task.Report), so that a cancel or a crash loses none that is there, and memory
// does not grow with the outputs of a job: an executor waits while too much is not
// recorded. Once a second what is being executed is looked at, so that a cancel on any
// server ends it.
//
// # When the provider is down
//
// Each template has a circuit. Breaker.Failures of its jobs in a row that failed by the
// provider (core.Failure.ProviderDown), or one that met a fault of ours which other
// files meet as well (core.Failure.Blocks: the credential is refused, say), open it.
// From then on nothing of the template is claimed, and what was under way and fails is
// handed back instead of being recorded: it costs a file neither its retries nor its
// price. Other templates go on. When the circuits of two templates of an endpoint have
// opened and nothing of it was answered meanwhile, all of its templates wait and there is
// one probe for all; if both are one tenant's, only that tenant's. A request that the
// model never takes (core.FailureRequestRefused) tells of its template alone.
//
// One job at a time is let through as a probe, preferably one that has not failed in
// this outage: after OpenFor, or what the provider asked for; of a fault of ours, which
// may be mended any moment, after a second, and after twice as long each time up to
// OpenFor. An answer, also that a file is refused, ends the outage.
//
// An outage always comes to an end for a run. If the provider does not come back within
// MaxOutage, jobs are let through and end as they end; Continue is then the user's to
// decide. If a fault of ours lasts for InterruptAfter, each probe that fails from then on
// closes the runs of its template INTERRUPTED (app.Service.Interrupt), with the fault as
// the reason, so that a run of any size ends after a handful of requests and is free to
// continue; the first job after that is a probe at once. A run that another server is
// working on, for which the fault does not hold then, is left alone. A job that fails
// again when others were answered since is recorded as it ends, after one outage of ours
// or three of the provider's: it may well be its own fault.
//
// The operator is warned of a fault of ours, with what to do, when it begins and every
// few minutes while it lasts. What is known is that of this process, and ends with it.
//
// # Faults
//
// Claims that fail go back to the queue after a pause, in which their places stay
// taken: an outage of the store is not hammered. A result in hand is kept, and
// recorded when the store is back, unless its lease is lost. A group that fails by
// one of its members is split, so that a bad one takes no others with it. A result that
// the store can never hold (ports.ErrRefused) is recorded as an interruption that says
// so, instead of doing its work again. A panic anywhere on a job's way is logged with the
// job's run, ID and epoch, and costs that step of that job alone: around the executor it
// interrupts the job's files, which is free.
package worker
