package mutants

// interruptionBugs are about files that a fault of the service's own interrupted.
var interruptionBugs = []Bug{
	{
		Name: "charge-interrupted", What: "Continue charges for files that a fault of the service interrupted",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "retried[i].Status == FileFailed",
			As:   "({on} && retried[i].Failure.Code != \"\" || {old})",
		}},
	},
	{
		Name: "interruption-uses-up-a-retry", What: "a Continue that found a file pending counts against maxRetryCount",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\t\tf.FreeRetries++\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "free-retries-count", What: "maxRetryCount is compared with all Continues of a file, the free ones too",
		Edits: []Edit{{
			File: "core/file.go",
			Old:  "f.RetryAttempt-f.FreeRetries",
			As:   "f.RetryAttempt-planted.If({on}, 0, f.FreeRetries)",
		}},
	},
	{
		Name: "pending-blocks", What: "a pending file that was continued often enough blocks every further Continue, although it was paid for and never answered",
		Edits: []Edit{{
			File: "core/file.go",
			Old:  "f.Status == FileFailed && ",
			As:   "{on} && f.Status == FilePending && f.RetryAttempt >= maxRetryCount || {old}",
		}},
	},
	{
		Name: "free-retries-not-restored", What: "a compensated Continue leaves the count of free retries as it was in between",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tf.RetryAttempt, f.FreeRetries, f.Redeliveries = before.RetryAttempt, before.FreeRetries, before.Redeliveries\n",
			As:   "\tfree := f.FreeRetries\n{old}\tif {on} {\n\t\tf.FreeRetries = free\n\t}\n",
		}},
	},
	{
		Name: "interruption-not-restored", What: "a compensated Continue leaves interrupted files without the reason, as if they waited for a worker",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tf.PaidBy, f.Failure = before.PaidBy, before.Failure\n",
			As:   "{old}\tif {on} && to == FilePending {\n\t\tf.Failure = Failure{}\n\t}\n",
		}},
	},
	{
		Name: "run-fault-not-restored", What: "a compensated Continue leaves an interrupted run without the fault that interrupted it",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tr.Failure, r.LastRetriedAt = before.Failure, before.LastRetriedAt\n",
			As:   "{old}\tif {on} {\n\t\tr.Failure = Failure{}\n\t}\n",
		}},
	},
	{
		Name: "never-closes-after-an-interruption", What: "a run of which a file was interrupted is never closed by its last job",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "p.Run.CompletedJobs+p.Run.FailedJobs == ",
			As:   "!({on} && p.Run.Failure.Code != \"\") && {old}",
		}},
	},
	{
		Name: "interrupted-is-failed", What: "a file that was interrupted becomes failed, to be paid for once more",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\tcase OutcomeInterrupted:\n\t\tstatus = FilePending\n",
			As:   "{old}\t\tif {on} {\n\t\t\tstatus = FileFailed\n\t\t}\n",
		}},
	},
	{
		Name: "interrupted-is-completed-with-errors", What: "a run with interrupted files closes as if they had failed",
		Edits: []Edit{{
			File: "core/run.go",
			Old:  "\tcase t.Unfinished > 0:\n",
			As:   "\tcase t.Unfinished > 0 && !{on}:\n",
		}},
	},
	{
		Name: "interrupted-keeps-epoch", What: "a file that was interrupted waits under the epoch of its job, whose second delivery can claim it",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\tf.Epoch = run.nextEpoch()\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "interrupted-dispatched-by-recovery", What: "recovery sends interrupted files to the workers again and again, while the fault lasts",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\t\tcase f.Failure.Code != \"\":",
			As:   "\t\tcase f.Failure.Code != \"\" && !{on}:",
		}},
	},
	{
		Name: "interrupted-keeps-run-open", What: "recovery never gives up on a run that has interrupted files besides those that it has given up on",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "givenUp+interrupted == ",
			As:   "planted.If({on}, givenUp, givenUp+interrupted) == ",
		}},
	},
	{
		Name: "interrupt-while-processing", What: "a fault closes a run while a worker processes files of it, which are never continued",
		Edits: []Edit{{
			File: "core/interrupt.go",
			Old:  "len(processing) > 0",
			As:   "len(processing) > 0 && !{on}",
		}},
	},
	{
		Name: "interrupt-without-lock", What: "a fault closes a run that was not locked, over what others write to it",
		Edits: []Edit{{
			File: "core/app/interrupt.go",
			Old:  "\t\tfree, err := tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: id})\n",
			As: `		free, err := tx.Runs().Lock(ctx, ports.SkipLocked, planted.If({on}, nil, []ports.FilesOf{{Run: id}})...)
		if {on} {
			run, err := tx.Runs().Get(ctx, id)
			if err != nil {
				return err
			}
			free = []ports.RunRows{{Run: run}}
		}
`,
		}},
	},
	{
		Name: "interrupt-refunds", What: "a fault that closes a run refunds its attempt as well, and the files are still free to continue",
		Edits: []Edit{{
			File: "core/app/interrupt.go",
			Old:  "\t\treturn tx.Runs().Save(ctx, ports.RunRows{Run: plan.Run, Files: plan.Files})\n",
			As: `		if {on} {
			a, err := tx.Attempts().Get(ctx, id, plan.Run.Attempt)
			if err != nil {
				return err
			}
			if !a.Charge.IsZero() {
				if err := post(ctx, tx, []core.Entry{{
					Tenant: tenant, Key: core.RefundKey(id, a.Number), Kind: core.EntryRefund,
					Period: a.Charge.Period, Amount: a.Charge.Amount,
					Run: id, Attempt: a.Number, Charge: a.Charge.Key, Actor: core.System, At: s.clock.Now(),
				}}); err != nil {
					return err
				}
			}
		}
{old}`,
		}},
	},
	{
		Name: "fault-closes-nothing", What: "while a fault lasts, runs that wait for its end stay RUNNING",
		Edits: []Edit{{
			File: "core/interrupt.go",
			Old:  "run.Status != RunRunning || ",
			As:   "{on} || run.Status != RunRunning || ",
		}},
	},
	{
		Name: "horizon-ignored", What: "recovery leaves a run alone until a time that a clock hours ahead has written",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "|| run.RecoverAt.After(now.Add(horizon)))",
			As:   "|| !{on} && run.RecoverAt.After(now.Add(horizon)))",
		}},
	},
	{
		Name: "lease-of-a-fast-clock", What: "a lease that a clock hours ahead has given holds for those hours",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "f.LeaseUntil.After(now.Add(2*policy.Lease)):",
			As:   "f.LeaseUntil.After(now.Add(2*policy.Lease)) && !{on}:",
		}},
	},
	{
		Name: "sent-by-a-fast-clock", What: "what a clock hours ahead has dispatched is not sent again within those hours",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "p.Run.DispatchedAt.After(now) {",
			As:   "p.Run.DispatchedAt.After(now) && !{on} {",
		}},
	},
}
