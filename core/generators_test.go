package core_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// anyCredits draws amounts from the whole range, often its ends.
func anyCredits() *rapid.Generator[core.Credits] {
	return rapid.Custom(func(t *rapid.T) core.Credits {
		return core.Credits(rapid.OneOf(
			rapid.Int64Range(-3, 50),
			rapid.Int64(),
			rapid.SampledFrom([]int64{int64(maxC), int64(maxC) - 1, int64(maxC) / 2, int64(minC)}),
		).Draw(t, "credits"))
	})
}

func anyInstant() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		seconds := rapid.Int64Range(0, 4_000_000_000).Draw(t, "seconds")
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
		return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(zone)
	})
}

func anyMode() *rapid.Generator[core.Mode] {
	return rapid.SampledFrom([]core.Mode{core.ModePerFile, core.ModeBatch})
}

func anyOutcome() *rapid.Generator[core.Outcome] {
	return rapid.SampledFrom([]core.Outcome{core.OutcomeCompleted, core.OutcomeCompleted, core.OutcomeTransient, core.OutcomePermanent, core.OutcomeInterrupted})
}

// drawFiles draws a run's rows in any mixture of these statuses. The waiting files of a
// batch run share one epoch, as in a real run.
func drawFiles(t *rapid.T, mode core.Mode, statuses ...core.FileStatus) []core.File {
	n := rapid.IntRange(1, 8).Draw(t, "files")
	waiting := core.Epoch(rapid.Int64Range(1, 9).Draw(t, "epoch"))
	files := make([]core.File, n, n+2)
	for i := range files {
		f := file(i, rapid.SampledFrom(statuses).Draw(t, "status"))
		f.RetryAttempt = rapid.IntRange(0, 4).Draw(t, "retryAttempt")
		f.FreeRetries = rapid.IntRange(max(0, f.RetryAttempt-2), f.RetryAttempt).Draw(t, "freeRetries")
		if f.Status == core.FilePending && mode == core.ModePerFile && rapid.IntRange(0, 3).Draw(t, "interrupted") == 0 {
			f.Failure = core.Failure{Code: core.FailureUnauthorized, Message: "refused"}
		}
		f.Redeliveries = rapid.IntRange(0, 3).Draw(t, "redeliveries")
		f.PaidBy = core.AttemptNumber(rapid.IntRange(0, 4).Draw(t, "paidBy"))
		f.Epoch = waiting
		if mode == core.ModePerFile {
			f.Epoch = core.Epoch(rapid.Int64Range(1, 9).Draw(t, "epoch"))
		}
		if f.Status == core.FileProcessing && mode == core.ModePerFile {
			f.LeaseUntil = t0.Add(time.Duration(rapid.IntRange(-90, 90).Draw(t, "lease")) * time.Second)
		}
		files[i] = f
	}
	return files
}

// drawHistory gives a run numbers as after many attempts.
func drawHistory(t *rapid.T, r core.Run) core.Run {
	r.Attempt = core.AttemptNumber(rapid.IntRange(4, 9).Draw(t, "attempt"))
	r.Epoch = core.Epoch(rapid.Int64Range(9, 20).Draw(t, "runEpoch"))
	r.CreditsFromMonthly = core.Credits(rapid.Int64Range(0, 1000).Draw(t, "fromMonthly"))
	r.CreditsFromPurchased = core.Credits(rapid.Int64Range(0, 1000).Draw(t, "fromPurchased"))
	r.CreditsConsumed = r.CreditsFromMonthly + r.CreditsFromPurchased
	r.LastRetriedAt = t0.Add(-time.Duration(rapid.IntRange(1, 1000).Draw(t, "lastRetried")) * time.Second)
	r.Redispatches = rapid.IntRange(0, 5).Draw(t, "redispatches")
	r.DispatchedAt = t0.Add(-time.Duration(rapid.IntRange(0, 7200).Draw(t, "dispatched")) * time.Second)
	r.Dispatch = rapid.SampledFrom([]core.DispatchState{core.DispatchConfirmed, core.DispatchUnconfirmed}).Draw(t, "dispatch")
	return r
}

// drawClosed draws a closed run and its rows, at least one of them to retry
// unless the run completed or only errors are left.
func drawClosed(t *rapid.T) (core.Run, []core.File) {
	mode := anyMode().Draw(t, "mode")
	files := drawFiles(t, mode, core.FilePending, core.FileCompleted, core.FileFailed, core.FileError)
	return drawHistory(t, closedOver(files, mode)), files
}

// drawRunning draws a running run and its rows, of which at least one is unfinished. Its
// counters allow every job that can still settle.
func drawRunning(t *rapid.T) (core.Run, []core.File) {
	mode := anyMode().Draw(t, "mode")
	statuses := fileStatuses
	if mode == core.ModeBatch { // its files are claimed and settled together
		statuses = []core.FileStatus{
			rapid.SampledFrom([]core.FileStatus{core.FilePending, core.FileProcessing}).Draw(t, "unfinished"),
			core.FileCompleted, core.FileFailed, core.FileError,
		}
	}
	files := drawFiles(t, mode, statuses...)
	files[0].Status, files[0].Failure, files[0].Output = statuses[0], core.Failure{}, ""
	if mode == core.ModeBatch {
		redeliveries := files[0].Redeliveries
		for i := range files {
			files[i].Redeliveries = redeliveries
			if files[i].Status == core.FileProcessing {
				files[i].LeaseUntil = t0.Add(lease)
			}
		}
	}
	return drawHistory(t, runningOver(files, mode)), files
}

// drawJobs draws deliveries for a run: right ones, stale ones, repeated ones,
// other runs' and ones for files that do not exist.
func drawJobs(t *rapid.T, r core.Run, files []core.File) []core.Job {
	n := rapid.IntRange(0, 6).Draw(t, "jobs")
	jobs := make([]core.Job, n, n+1)
	for i := range jobs {
		var of []core.File
		for _, f := range files {
			if !f.Status.Retriable() && f.Status != core.FileProcessing {
				continue
			}
			if r.Mode == core.ModeBatch || len(of) == 0 && rapid.Bool().Draw(t, "take") {
				of = append(of, f)
			}
		}
		job := core.Job{Tenant: r.Tenant, Run: r.ID, ID: core.BatchJobID(r.ID)}
		for _, f := range of {
			job.Epoch, job.Files = f.Epoch, append(job.Files, f.Index)
		}
		switch rapid.IntRange(0, 9).Draw(t, "spoil") {
		case 0:
			job.Epoch--
		case 1:
			job.Run = "run-2"
		case 2:
			job.Tenant = globex
		case 3:
			job.Files = append(job.Files, 99)
		}
		jobs[i] = job
	}
	return jobs
}

// shuffled gives the same rows in another order.
func shuffled(t *rapid.T, files []core.File) []core.File {
	return rapid.Permutation(files).Draw(t, "order")
}
