package mutants

// recoveryBugs are about recovery and cancelling.
var recoveryBugs = []Bug{
	{
		Name: "lease-ignored", What: "recovery takes files from workers whose leases hold",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\t\tcase f.Status == FileProcessing && f.LeaseUntil.After(now):\n",
			As:   "\t\tcase f.Status == FileProcessing && f.LeaseUntil.After(now) && !{on}:\n",
		}},
	},
	{
		Name: "expired-lease-ignored", What: "recovery waits for workers that are dead",
		Mirrors: "river 1258",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\t\tcase f.Status == FileProcessing:\n",
			As:   "\t\tcase f.Status == FileProcessing && {on}:\n{old}",
		}},
	},
	{
		Name: "recovery-keeps-epoch", What: "a file whose lease ran out is dispatched again under its old epoch, so its worker is not fenced",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "f.toPending(expiredEpoch, &p.Run)",
			As:   "f.toPending(planted.If({on}, f.Epoch, expiredEpoch), &p.Run)",
		}},
	},
	{
		Name: "redispatch-under-unsaved-epoch", What: "waiting files are sent again under a new epoch that their rows do not have",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\t\tcase resend:\n",
			As:   "{old}\t\t\tif {on} {\n\t\t\t\tf.Epoch = p.Run.Epoch + 1\n\t\t\t}\n",
		}},
	},
	{
		Name: "unconfirmed-not-resent", What: "recovery leaves alone what was committed and never enqueued",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\tresend := p.Run.resendDue(now, policy)\n",
			As:   "{old}\tif {on} && run.Dispatch == DispatchUnconfirmed {\n\t\tresend = false\n\t}\n",
		}},
	},
	{
		Name: "lost-message-not-resent", What: "recovery trusts the queue with what was enqueued once",
		Mirrors: "bullmq 3362",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\tresend := p.Run.resendDue(now, policy)\n",
			As:   "{old}\tif {on} && run.Dispatch == DispatchConfirmed {\n\t\tresend = false\n\t}\n",
		}},
	},
	{
		Name: "redelivery-not-counted", What: "recovery does not count how often a file's lease ran out",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "\t\t\tf.Redeliveries++\n",
			As:   "\t\t\tif !{on} {\n{old}\t\t\t}\n",
		}},
	},
	{
		Name: "gives-up-without-closing", What: "recovery gives up on a run and leaves it RUNNING",
		Mirrors: "river 1258",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "givenUp+interrupted == p.Run.Tally.Unfinished",
			As:   "{old} && !{on}",
		}},
	},
	{
		Name: "gives-up-too-soon", What: "recovery closes a run when it has given up on any file, also while others are under way",
		Edits: []Edit{{
			File: "core/recover.go",
			Old:  "givenUp+interrupted == p.Run.Tally.Unfinished",
			As:   "({on} && givenUp > 0 || {old})",
		}},
	},
	{
		Name: "recovery-without-lock", What: "recovery decides on a run that it has not locked",
		Edits: []Edit{{
			File: "core/app/recover.go",
			Old:  "\t\tif err != nil || len(free) == 0 {\n",
			As: `		if {on} {
			run, err := tx.Runs().Get(ctx, key.Run)
			if err != nil {
				return err
			}
			free = []ports.RunRows{{Run: run}}
		}
{old}`,
		}, {
			File: "core/app/recover.go",
			Old:  "tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: key.Run})",
			As:   "tx.Runs().Lock(ctx, ports.SkipLocked, planted.If({on}, nil, []ports.FilesOf{{Run: key.Run}})...)",
		}},
	},
	{
		Name: "recovery-refunds", What: "recovery undoes and refunds an attempt that was not confirmed in time, although its jobs may be out",
		Edits: []Edit{{
			File: "core/app/recover.go",
			Old:  "\t\tunfinished, err := tx.Files().InStatus(ctx, run.ID, core.FilePending, core.FileProcessing)\n",
			As: `		if {on} && core.Compensable(run, run.Attempt) && now.Sub(run.DispatchedAt) > s.opts.Recovery.DispatchGrace {
			_, err := s.undo(ctx, tx, run, dispatch{run: run, attempt: run.Attempt})
			return err
		}
{old}`,
		}},
	},
	{
		Name: "cancel-leaves-processing", What: "a cancel leaves the files that workers hold processing, so they are never continued",
		Edits: []Edit{{
			File: "core/interrupt.go",
			Old:  "\t\tif f.Status != FileProcessing {\n",
			As:   "\t\tif {on} || f.Status != FileProcessing {\n",
		}},
	},
	{
		Name: "cancel-keeps-epoch", What: "a cancel does not fence the workers, whose results may come when the run was continued",
		Edits: []Edit{{
			File: "core/interrupt.go",
			Old:  "f.toPending(epoch, &p.Run)",
			As:   "f.toPending(planted.If({on}, f.Epoch, epoch), &p.Run)",
		}},
	},
	{
		Name: "cancel-without-lock", What: "a cancel reads the run without locking it",
		Edits: []Edit{{
			File: "core/app/cancel.go",
			Old:  "\t\trun, err := ports.LockRun(ctx, tx, id)\n",
			As: `		read := ports.LockRun
		if {on} {
			read = func(ctx context.Context, tx ports.RunTx, id core.RunID) (core.Run, error) { return tx.Runs().Get(ctx, id) }
		}
		run, err := read(ctx, tx, id)
`,
		}},
	},
	{
		Name: "raise-without-lock", What: "raising maxRetryCount reads the run without locking it",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "\t\trun, err := ports.LockRun(ctx, tx, id)\n\t\tif err != nil {\n\t\t\treturn notFound(err, runNotFound(id))\n\t\t}\n\t\tvar amendment",
			As: `		read := ports.LockRun
		if {on} {
			read = func(ctx context.Context, tx ports.RunTx, id core.RunID) (core.Run, error) { return tx.Runs().Get(ctx, id) }
		}
		run, err := read(ctx, tx, id)
		if err != nil {
			return notFound(err, runNotFound(id))
		}
		var amendment`,
		}},
	},
	{
		Name: "due-is-not-asked-again", What: "recovery does not ask under the run's lock whether the run is still due",
		Edits: []Edit{{
			File: "core/app/recover.go",
			Old:  "\t\tif !core.RecoveryDue(run, now, s.opts.Recovery.Horizon()) {\n",
			As:   "\t\tif !core.RecoveryDue(run, now, s.opts.Recovery.Horizon()) && !{on} {\n",
		}},
	},
}
