package mutants

// outboxBugs are about jobs that are sent by the transaction that decides to send them.
var outboxBugs = []Bug{
	{
		Name: "outbox-before-commit", What: "what a transaction sends is out at once, also if it is rolled back",
		Edits: []Edit{{
			File: "adapters/memory/outbox.go",
			Old:  "\tif len(jobs) > 0 {\n",
			As: `	if {on} {
		_, err := o.t.store.outbox.Enqueue(ctx, jobs)
		return err
	}
{old}`,
		}},
	},
	{
		Name: "outbox-forgotten", What: "an attempt is committed as dispatched, and its transaction sends nothing",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\tv.begin.Jobs = v.jobs\n",
			New:  "\tv.begin.Jobs = nil",
		}},
	},
	{
		Name: "outbox-lost-at-rerun", What: "a transaction that is run again after a conflict does not send its jobs again",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\t\tst.verdict = v\n",
			As:   "\t\tif {on} && st.verdict != nil {\n\t\t\tv.begin.Jobs = nil\n\t\t}\n{old}",
		}},
	},
	{
		Name: "outbox-and-enqueue", What: "jobs that a transaction has sent are enqueued as well",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\tcase v.sent:\n",
			As:   "\tcase v.sent && !{on}:\n",
		}},
	},
	{
		Name: "outbox-unconfirmed", What: "an attempt that its transaction sends is committed as not dispatched, so that it can be refunded while it is worked on",
		Edits: []Edit{{
			File: "core/app/start.go",
			Old:  "\tv.begin.Run, _ = core.ConfirmDispatch(v.begin.Run, v.begin.Attempt.Number)\n",
			As:   "\tif !{on} {\n{old}\t}\n",
		}},
	},
	{
		Name: "outbox-recovery-sends-nothing", What: "recovery records that it dispatches again, and its transaction sends nothing",
		Edits: []Edit{{
			File: "core/app/recover.go",
			Old:  "\t\treturn send(ctx, tx, planned.Jobs)\n",
			As:   "\t\tif {on} {\n\t\t\treturn nil\n\t\t}\n{old}",
		}},
	},
	{
		Name: "outbox-hand-back-sends-nothing", What: "what is handed back is not sent by the transaction",
		Edits: []Edit{{
			File: "core/app/lease.go",
			Old:  "\t\t\t\terr = send(ctx, tx, p.Jobs)\n",
			As:   "\t\t\t\tif !{on} {\n{old}\t\t\t\t}\n",
		}},
	},
}
