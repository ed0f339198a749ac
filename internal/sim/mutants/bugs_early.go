package mutants

// earlyBugs are about results that are recorded while their job goes on.
var earlyBugs = []Bug{
	{
		Name: "early-counts-the-job", What: "a batch job is counted once more for every result that is recorded while it goes on",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\tp.Settled = append(p.Settled, s.Job)\n\treturn nil\n",
			As:   "\tif {on} {\n\t\tp.Run.CompletedJobs++\n\t}\n{old}",
		}},
	},
	{
		Name: "early-not-recorded", What: "a result that comes while its job goes on is taken and not recorded",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "\t\tif err := p.record(f, r); err != nil {\n\t\t\treturn err\n\t\t}\n\t\trecorded++\n",
			As:   "\t\tif {on} {\n\t\t\trecorded++\n\t\t\tcontinue\n\t\t}\n{old}",
		}},
	},
	{
		Name: "early-forgotten-by-a-failing-store", What: "a result that the store did not take while the job went on is taken for recorded",
		Edits: []Edit{{
			File: "core/app/early.go",
			Old:  "\t\te.mu.Lock()\n\t\te.rest = append(e.rest, r)\n",
			As:   "\t\te.mu.Lock()\n\t\tif !{on} {\n\t\t\te.rest = append(e.rest, r)\n\t\t}\n",
		}},
	},
	{
		Name: "last-early-result-forgotten", What: "the result that is kept back for the settlement of the rest is not in it",
		Edits: []Edit{{
			File: "core/app/early.go",
			Old:  "\tif e.last != nil {\n",
			As:   "\tif e.last != nil && !{on} {\n",
		}},
	},
	{
		Name: "early-of-any-worker", What: "a result is recorded early without asking whether its worker still holds the file",
		Edits: []Edit{{
			File: "core/settle.go",
			Old:  "f.Epoch != s.Job.Epoch || ",
			As:   "f.Epoch != s.Job.Epoch && !{on} || ",
		}},
	},
	{
		Name: "early-failures-forgotten", What: "a batch job counts as completed if the rest of it is, whatever was recorded before",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\t\t\th.allCompleted = h.allCompleted && f.Status == FileCompleted\n",
			As:   "\t\t\tif !{on} {\n{old}\t\t\t}\n",
		}},
	},
	{
		Name: "early-makes-the-rest-late", What: "a worker loses a batch job once a result of it was recorded early",
		Edits: []Edit{{
			File: "core/claim.go",
			Old:  "\tif len(h.processing) == 0 {\n",
			As:   "\tif len(h.processing) == 0 || {on} && len(h.processing) < len(files) {\n",
		}},
	},
	{
		Name: "hand-back-of-the-whole-job", What: "a batch job that is handed back is sent with the files that are done, so that nobody can claim it",
		Edits: []Edit{{
			File: "core/lease.go",
			Old:  "\t\tif len(held.processing) < len(job.Files) {\n",
			As:   "\t\tif len(held.processing) < len(job.Files) && !{on} {\n",
		}},
	},
	{
		Name: "hand-back-forgets-early-results", What: "a batch job that is handed back is executed again as a whole, and what was recorded of it is lost",
		Mirrors: "argo 14803, airflow 64526",
		Edits: []Edit{{
			File: "core/lease.go",
			Old:  "\t\tjob.Epoch = p.Run.nextEpoch()\n",
			As:   "{old}\t\tif {on} {\n\t\t\theld.processing, _ = rows.filesOf(job)\n\t\t}\n",
		}, {
			File: "core/file.go",
			Old:  "\tcase FileCompleted, FileError:\n",
			As:   "{old}\t\tif {on} {\n\t\t\treturn to == FilePending\n\t\t}\n",
		}},
	},
	{
		Name: "recorded-early-is-executed-again", What: "an in-job retry executes files again whose results were recorded early",
		Edits: []Edit{{
			File: "core/app/execute.go",
			Old:  "\t\t\tif early.has(f.Index) {\n",
			As:   "\t\t\tif early.has(f.Index) && {on} {\n\t\t\t\tagain = append(again, f)\n\t\t\t}\n{old}",
		}},
	},
	{
		Name: "loss-not-told", What: "a worker that looks is not told that its run was cancelled or its job taken",
		Edits: []Edit{{
			File: "core/app/lease.go",
			Old:  "\t\t\t\tlost = append(lost, d.Job)\n",
			As:   "\t\t\t\tif !{on} {\n{old}\t\t\t\t}\n",
		}},
	},
}
