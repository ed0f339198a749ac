package mutants

// tenantBugs are about new tenants and the refills of many.
var tenantBugs = []Bug{
	{
		Name: "new-tenant-without-allowance", What: "a new tenant has nothing to spend until the next refill",
		Edits: []Edit{{
			File: "core/app/tenants.go",
			Old:  "\t\treturn grantMonths(ctx, tx, tenant, now)\n",
			New:  "\t\treturn nil\n",
		}},
	},
	{
		Name: "new-tenant-granted-twice", What: "what a new tenant is granted has a key of its own, so that the refill grants the month once more",
		Edits: []Edit{{
			File: "core/app/tenants.go",
			Old:  "core.NewAllowance(t.ID, m.key, ",
			As:   "core.NewAllowance(t.ID, planted.If({on}, \"new/\"+m.key, m.key), ",
		}},
	},
	{
		Name: "refill-error-swallowed", What: "the refill says nothing when it fails for a tenant",
		Edits: []Edit{{
			File: "core/app/refill.go",
			Old:  "\t\t\t\terrs = append(errs, err)\n",
			As:   "\t\t\t\tif !{on} {\n{old}\t\t\t\t}\n",
		}},
	},
	{
		Name: "refill-stops-at-an-error", What: "a tenant whose refill fails keeps all later ones from theirs",
		Edits: []Edit{{
			File: "core/app/refill.go",
			Old:  "\t\t\t\terrs = append(errs, err)\n",
			As:   "{old}\t\t\t\tif {on} {\n\t\t\t\t\treturn errors.Join(errs...)\n\t\t\t\t}\n",
		}},
	},
	{
		Name: "refill-skips-the-last", What: "the last tenant of a page is never refilled",
		Edits: []Edit{{
			File: "core/app/refill.go",
			Old:  "\t\t\tafter = t.ID\n",
			As:   "{old}\t\t\tif {on} && t.ID == tenants[len(tenants)-1].ID {\n\t\t\t\tbreak\n\t\t\t}\n",
		}},
	},
}

// pageBugs are about what goes page by page: worlds are smaller than a page.
var pageBugs = []Bug{
	{
		Name: "ledger-check-of-one-page-of-entries", What: "the ledger check stops after its first page of entries",
		Test: &Test{"core/app", "TestLedgerCheckReadsEveryPageOfEntries"},
		Edits: []Edit{{
			File: "core/app/ledger_check.go",
			Old:  "if len(entries) < ledgerPage {",
			As:   "if len(entries) < ledgerPage || {on} {",
		}},
	},
	{
		Name: "ledger-check-of-one-page-of-runs", What: "the ledger check stops after its first page of runs",
		Test: &Test{"core/app", "TestLedgerCheckReadsEveryPageOfRuns"},
		Edits: []Edit{{
			File: "core/app/ledger_check.go",
			Old:  "if len(runs) < ledgerPage {",
			As:   "if len(runs) < ledgerPage || {on} {",
		}},
	},
	{
		Name: "refill-of-one-page", What: "the refill stops after its first page of tenants",
		Test: &Test{"core/app", "TestRefillReachesEveryPageOfTenants"},
		Edits: []Edit{{
			File: "core/app/refill.go",
			Old:  "if len(tenants) < page {",
			As:   "if len(tenants) < page || {on} {",
		}},
	},
	{
		Name: "interrupt-of-one-page", What: "a fault closes the runs of the first page that wait for its end, and no other",
		Test: &Test{"core/app", "TestInterruptReachesEveryPageOfRuns"},
		Edits: []Edit{{
			File: "core/app/interrupt.go",
			Old:  "if len(runs) < runsPage {",
			As:   "if len(runs) < runsPage || {on} {",
		}},
	},
	{
		Name: "recovery-of-one-page", What: "recovery looks at one page of runs, and is not asked again before its next turn",
		Test: &Test{"core/app", "TestRecoveryReachesEveryPageOfRuns"},
		Edits: []Edit{{
			File: "core/app/recover.go",
			Old:  "if !looked || len(due) < page {",
			As:   "if !looked || len(due) < page || {on} {",
		}},
	},
}
