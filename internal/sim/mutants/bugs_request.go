package mutants

// requestBugs are about requests, their repeats and who may ask.
var requestBugs = []Bug{
	{
		Name: "refusal-not-remembered", What: "a refusal is not remembered under its idempotency key, so a repeat may be charged",
		Mirrors: "blnk 374",
		Edits: []Edit{{
			File: "core/app/answers.go",
			Old:  "\tif !ok || m.key == \"\" {\n",
			As:   "\tif !ok || m.key == \"\" || {on} {\n",
		}},
	},
	{
		Name: "success-not-remembered", What: "a success is not remembered under its idempotency key, so a repeat is done and charged again",
		Mirrors: "blnk 374",
		Edits: []Edit{{
			File: "core/app/answers.go",
			Old:  "\tanswer := m.answer()\n\tanswer.Run = begin.Run\n",
			As:   "\tif {on} {\n\t\treturn v\n\t}\n{old}",
		}},
	},
	{
		Name: "answer-not-rewritten", What: "a repeat after the compensation is still answered with the success that was undone",
		Edits: []Edit{{
			File: "core/app/dispatch.go",
			Old:  "\treturn plan.Run, answerEnqueueFailed(ctx, tx, d.key, plan.Run)\n",
			New:  "\treturn plan.Run, nil\n",
		}},
	},
	{
		Name: "fingerprint-not-compared", What: "a key that was used for another request gets that one's answer",
		Edits: []Edit{{
			File: "core/answer.go",
			Old:  "a.Fingerprint != fingerprint {",
			As:   "a.Fingerprint != fingerprint && !{on} {",
		}},
	},
	{
		Name: "unknown-commit-is-new-run", What: "an initiation whose commit got no answer is done again as a new one",
		Edits: []Edit{{
			File: "core/app/initiate.go",
			Old:  "\treturn s.start(ctx, req.Tenant, &start{template: req.Template, files: len(req.Files), key: req.IdempotencyKey, decide: decide})\n",
			As: `	run, err := s.start(ctx, req.Tenant, &start{template: req.Template, files: len(req.Files), key: req.IdempotencyKey, decide: decide})
	if {on} && errors.Is(err, ports.ErrCommitUnknown) {
		return s.Initiate(ctx, actor, req)
	}
	return run, err
`,
		}},
	},
	{
		Name: "tenant-not-checked", What: "an admin of one tenant may act on another tenant's runs",
		Edits: []Edit{{
			File: "core/access.go",
			Old:  "\tif actor.Role != RolePlatformAdmin && actor.Tenant != owner {\n",
			As:   "\tif actor.Role != RolePlatformAdmin && actor.Tenant != owner && !{on} {\n",
		}},
	},
}
