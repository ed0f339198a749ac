package mutants

// messageBugs are about messages that carry many jobs.
var messageBugs = []Bug{
	{
		Name: "message-acked-before-claims", What: "a message is acked while jobs of it still wait to be claimed",
		Edits: []Edit{{
			File: schedMessage,
			Old:  "\tcase m.open > 0:\n",
			As:   "\tcase m.open > 0 && !{on}:\n",
		}},
	},
	{
		Name: "remainder-not-released", What: "jobs of a message that have no place are neither claimed nor passed on",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\t\tm.back = append(m.back, job)\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "failed-release-forgotten", What: "jobs that could not be passed on are acked with the rest of their message",
		Edits: []Edit{{
			File: schedMessage,
			Old:  "\t\tm.nack = m.nack || e.Failed\n",
			As:   "\t\tm.nack = m.nack || e.Failed && !{on}\n",
		}},
	},
	{
		Name: "second-delivery-acked-too-early", What: "a second delivery of a job is acked before its claim was answered",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\t\t\tif !j.answered {\n",
			As:   "\t\t\tif !j.answered && !{on} {\n",
		}},
	},
	{
		Name: "second-delivery-is-another-job", What: "a second delivery of a job is taken for a job of its own",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "if j := r.jobs[keyOf(job)]; j != nil { // delivered twice\n",
			As:   "if j := r.jobs[keyOf(job)]; j != nil && !{on} { // delivered twice\n",
		}},
	},
	{
		Name: "message-never-answered", What: "a message is not acked once its jobs are claimed",
		Edits: []Edit{{
			File: schedMessage,
			Old:  "\t\tm.open--\n\t\tm.kept = true\n\t\ts.touch(m)\n",
			As:   "\t\tm.open--\n\t\tm.kept = true\n\t\tif !{on} {\n\t\t\ts.touch(m)\n\t\t}\n",
		}},
	},
	{
		Name: "nacked-and-claimed", What: "jobs whose claim failed go back to the queue and stay in hand as well",
		Edits: []Edit{{
			File: schedMessage,
			Old:  "\t\tj.messages = nil\n\t\ts.remove(j)\n",
			As:   "\t\tj.messages = nil\n\t\tif {on} && failed {\n\t\t\ts.enqueue(claims, item{job: j, cost: len(j.Files)})\n\t\t\tcontinue\n\t\t}\n\t\ts.remove(j)\n",
		}},
	},
	{
		Name: "release-loses", What: "jobs that are passed on leave their message and are in no other",
		Edits: []Edit{{
			File: "adapters/memory/queue.go",
			Old:  "\t\tq.waiting = slices.Insert(q.waiting, 0, m)\n\t\tq.jobs += len(m.jobs)\n",
			As:   "\t\tif !{on} {\n\t\t\tq.waiting = slices.Insert(q.waiting, 0, m)\n\t\t\tq.jobs += len(m.jobs)\n\t\t}\n",
		}},
	},
	{
		Name: "nack-loses", What: "a message that is nacked is not delivered again",
		Edits: []Edit{{
			File: "adapters/memory/queue.go",
			Old:  "\t\tq.waiting = append(q.waiting, d.message)\n",
			As:   "\t\tif {on} {\n\t\t\tq.jobs -= len(d.message.jobs)\n\t\t\treturn nil\n\t\t}\n{old}",
		}},
	},
	{
		Name: "message-cut-short", What: "the last job of a message of three is not in it",
		Edits: []Edit{{
			File: "ports/messages.go",
			Old:  "\t\tslices.SortStableFunc(m, byFiles)\n",
			As:   "{old}\t\tif {on} && len(m) > 2 {\n\t\t\tm = m[:2]\n\t\t}\n",
		}},
	},
	{
		Name: "work-acks-what-it-leaves", What: "Work claims the first job of a message and acks the others with it",
		Edits: []Edit{{
			File: "core/app/work.go",
			Old:  "d.Release(ctx, jobs[1:])",
			As:   "d.Release(ctx, planted.If({on}, nil, jobs[1:]))",
		}},
	},
}
