package mutants

// dispatchBugs are about what is between the decision and the queue.
var dispatchBugs = []Bug{
	{
		Name: "tenant-lock-first", What: "Continue locks the tenant's credits before the run, the other way round than everybody else",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "\t\trun, err := in.run(ctx, id)\n",
			As: `		if {on} {
			if _, _, err := in.credits(ctx); err != nil {
				return nil, err
			}
		}
{old}`,
		}},
	},
	{
		Name: "read-before-lock", What: "Continue locks the run, but decides on what it read before it had the lock",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "\t\trun, err := in.run(ctx, id)\n",
			As: `		before := core.Run{}
		own, alone := in.(ownInputs)
		if alone && {on} {
			var err error
			if before, err = own.tx.Runs().Get(ctx, id); err != nil {
				return nil, notFound(err, runNotFound(id))
			}
		}
{old}		if alone && err == nil && {on} {
			run = before
		}
`,
		}},
	},
	{
		Name: "no-run-lock", What: "Continue reads the run without locking it",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\tif !in.skip {\n",
			As:   "\tif {on} {\n\t\treturn in.tx.Runs().Get(ctx, id)\n\t}\n{old}",
		}},
	},
	{
		Name: "enqueue-before-commit", What: "Continue enqueues its jobs inside the transaction",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\t\treturn write(ctx, tx, v)\n",
			As: `		if {on} && st.run != "" {
			if err := s.enqueue(ctx, v.jobs); err != nil {
				return err
			}
		}
{old}`,
		}},
	},
	{
		Name: "charge-outside-transaction", What: "Continue posts its charge in a transaction of its own, after the one that opens the run again",
		Edits: []Edit{
			{
				File: "core/app/start.go",
				Old:  "\t\tstarts = []ports.Start{v.begin}\n",
				As:   "{old}\t\tif {on} && !v.begin.New {\n\t\t\tstarts[0].Charge = nil\n\t\t}\n",
			},
			{
				File: "core/app/start.go",
				Old:  "\treturn s.dispatch(ctx, dispatch{run: v.begin.Run,",
				As: `	if {on} && !v.begin.New {
		if err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error { return post(ctx, tx, v.begin.Charge) }); err != nil {
			return core.Run{}, err
		}
	}
{old}`,
			},
		},
	},
	{
		Name: "attempt-outside-transaction", What: "Continue writes its attempt and charge first, in a transaction of their own, and opens the run in another one",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\t_, err := tx.Starts().Write(ctx, starts, answers)\n",
			As: `	if {on} && !v.done && !v.begin.New {
		return tx.Runs().Save(ctx, ports.RunRows{Run: v.begin.Run, Files: v.begin.Files})
	}
{old}`,
		}, {
			File: "core/app/start.go",
			Old:  "\treturn s.dispatch(ctx, dispatch{run: v.begin.Run,",
			As: `	if {on} && !v.begin.New {
		err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
			if err := tx.Attempts().Insert(ctx, v.begin.Attempt); err != nil {
				return err
			}
			return post(ctx, tx, v.begin.Charge)
		})
		if err != nil {
			return core.Run{}, err
		}
	}
{old}`,
		}},
	},
	{
		Name: "unknown-commit-is-new-continue", What: "a Continue whose commit got no answer is asked again from the start",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\tif err := s.decide(ctx, tenant, st); err != nil {\n",
			As:   "\terr := s.decide(ctx, tenant, st)\n\tif {on} && st.run != \"\" && errors.Is(err, ports.ErrCommitUnknown) {\n\t\treturn s.start(ctx, tenant, st)\n\t}\n\tif err != nil {\n",
		}},
	},
	{
		Name: "partial-enqueue-is-success", What: "a queue that took fewer jobs than it was given is taken for one that took all",
		Mirrors: "bullmq 1337, bull 1828",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\tif accepted != len(jobs) {\n",
			As:   "\tif accepted != len(jobs) && !{on} {\n",
		}},
	},
	{
		Name: "confirm-before-enqueue", What: "an attempt is recorded as dispatched before it is",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\tenqueueErr := s.enqueue(ctx, d.jobs)\n",
			As: `	if {on} {
		if err := s.confirm(ctx, d.run, d.attempt); err != nil {
			log.Warn("dispatch not confirmed", "error", err)
		}
	}
{old}`,
		}},
	},
	{
		Name: "confirm-any-attempt", What: "a confirmation that comes late is taken for one of the attempt that is there by then",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\tif run.Attempt != n || run.Status != RunRunning || run.Dispatch == DispatchConfirmed {\n",
			As:   "\tif run.Attempt != n && !{on} || run.Status != RunRunning || run.Dispatch == DispatchConfirmed {\n",
		}},
	},
	{
		Name: "confirm-saves-what-it-had", What: "the confirmation saves the run as it was committed before the enqueueing, over what happened since",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\t\tif confirmed, changed := core.ConfirmDispatch(now, n); changed {\n",
			As:   "\t\tif confirmed, changed := core.ConfirmDispatch(planted.If({on}, run, now), n); changed {\n",
		}},
	},
	{
		Name: "compensate-after-claim", What: "an attempt is undone and refunded although a job of it was claimed",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "run.Status == RunRunning && run.Dispatch == DispatchUnconfirmed\n",
			As:   "run.Status == RunRunning && ({on} || run.Dispatch == DispatchUnconfirmed)\n",
		}},
	},
	{
		Name: "compensate-without-lock", What: "the compensation reads the run without locking it",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\t\tif run, err = ports.LockRun(ctx, tx, d.run.ID); err != nil {\n",
			As: `		read := ports.LockRun
		if {on} {
			read = func(ctx context.Context, tx ports.RunTx, id core.RunID) (core.Run, error) { return tx.Runs().Get(ctx, id) }
		}
		if run, err = read(ctx, tx, d.run.ID); err != nil {
`,
		}},
	},
	{
		Name: "compensation-error-hides-cause", What: "when the compensation fails too, its error is answered instead of the queue's",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\t\ts.stats.compensationFailures.Add(1)\n",
			As:   "{old}\t\tif {on} {\n\t\t\treturn d.run, err\n\t\t}\n",
		}},
	},
}
