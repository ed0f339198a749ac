// Package metrics gives what a server of Redrive counts to Prometheus.
//
// Counters are those of one process since its start; the queue's depth is that of all
// servers together if they share it. No label has a tenant, a run or whatever else grows
// with use: routes, statuses, reasons and providers are few, and the reasons that executors
// make up are bounded by core/app. The names are in the package's tests and in
// docs/operations.md with the alerts that one wants of them.
package metrics
