package mutants

// workBugs are about claims, executions and results.
var workBugs = []Bug{
	{
		Name: "fan-in-total-jobs", What: "fan-in waits for all jobs of the run, also after a partial retry",
		Mirrors: "dagster 19490, bullmq 3362",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "p.Run.AttemptJobs {",
			As:   "planted.If({on}, p.Run.TotalJobs, p.Run.AttemptJobs) {",
		}},
	},
	{
		Name: "status-of-last-attempt", What: "the closing status comes from the jobs of the last attempt alone",
		Edits: []Edit{{
			File: "core/run.go",
			Old:  "\tswitch t := r.Tally; {\n",
			As: `	if {on} {
		switch {
		case r.FailedJobs == 0:
			return r.close(RunCompleted, ReasonNone, now)
		case r.CompletedJobs == 0:
			return r.close(RunFailed, ReasonNone, now)
		default:
			return r.close(RunCompletedWithErrors, ReasonNone, now)
		}
	}
{old}`,
		}},
	},
	{
		Name: "batch-counts-files", What: "the one job of a batch run counts once for each of its files",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\t\tp.Run.CompletedJobs++\n",
			New:  "\t\t\tp.Run.CompletedJobs += len(held.processing)\n",
		}},
	},
	{
		Name: "batch-completes-in-part", What: "a batch job counts as completed if its last file is",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\t\theld.allCompleted = held.allCompleted && f.Status == FileCompleted\n",
			New:  "\t\t\theld.allCompleted = f.Status == FileCompleted\n",
		}},
	},
	{
		Name: "settle-any-epoch", What: "a result is recorded without asking whether its worker still holds the file",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\theld, reason := matchHeld(p.Run, s.Job, &rows)\n",
			As: `		if f := rows.at(s.Job.Files[0]); {on} && f != nil {
			s.Job.Epoch = f.Epoch
		}
{old}`,
		}},
	},
	{
		Name: "renew-any-epoch", What: "a renewal extends the lease of whoever holds the file by now",
		Edits: []Edit{{
			File: "core/lease.go",
			Old:  "\t\theld, reason := matchHeld(run, job, &rows)\n\t\tif reason != \"\" {\n\t\t\tp.Lost",
			As: `		if f := rows.at(job.Files[0]); {on} && f != nil {
			job.Epoch = f.Epoch
		}
{old}`,
		}},
	},
	{
		Name: "hand-back-any-epoch", What: "a worker gives back a file that another one holds by now",
		Edits: []Edit{{
			File: "core/lease.go",
			Old:  "\t\theld, reason := matchHeld(run, job, &rows)\n\t\tif reason != \"\" {\n\t\t\tp.Dropped",
			As: `		if f := rows.at(job.Files[0]); {on} && f != nil {
			job.Epoch = f.Epoch
		}
{old}`,
		}},
	},
	{
		Name: "hand-back-keeps-epoch", What: "a job that is handed back keeps its epoch, so its worker is not fenced",
		Edits: []Edit{{
			File: "core/lease.go",
			Old:  "\t\tjob.Epoch = p.Run.nextEpoch()\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "hand-back-not-enqueued", What: "a job that is handed back is not enqueued, and waits until recovery comes by",
		Edits: []Edit{{
			File: "core/app/lease.go",
			Old:  "\t\tif len(p.Jobs) > 0 && !sent {\n\t\t\treturn",
			As:   "\t\tif len(p.Jobs) > 0 && !sent && !{on} {\n\t\t\treturn",
		}},
	},
	{
		Name: "claim-any-epoch", What: "a job of an older epoch can claim its files",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\t\tcase f.Epoch != job.Epoch:\n\t\t\treturn nil, DropStaleEpoch\n",
			As:   "\t\tcase f.Epoch != job.Epoch && !{on}:\n\t\t\treturn nil, DropStaleEpoch\n",
		}},
	},
	{
		Name: "claim-closed-run", What: "files of a run that was cancelled can still be claimed",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\tcase run.Status != RunRunning:\n",
			As:   "\tcase run.Status != RunRunning && !{on}:\n",
		}},
	},
	{
		Name: "claim-does-not-confirm", What: "a claim does not end the time in which the attempt can be refunded",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\tif len(p.Claimed) > 0 && run.Dispatch != DispatchConfirmed {\n",
			As:   "\tif len(p.Claimed) > 0 && run.Dispatch != DispatchConfirmed && !{on} {\n",
		}},
	},
	{
		Name: "claim-without-lease", What: "a claim sets no lease",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\t\t\tf.LeaseUntil = now.Add(lease)\n",
			As:   "\t\t\tif !{on} {\n{old}\t\t\t}\n",
		}},
	},
	{
		Name: "claimed-after-rerun", What: "a claim whose transaction the store runs again is in the worker's hands twice",
		Edits: []Edit{{
			File: "core/app/jobs.go",
			Old:  "\td.plans, d.left = nil, nil\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "ack-before-claim", What: "a delivery is acked before it is claimed",
		Edits: []Edit{{
			File: "core/app/work.go",
			Old:  "\tclaimed, _, err := s.Claim(ctx, jobs[:1], WaitForLock)\n",
			As:   "\tif {on} {\n\t\t_ = d.Ack(ctx)\n\t}\n{old}",
		}},
	},
	{
		Name: "ack-failed-claim", What: "a delivery is acked although its claim failed",
		Edits: []Edit{{
			File: "core/app/work.go",
			Old:  "\t\treturn errors.Join(err, d.Nack(detached(ctx)))\n",
			New:  "\t\treturn errors.Join(err, d.Ack(ctx))\n",
		}},
	},
	{
		Name: "nack-what-has-no-effect", What: "a delivery that claims nothing is nacked, and comes back for ever",
		Edits: []Edit{{
			File: "core/app/work.go",
			Old:  "\tif err := d.Ack(ctx); err != nil {\n",
			As:   "\tif {on} && len(claimed) == 0 {\n\t\treturn d.Nack(ctx)\n\t}\n{old}",
		}},
	},
	{
		Name: "in-job-retry-of-all", What: "an in-job retry executes the files again that have ended",
		Edits: []Edit{{
			File: "core/app/execute.go",
			Old:  "\t\ttask.Files = again\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "no-answer-is-success", What: "a file that the executor gave no result for counts as completed",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "Index: index, Outcome: OutcomeTransient,",
			As:   "Index: index, Outcome: planted.If({on}, OutcomeCompleted, OutcomeTransient),",
		}},
	},
	{
		Name: "transient-is-permanent", What: "a transient failure makes the file error, so that it can never be continued",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\tcase OutcomeTransient:\n",
			As:   "{old}\t\tif {on} {\n\t\t\tstatus = FileError\n\t\t}\n",
		}},
	},
	{
		Name: "result-for-any-status", What: "a result is recorded without asking whether the file is still processing",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\t\tcase f.Status == FileProcessing:\n",
			As:   "\t\tcase f.Status == FileProcessing || {on}:\n",
		}},
	},
	{
		Name: "closes-twice", What: "a late result closes a run once more",
		Mirrors: "celery 1401, sidekiq 4607",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\t\tp.Dropped = append(p.Dropped, Drop{s.Job, reason})\n",
			As: `{old}			if {on} && p.Run.Status.Closed() && p.Run.CompletedJobs+p.Run.FailedJobs == p.Run.AttemptJobs {
				p.Run.ClosedAt = now
				p.Settled = append(p.Settled, s.Job)
			}
`,
		}, {
			File: "core/app/settle.go",
			Old:  "FilesOnly: !p.Changed()",
			As:   "FilesOnly: !p.Changed() && !({on} && len(p.Settled) > 0)",
		}},
	},
}
