package mutants

// retryBugs are about what a Continue runs again, and what undoes it.
var retryBugs = []Bug{
	{
		Name: "pending-skipped", What: "Continue runs the failed files only, and interrupted ones are left behind",
		Mirrors: "dagster 19490",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\treturn in.tx.Files().InStatus(ctx, run, core.FileFailed, core.FilePending)\n",
			New:  "\treturn in.tx.Files().InStatus(ctx, run, core.FileFailed)\n",
		}},
	},
	{
		Name: "completed-retried", What: "Continue runs completed files again and resets what had succeeded",
		Mirrors: "argo 14803, airflow 64526",
		Edits: []Edit{
			{
				File: "core/app/retry.go",
				Old:  "\ttemplate, err := in.template(ctx, run.Template)\n",
				As: `	if own, alone := in.(ownInputs); alone && {on} {
		completed, err := own.tx.Files().InStatus(ctx, run.ID, core.FileCompleted)
		if err != nil {
			return nil, core.Template{}, err
		}
		files = append(files, completed...)
	}
{old}`,
			},
			{
				File: "core/file.go",
				Old:  "s == FileFailed || s == FilePending",
				As:   "{old} || {on} && s == FileCompleted",
			},
			{
				File: "core/file.go",
				Old:  "\tcase FileCompleted, FileError:\n",
				As:   "{old}\t\tif {on} {\n\t\t\treturn s == FileCompleted && to == FilePending\n\t\t}\n",
			},
		},
	},
	{
		Name: "error-retried", What: "Continue runs files with a permanent error again",
		Edits: []Edit{
			{
				File: "core/app/retry.go",
				Old:  "\ttemplate, err := in.template(ctx, run.Template)\n",
				As: `	if own, alone := in.(ownInputs); alone && {on} {
		permanent, err := own.tx.Files().InStatus(ctx, run.ID, core.FileError)
		if err != nil {
			return nil, core.Template{}, err
		}
		files = append(files, permanent...)
	}
{old}`,
			},
			{
				File: "core/file.go",
				Old:  "s == FileFailed || s == FilePending",
				As:   "{old} || {on} && s == FileError",
			},
			{
				File: "core/file.go",
				Old:  "\tcase FileCompleted, FileError:\n",
				As:   "{old}\t\tif {on} {\n\t\t\treturn s == FileError && to == FilePending\n\t\t}\n",
			},
		},
	},
	{
		Name: "maxed-left-out", What: "files that have used their retries are left out instead of refusing the whole Continue",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tif len(retried) == 0 {\n",
			As: `	if {on} {
		retried = slices.DeleteFunc(retried, func(f File) bool { return f.Maxed(run.MaxRetryCount) })
		maxed = nil
	}
{old}`,
		}},
	},
	{
		Name: "max-retry-off-by-one", What: "a file may be continued once more than maxRetryCount",
		Edits: []Edit{{
			File: "core/file.go",
			Old:  ">= maxRetryCount\n",
			As:   ">= planted.If({on}, maxRetryCount+1, maxRetryCount)\n",
		}},
	},
	{
		Name: "retry-attempt-of-failed-only", What: "retryAttempt is counted for charged files only, so interrupted ones can be continued for ever",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tf.RetryAttempt++\n",
			New:  "\tif record.Before.Status == FileFailed {\n\t\tf.RetryAttempt++\n\t}\n",
		}},
	},
	{
		Name: "deleted-template-refuses", What: "Continue is refused once the template was soft-deleted",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "\treturn files, template, nil\n",
			As: `	if {on} && template.Deleted() {
		return nil, core.Template{}, &core.Error{Code: core.CodeTemplateDeleted, Message: "the template was deleted"}
	}
{old}`,
		}},
	},
	{
		Name: "counters-not-reset", What: "Continue counts on from the jobs of the attempt before",
		Mirrors: "bullmq 3362",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\trun.Attempt, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = n, len(jobs), 0, 0\n",
			New:  "\trun.Attempt, run.AttemptJobs = n, len(jobs)\n",
		}},
	},
	{
		Name: "attempt-jobs-is-total", What: "an attempt is expected to have all jobs of the run",
		Mirrors: "bullmq 3362",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\trun.Attempt, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = n, len(jobs), 0, 0\n",
			As:   "{old}\tif {on} {\n\t\trun.AttemptJobs = run.TotalJobs\n\t}\n",
		}},
	},
	{
		Name: "continue-keeps-epoch", What: "Continue dispatches under the epoch of the attempt before, whose late messages and workers are not fenced",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tepoch := run.nextEpoch()\n",
			As:   "\tepoch := run.Epoch\n\tif !{on} {\n\t\tepoch = run.nextEpoch()\n\t}\n",
		}},
	},
	{
		Name: "redeliveries-kept", What: "leases that ran out in an earlier attempt count against the next one",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tf.Redeliveries, f.Failure = 0, Failure{}\n",
			New:  "\tf.Failure = Failure{}\n",
		}},
	},
	{
		Name: "batch-retried-per-file", What: "Continue of a batch run makes one job a file",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tjobs, err := JobsOf(run, retried)\n",
			As: `	shape := run
	if {on} {
		shape.Mode = ModePerFile
	}
	jobs, err := JobsOf(shape, retried)
`,
		}},
	},
	{
		Name: "first-jobs-input", What: "every job gets the first job's file",
		Mirrors: "hatchet PR 1337",
		Edits: []Edit{{
			File: "core/job.go",
			Old:  "Files: indexes[i : i+1 : i+1],",
			As:   "Files: planted.If({on}, indexes[:1:1], indexes[i:i+1:i+1]),",
		}},
	},
	{
		Name: "compensate-keeps-epoch", What: "a compensation gives out no new epoch, so a job that got out nevertheless can be claimed",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tepoch := run.nextEpoch()\n",
			As:   "\tepoch := run.Epoch\n\tif !{on} {\n\t\tepoch = run.nextEpoch()\n\t}\n",
		}},
	},
	{
		Name: "retry-attempt-not-restored", What: "a compensated Continue still costs each file one of its retries",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tf.RetryAttempt, f.FreeRetries, f.Redeliveries = before.RetryAttempt, before.FreeRetries, before.Redeliveries\n",
			As:   "\tretried := f.RetryAttempt\n{old}\tif {on} {\n\t\tf.RetryAttempt = retried\n\t}\n",
		}},
	},
	{
		Name: "paid-by-not-restored", What: "after a compensation files are still paid for by the attempt that was refunded",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tf.PaidBy, f.Failure = before.PaidBy, before.Failure\n",
			As:   "\tpaidBy := f.PaidBy\n{old}\tif {on} {\n\t\tf.PaidBy = paidBy\n\t}\n",
		}},
	},
	{
		Name: "counters-not-restored", What: "a compensation leaves the run with the counters of the attempt that it undid",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tr.AttemptJobs, r.CompletedJobs, r.FailedJobs = before.AttemptJobs, before.CompletedJobs, before.FailedJobs\n",
			New:  "\tr.AttemptJobs = before.AttemptJobs\n",
		}},
	},
	{
		Name: "attempt-number-reused", What: "a compensated attempt gives its number back, and with it the keys of its charge and refund",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tr.Failure, r.LastRetriedAt = before.Failure, before.LastRetriedAt\n",
			As:   "{old}\tif {on} {\n\t\tr.Attempt--\n\t}\n",
		}},
	},
}
