package metrics

import (
	"cmp"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
)

// What has not happened yet is there as 0, so that an alert on an increase sees the first
// one.
var (
	runOutcomes = []app.RunOutcome{
		{Status: core.RunCompleted},
		{Status: core.RunCompletedWithErrors},
		{Status: core.RunFailed},
		{Status: core.RunFailed, Reason: core.ReasonDispatchFailed},
		{Status: core.RunInterrupted, Reason: core.ReasonCancelled},
		{Status: core.RunInterrupted, Reason: core.ReasonRedeliveriesExhausted},
		{Status: core.RunInterrupted, Reason: core.ReasonServiceFault},
	}
	fileOutcomes = []app.FileOutcome{{Status: core.FileCompleted}}
)

func ofService(out sink, s app.Stats, o app.Outcomes) {
	const attempts = "Attempts that began: initiations and Continues."
	out.count("attempts_total", attempts, o.Initiated, "kind", "initiation")
	out.count("attempts_total", attempts, o.Continued, "kind", "continue")
	runs := o.Runs
	for _, is := range runOutcomes {
		if _, there := runs[is]; !there {
			ofRuns(out, is, 0)
		}
	}
	for is, n := range runs {
		ofRuns(out, is, n)
	}
	for _, is := range fileOutcomes {
		if _, there := o.Files[is]; !there {
			ofFiles(out, is, 0)
		}
	}
	for is, n := range o.Files {
		ofFiles(out, is, n)
	}
	out.count("files_claimed_total", "Files that a worker began with.", o.ClaimedFiles)
	out.count("credits_charged_total", "Credits that initiations and Continues were charged.", o.CreditsCharged)
	out.count("credits_refunded_total", "Credits that went back because enqueueing failed.", o.CreditsRefunded)

	out.count("compensations_total", "Attempts that were undone and refunded because enqueueing failed.", s.Compensated)
	out.count("compensation_failures_total", "Attempts that could not be undone; recovery finishes them.", s.CompensationFailures)
	out.count("dispatches_unconfirmed_total", "Dispatches whose bookkeeping failed; recovery repeats them.", s.Unconfirmed)
	out.count("dropped_total", "Jobs, leases and results that came late or twice and had no effect.", s.Dropped)
	out.count("leases_expired_total", "Leases that ran out: a worker died or lost the database.", s.ExpiredLeases)
	out.count("jobs_redispatched_total", "Jobs that recovery sent again.", s.Redispatched)
	out.count("executor_panics_total", "Panics of the executor.", s.ExecutorPanics)
	out.count("uploads_swept_total", "Uploads that became no run and were removed.", s.SweptUploads)
}

func ofRuns(out sink, is app.RunOutcome, n int64) {
	out.count("runs_closed_total", "Attempts that closed their run, by its status and, if its results did not decide it, why.", n,
		"status", string(is.Status), "reason", cmp.Or(string(is.Reason), "results"))
}

func ofFiles(out sink, is app.FileOutcome, n int64) {
	outcome := string(is.Status)
	if is.Status == core.FilePending {
		outcome = "interrupted"
	}
	out.count("files_settled_total", "Files whose results were recorded: completed, failed (charged if continued), error (never continued) or interrupted (free), by the failure's code.", n,
		"outcome", outcome, "reason", cmp.Or(is.Reason, "none"))
}

func ofWorker(out sink, s worker.Stats) {
	const jobs, help = "worker_jobs", "Jobs in this server: on their way to a claim, waiting for a limit, being executed, or waiting to be recorded."
	out.gauge(jobs, help, float64(s.Waiting), "state", "claiming")
	out.gauge(jobs, help, float64(s.Parked), "state", "parked")
	out.gauge(jobs, help, float64(s.Running), "state", "running")
	out.gauge(jobs, help, float64(s.Unsaved), "state", "unsaved")
	out.count("worker_jobs_received_total", "Jobs that the queue delivered.", s.Received)
	out.count("worker_jobs_released_total", "Jobs that were passed on at once, for want of a place or at a stop.", s.Released)
	out.count("worker_jobs_nacked_total", "Jobs that went back to the queue for later.", s.Nacked)
	out.count("worker_jobs_claimed_total", "Jobs that were claimed.", s.Claimed)
	out.count("worker_jobs_settled_total", "Jobs whose results were recorded.", s.Settled)
	out.count("worker_jobs_handed_back_total", "Jobs that were handed back: the provider was down, or the server stopped.", s.HandedBack)
	out.count("worker_leases_lost_total", "Jobs that were stopped because their lease was lost.", s.LostLeases)
	const groups = "Transactions of the workers."
	out.count("worker_transactions_total", groups, s.ClaimGroups, "kind", "claim")
	out.count("worker_transactions_total", groups, s.SettleGroups, "kind", "settle")
	out.count("worker_transactions_total", groups, s.RenewGroups, "kind", "renew")
	out.count("worker_panics_total", "Panics outside of the executor.", s.Panics)
	out.count("breaker_openings_total", "Outages of providers that began.", s.BreakerOpened)
	out.count("breaker_closings_total", "Outages of providers that are over.", s.BreakerClosed)
	for _, b := range s.Breakers {
		open := 0.0
		if b.State != "closed" {
			open = 1
		}
		out.gauge("breaker_open", "Whether jobs of a provider, or of one of its templates, are kept back.", open, "endpoint", b.Endpoint)
		out.gauge("breaker_templates_open", "Templates whose jobs are kept back.", float64(len(b.Circuits)), "endpoint", b.Endpoint)
	}
}
