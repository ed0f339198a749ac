package mutants

// togetherBugs are about requests that are decided together because they wait for the
// same tenant's credits.
var togetherBugs = []Bug{
	{
		Name: "refused-takes-others-along", What: "when one of a group is refused, all of it are refused for the same reason",
		Edits: []Edit{
			{
				File: "core/app/together.go",
				Old:  "\t\t\tg.errs[i] = err\n\t\t\tcontinue\n",
				As:   "\t\t\tif {on} {\n\t\t\t\treturn err\n\t\t\t}\n{old}",
			},
			{
				File: "core/app/together.go",
				Old:  "\tif err != nil && g != nil && g.locked &&",
				As:   "\tif _, refused := asRefusal(err); err != nil && g != nil && g.locked && !({on} && refused) &&",
			},
		},
	},
	{
		Name: "same-balance-for-all", What: "each of a group is decided on the balance before all of them, and the store does not look at what is left",
		Edits: []Edit{
			{
				File: "core/app/together.go",
				Old:  "\t\tg.balance.Split = left\n",
				As:   "\t\tif !{on} {\n{old}\t\t}\n",
			},
			{
				File: "adapters/memory/ledger.go",
				Old:  "\tafter, err := before.Apply(e)\n",
				As: `{old}	if {on} && err != nil {
		after, err = before, nil
		after.Monthly -= e.Amount.Monthly
		after.Purchased -= e.Amount.Purchased
	}
`,
			},
		},
	},
	{
		Name: "answers-before-commit", What: "those who wait for the leader of their group are answered when all is written and not yet committed",
		Edits: []Edit{{
			File: "core/app/together.go",
			Old:  "\t_, err := tx.Starts().Write(ctx, starts, answers)\n",
			As: `{old}	if c := &g.s.waiting; {on} && err == nil {
		c.mu.Lock()
		for i, t := range g.group {
			if t.place == taken {
				t.alone, t.err, t.place = false, g.errs[i], decided
				t.wake()
			}
		}
		c.mu.Unlock()
	}
`,
		}},
	},
	{
		Name: "last-of-group-forgotten", What: "the last of a group is never woken",
		Edits: []Edit{{
			File: "core/app/combine.go",
			Old:  "\t\tif t.place == taken {\n\t\t\tt.place = decided\n",
			As:   "\t\tif t.place == taken && !({on} && t == group[len(group)-1]) {\n\t\t\tt.place = decided\n",
		}},
	},
	{
		Name: "turn-not-passed-on", What: "the leader of a group elects none after it",
		Edits: []Edit{{
			File: "core/app/combine.go",
			Old:  "\tgroup[0].place = decided\n\tc.elect(tenant, l)\n",
			As:   "\tgroup[0].place = decided\n\tif !({on} && len(group) > 1) {\n\t\tc.elect(tenant, l)\n\t}\n",
		}},
	},
	{
		Name: "committed-group-again", What: "a group whose commit got no answer is decided once more, each by itself",
		Edits: []Edit{{
			File: "core/app/together.go",
			Old:  " !errors.Is(err, ports.ErrCommitUnknown) {\n",
			As:   " ({on} || !errors.Is(err, ports.ErrCommitUnknown)) {\n",
		}},
	},
	{
		Name: "unknown-commit-is-failure", What: "when the commit of a group gets no answer, each is told that it failed",
		Edits: []Edit{{
			File: "core/app/together.go",
			Old:  "\tfor i, t := range g.group {\n\t\tt.alone, t.err = false, err\n",
			As:   "\tif {on} && err != nil {\n\t\terr = ports.ErrUnavailable\n\t}\n{old}",
		}},
	},
	{
		Name: "unknown-commit-is-success", What: "when the commit of a group gets no answer, only its leader is told so, and the others go on",
		Edits: []Edit{{
			File: "core/app/together.go",
			Old:  "\tfor i, t := range g.group {\n\t\tt.alone, t.err = false, err\n",
			As:   "{old}\t\tif {on} && t != group[0] {\n\t\t\tt.err = g.errs[i]\n\t\t}\n",
		}},
	},
	{
		Name: "first-answer-for-all", What: "each of a group gets the answer of the first",
		Edits: []Edit{{
			File: "core/app/together.go",
			Old:  "\t\t\tt.err = g.errs[i]\n",
			As:   "{old}\t\t\tif {on} {\n\t\t\t\tt.start.verdict, t.err = g.group[0].start.verdict, g.errs[0]\n\t\t\t}\n",
		}},
	},
	{
		Name: "continues-share-an-attempt", What: "two Continues of one run that are in one group begin one attempt, and both are told that it is theirs",
		Edits: []Edit{
			{
				File: "core/app/together.go",
				Old:  "\tg.runs[b.Run.ID] = b.Run\n",
				As:   "\tif !{on} {\n{old}\t}\n",
			},
			{
				File: "core/app/together.go",
				Old:  "\t\tstarts = append(starts, v.begin)\n",
				As: `		if {on} && slices.ContainsFunc(starts, func(b ports.Start) bool { return b.Run.ID == v.begin.Run.ID }) {
			continue
		}
{old}`,
			},
		},
	},
	{
		Name: "key-twice-in-a-group", What: "who has the key of another one of its group is decided as if it was not used, and its answer is the one that is kept",
		Edits: []Edit{
			{
				File: "core/app/together.go",
				Old:  "\t\t\tg.answers[v.remember.Key] = *v.remember\n",
				As:   "\t\t\tif !{on} {\n{old}\t\t\t}\n",
			},
			{
				File: "adapters/memory/starts.go",
				Old:  "answers(s).Insert(ctx, given[i]); err != nil {",
				As:   "answers(s).Insert(ctx, given[i]); {on} && errors.Is(err, ports.ErrExists) {\n\t\t\tanswers(s).put(given[i])\n\t\t} else if err != nil {",
			},
		},
	},
}
