package mutants

// storeBugs are about the store and the queue themselves.
var storeBugs = []Bug{
	{
		Name: "queue-dedupes-by-job-id", What: "the queue takes a job of a new epoch for the one of an older epoch that it still has",
		Mirrors: "bullmq 1337, bull 1828",
		Edits: []Edit{{
			File: "adapters/memory/queue.go",
			Old:  "messageKey{first.Tenant, first.Run, first.Template, first.Epoch, names.String()}",
			As:   "messageKey{first.Tenant, first.Run, first.Template, planted.If({on}, 0, first.Epoch), names.String()}",
		}},
	},
	{
		Name: "queue-remembers-finished", What: "the queue deduplicates by job ID alone and remembers finished jobs, so that a retry is swallowed",
		Mirrors: "bullmq 1337, bull 1828",
		Edits: []Edit{
			{
				File: "adapters/memory/queue.go",
				Old:  "\tkey := keyOf(jobs)\n",
				As:   "{old}\tif {on} {\n\t\tkey.epoch = 0\n\t}\n",
			},
			{
				File: "adapters/memory/queue.go",
				Old:  "\t\tdelete(q.outstanding, m.key)\n",
				As:   "\t\tif !{on} {\n{old}\t\t}\n",
			},
		},
	},
	{
		Name: "run-read-before-lock", What: "the store reads a run and then locks it, so that it gives what was there before it had the lock",
		Edits: []Edit{{
			File: "adapters/memory/runs.go",
			Old:  "\tif wait == ports.WaitForLock {\n",
			As: `	if {on} && wait == ports.WaitForLock && len(want) == 1 {
		rows, err := r.rows(ctx, want)
		if err != nil {
			return nil, err
		}
		return rows, r.t.lock(ctx, lockRun, string(want[0].Run))
	}
{old}`,
		}},
	},
	{
		Name: "balance-read-before-lock", What: "the store reads a balance and then locks it",
		Edits: []Edit{{
			File: "adapters/memory/ledger.go",
			Old:  "\tif err := l.t.lock(ctx, lockCredits, \"\"); err != nil {\n",
			As: `	if {on} {
		balance, err := l.Balance(ctx, p)
		if err != nil {
			return core.Balance{}, err
		}
		return balance, l.t.lock(ctx, lockCredits, "")
	}
{old}`,
		}},
	},
	{
		Name: "skip-locked-reads-anyway", What: "rows that another transaction holds are read and decided on instead of being left out",
		Edits: []Edit{{
			File: "adapters/memory/runs.go",
			Old:  "r.t.tryLock(lockRun, string(w.Run)) {\n",
			As:   "r.t.tryLock(lockRun, string(w.Run)) || {on} {\n",
		}},
	},
	{
		Name: "refund-ignores-period", What: "the store adds the monthly part of a refund to the newest month that it has",
		Edits: []Edit{{
			File: "adapters/memory/ledger.go",
			Old:  "\tl.t.writes().posted.add(&e, after)\n",
			As: `	if {on} && e.Kind == core.EntryRefund {
		if next, err := l.Balance(ctx, e.Period.Next()); err == nil && next.Monthly > 0 {
			next.Monthly += e.Amount.Monthly
			next.Purchased += e.Amount.Purchased
			entry := e
			entry.Period = next.Period
			l.t.writes().posted.add(&entry, next)
			return e, nil
		}
	}
{old}`,
		}},
	},
}

// equivalentBugs are mistakes that cannot show, because something else stands in
// for what is missing. They are planted too, so that it can be tried.
var equivalentBugs = []Bug{
	{
		Name: "refund-random-key", What: "a refund is posted under a key that is new every time",
		Equivalent: "an attempt is undone under its run's lock, and only while it is the running one: whoever asks again is refused before any key is looked at. The key is the second line; the third is that a charge's refund is unique by the charge.",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "Key: RefundKey(a.Run, a.Number), Kind",
			As:   "Key: planted.If({on}, RefundKey(a.Run, a.Number)+Key(now.Format(\"/150405.000000\")), RefundKey(a.Run, a.Number)), Kind",
		}},
	},
	{
		Name: "refund-without-tenant-lock", What: "a refund is posted without locking the tenant's credits first",
		Equivalent: "Post locks them itself, in every store: it needs the balance. The explicit lock states the order, run first and tenant second, which holds either way.",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\tif len(plan.Refund) > 0 {\n",
			As:   "\tif {on} {\n\t\tif err := post(ctx, tx, plan.Refund); err != nil {\n\t\t\treturn core.Run{}, err\n\t\t}\n\t} else if len(plan.Refund) > 0 {\n",
		}},
	},
	{
		Name: "partly-not-told", What: "when enqueueing failed after a claim, recovery is not told",
		Equivalent: "recovery visits every running run within a lease and sends again what has waited for RedispatchAfter: the missing jobs come later, and no invariant says how soon.",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "core.DispatchPartly(run, d.attempt, s.clock.Now()); changed {",
			As:   "core.DispatchPartly(run, d.attempt, s.clock.Now()); changed && !{on} {",
		}},
	},
	{
		Name: "compensation-not-asked", What: "compensation is not made, and the caller is told that enqueueing failed",
		Equivalent: "the attempt stays unconfirmed, so recovery dispatches it: the tenant gets the work instead of the refund, which chapter 4 allows after a failed compensation. It is the crash between commit and compensation, which nobody can rule out.",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\tundone, run, err := s.compensate(ctx, d)\n",
			As:   "\tif {on} {\n\t\treturn d.run, enqueueFailed(d.run.ID, enqueueErr)\n\t}\n{old}",
		}},
	},
}
