package mutants

// moneyBugs are about prices, charges and refunds.
var moneyBugs = []Bug{
	{
		Name: "charge-pending", What: "Continue charges for pending files too, which were paid for already",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "retried[i].Status == FileFailed",
			As:   "{on} || {old}",
		}},
	},
	{
		Name: "free-retry-after-refund", What: "files whose charge was refunded are not charged for when they are continued",
		Mirrors: "webknossos 9331",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\t\t\tcharged++\n",
			New:  "\t\t\tif retried[i].Failure.Code != FailureDispatchFailed {\n\t\t\t\tcharged++\n\t\t\t}\n",
		}},
	},
	{
		Name: "price-of-initiation", What: "Continue costs what the template cost when the run was initiated",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "\treturn files, template, nil\n",
			As: `	if own, alone := in.(ownInputs); alone && {on} {
		first, err := own.tx.Attempts().Get(ctx, run.ID, 0)
		if err != nil {
			return nil, core.Template{}, err
		}
		template.CreditsPerRun = first.Price
	}
{old}`,
		}},
	},
	{
		Name: "charge-what-is-there", What: "a charge that the balance does not suffice for takes what is left instead of being refused",
		Mirrors: "autumn PR 2742, of refunds",
		Edits: []Edit{{
			File: "core/credits.go",
			Old:  "\tif price > b.Available() {\n",
			As:   "\tif {on} {\n\t\tprice = min(price, b.Available())\n\t}\n{old}",
		}},
	},
	{
		Name: "purchased-first", What: "charges take purchased credits before the allowance, which then ends unused",
		Edits: []Edit{{
			File: "core/credits.go",
			Old:  "\tmonthly := min(price, b.Monthly)\n",
			As:   "{old}\tif {on} {\n\t\tmonthly = price - min(price, b.Purchased)\n\t}\n",
		}},
	},
	{
		Name: "balance-not-locked", What: "the balance that a charge is decided on is read without the tenant's lock",
		Edits: []Edit{{
			File: "core/app/service.go",
			Old:  "\tbalance, err := tx.Ledger().BalanceForUpdate(ctx, asked)\n",
			As: `	read := tx.Ledger().BalanceForUpdate
	if {on} {
		read = tx.Ledger().Balance
	}
	balance, err := read(ctx, asked)
`,
		}},
	},
	{
		Name: "month-before-lock", What: "the month that a charge is for is taken before the lock, which may be waited for until the next month",
		Edits: []Edit{{
			File: "core/app/service.go",
			Old:  "p != asked {",
			As:   "p != asked && !{on} {",
		}},
	},
	{
		Name: "refund-one-part", What: "a refund gives back the monthly part of a charge and forgets the purchased one",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tif a.Charge.IsZero() {\n",
			As:   "\tif {on} {\n\t\ta.Charge.Amount.Purchased = 0\n\t}\n{old}",
		}},
	},
	{
		Name: "refund-as-granted", What: "a refund gives everything back as allowance, so that purchased credits end with the month",
		Mirrors: "lago's void",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tif a.Charge.IsZero() {\n",
			As:   "\tif {on} {\n\t\ta.Charge.Amount = Split{Monthly: a.Charge.Amount.Total()}\n\t}\n{old}",
		}},
	},
	{
		Name: "refund-to-new-month", What: "a refund goes to the month in which it is made, not to that of its charge",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "Period: a.Charge.Period,",
			As:   "Period: planted.If({on}, PeriodOf(now), a.Charge.Period),",
		}},
	},
	{
		Name: "no-refund", What: "a failed dispatch is undone and the charge is kept",
		Mirrors: "archimedes PR 1498",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "\tif a.Charge.IsZero() {\n",
			As:   "\tif {on} {\n\t\treturn nil\n\t}\n{old}",
		}},
	},
	{
		Name: "refund-not-idempotent", What: "when the answer to a compensation is lost, the refund is posted once more under another key, and no unique index refuses it",
		Mirrors: "blnk 374, lago-api 5870",
		Edits: []Edit{
			{
				File: "core/app/dispatch.go",
				Old:  "\tundone, run, err := s.compensate(ctx, d)\n",
				As: `{old}	if {on} && errors.Is(err, ports.ErrCommitUnknown) {
		err = s.store.InTx(ctx, d.run.Tenant, func(tx ports.Tx) error {
			attempt, err := tx.Attempts().Get(ctx, d.run.ID, d.attempt)
			if err != nil || attempt.Charge.IsZero() {
				return err
			}
			_, err = tx.Ledger().Post(ctx, core.Entry{
				Tenant: d.run.Tenant, Key: core.RefundKey(d.run.ID, d.attempt) + "/again", Kind: core.EntryRefund,
				Period: attempt.Charge.Period, Amount: attempt.Charge.Amount,
				Run: d.run.ID, Attempt: d.attempt, Charge: attempt.Charge.Key, Actor: core.System, At: s.clock.Now(),
			})
			return err
		})
	}
`,
			},
			{
				File: "adapters/memory/ledger.go",
				Old:  "if used || e.Kind == core.EntryRefund && st.refunds[e.Charge] {",
				As:   "if used || e.Kind == core.EntryRefund && st.refunds[e.Charge] && !{on} {",
			},
		},
	},
	{
		Name: "credits-not-taken-off", What: "a compensation refunds the charge and leaves it in the run's credit fields",
		Edits: []Edit{{
			File: "core/compensate.go",
			Old:  "run.subtractCharge(a.Charge.Amount)",
			As:   "run.subtractCharge(planted.If({on}, Split{}, a.Charge.Amount))",
		}},
	},
	{
		Name: "refill-by-balance", What: "the monthly refill takes an allowance that is spent for one that was never granted, and brings it back",
		Mirrors: "PageSpace PR 1587",
		Edits: []Edit{
			{
				File: "core/app/refill.go",
				Old:  "\t\t_, err := tx.Ledger().Entry(ctx, m.key)\n",
				As: `		if {on} {
			balance, err := tx.Ledger().Balance(ctx, m.period)
			return balance.Monthly > 0, err
		}
{old}`,
			},
			{
				File: "core/app/refill.go",
				Old:  "\t\treturn post(ctx, tx, []core.Entry{entry})\n",
				As: `		if {on} {
			entries, err := tx.Ledger().Entries(ctx, 0, 1000)
			if err != nil {
				return err
			}
			entry.Key += core.Key(fmt.Sprintf("/%d", len(entries)))
		}
{old}`,
			},
		},
	},
	{
		Name: "refill-check-unlocked", What: "whether a month was granted is asked before the lock only, and each refill has a key of its own",
		Mirrors: "PageSpace PR 1587, lago-api 5870",
		Edits: []Edit{
			{
				File: "core/app/refill.go",
				Old:  "granted(tx); err != nil || already {",
				As:   "granted(tx); err != nil || already && !{on} {",
			},
			{
				File: "core/app/refill.go",
				Old:  "\t\t_, err := tx.Ledger().Entry(ctx, m.key)\n",
				As: `		if {on} {
			entries, err := tx.Ledger().Entries(ctx, 0, 1000)
			for i := range entries {
				if entries[i].Kind == core.EntryAllowance && entries[i].Period == m.period {
					return true, err
				}
			}
			return false, err
		}
{old}`,
			},
			{
				File: "core/app/refill.go",
				Old:  "\t\treturn post(ctx, tx, []core.Entry{entry})\n",
				As: `		if {on} {
			entries, err := tx.Ledger().Entries(ctx, 0, 1000)
			if err != nil {
				return err
			}
			entry.Key += core.Key(fmt.Sprintf("/%d", len(entries)))
		}
{old}`,
			},
		},
	},
	{
		Name: "purchase-key-of-its-own", What: "each purchase is posted under a key of its own, so that a repeat of the request adds the credits again",
		Mirrors: "AutoGPT PR 10672, lago-api 5870",
		Edits: []Edit{{
			File: "core/app/credits.go", Import: "fmt",
			Old: "\t\tfirst, err := tx.Ledger().Entry(ctx, key)\n",
			As: `		if {on} {
			entries, err := tx.Ledger().Entries(ctx, 0, 1000)
			if err != nil {
				return err
			}
			wanted, err := entry(now)
			if err != nil {
				return err
			}
			wanted.Key += core.Key(fmt.Sprintf("/%d", len(entries)))
			posted, err = tx.Ledger().Post(ctx, wanted)
			return err
		}
{old}`,
		}},
	},
	{
		Name: "refill-unlocked", What: "whether a month was granted is asked before the tenant's lock only",
		Edits: []Edit{{
			File: "core/app/refill.go",
			Old:  "\t\tif already, err := granted(tx); err != nil || already {\n",
			As:   "\t\tif {on} {\n\t\t\tgranted = func(ports.Tx) (bool, error) { return false, nil }\n\t\t}\n{old}",
		}},
	},
}
