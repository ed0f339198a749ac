// Package core has the rules of Redrive: values in, decisions out. Nothing here
// reads a clock, makes a random number, or does I/O. The time is passed in, and the
// result has everything that is to be written. Inputs are never changed.
// The use cases in core/app load, let this package decide, and save.
//
// # Vocabulary
//
//   - A tenant owns templates, runs and credits; nothing crosses from one to another.
//   - A template says what to do with a file, and what a file costs.
//   - A run is one template applied to N files. A file has a fixed index and a
//     result of its own.
//   - A job is what the queue carries: one file, or in batch mode all files to
//     process. It is a hint that work may be claimed; the store decides.
//   - An attempt is one dispatch of a run: 0 is the initiation, each Continue is
//     the next. It records its number of jobs, its charge, and how to undo it.
//   - An epoch is a number that a run gives out once. Each time that a file
//     becomes pending it gets a new one. So a file is claimed at most once per epoch,
//     and late or repeated messages and results are recognized by their epoch.
//   - A charge takes credits from the period's monthly allowance first, because
//     that ends with its month, then from the purchased balance. A refund gives
//     back what one charge took: the monthly part to the allowance of the same period,
//     the purchased part to the purchased balance.
//
// # A run
//
//	        initiate (charge)                    every job of the attempt settled
//	─────────────────────────────► RUNNING ─────────────────────────────────────┐
//	                              ▲   │  │                                      │
//	     Continue (charges failed │   │  │ cancel, redelivery exhausted, or     ▼
//	      files, pending are free)│   │  │ a fault of ours              COMPLETED (final)
//	                              │   │  └───────────► INTERRUPTED
//	                              │   │                     │    COMPLETED_WITH_ERRORS
//	                              │   │                     │                 FAILED
//	                              │   │ compensate: back    │                   │
//	                              │   └──► to what it was ──┤                   │
//	                              └─────────────────────────┴───────────────────┘
//
// An initiation that is compensated closes FAILED, refunded, every file failed.
//
// # A file
//
//	pending ──claim──► processing ──settle──► completed (final) | error (final) | failed
//	   ▲                    │                                                       │
//	   ├──lease expired, ───┘                                                       │
//	   │  cancel, release,                                                          │
//	   │  a fault of ours                                                           │
//	   └──────────────────────────Continue (retryAttempt + 1)───────────────────────┘
//
// # What always holds
//
// The numbers are those of the specification, docs/spec.md (spec 10).
//
//	I1  balances are what the ledger's entries add up to, and never negative
//	I2  a run's creditsConsumed is its two parts together, and its charges less its refunds
//	I3  at most one charge per attempt, of exactly its failed files × price
//	I4  at most one refund per charge, equal to its split, to its period; by hand in
//	    parts, together at most its split
//	I5  the charge that covers a pending or processing file stands
//	I6  0 ≤ freeRetries ≤ retryAttempt, and retryAttempt - freeRetries ≤ maxRetryCount
//	I7  completedJobs + failedJobs ≤ attemptJobs ≤ totalJobs; an attempt closes once
//	I8  a result is recorded at most once per (file, epoch); completed and error are final
//	I12 each charge's work was executed, is still pending, or was refunded
//
// I9 (of concurrent Continues one wins) and I10 (tenants are isolated) are kept by
// the store's locks and WHERE clauses, I11 (every run closes) by recovery.
package core
