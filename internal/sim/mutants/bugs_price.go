package mutants

// priceBugs are about prices that callers accept, and about templates that are edited.
var priceBugs = []Bug{
	{
		Name: "max-price-of-continue-ignored", What: "a Continue is charged at whatever the price is by now",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "accepted(price, terms.MaxPrice)",
			As:   "accepted(price, planted.If({on}, nil, terms.MaxPrice))",
		}},
	},
	{
		Name: "max-price-of-initiation-ignored", What: "an initiation is charged at whatever the price is by now",
		Edits: []Edit{{
			File: "core/initiate.go",
			Old:  "accepted(price, req.MaxPrice)",
			As:   "accepted(price, planted.If({on}, nil, req.MaxPrice))",
		}},
	},
	{
		Name: "max-price-is-exclusive", What: "a price that is exactly what the caller accepts is refused",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "price <= *most",
			As:   "(price < *most || price == *most && !{on})",
		}},
	},
	{
		Name: "price-compared-after-charging", What: "a Continue above the accepted price is charged, and refused afterwards",
		Edits: []Edit{{
			File: "core/app/retry.go",
			Old:  "MaxPrice: req.MaxPrice}\n",
			As:   "MaxPrice: planted.If({on}, nil, req.MaxPrice)}\n",
		}, {
			File: "core/app/retry.go",
			Old:  "\treturn s.start(ctx, tenant, &start{run: id, terms: terms, key: req.IdempotencyKey, decide: decide})\n",
			As: `	st := &start{run: id, terms: terms, key: req.IdempotencyKey, decide: decide}
	run, err := s.start(ctx, tenant, st)
	if {on} && err == nil && req.MaxPrice != nil {
		if price := st.verdict.begin.Attempt.Charge.Amount.Total(); price > *req.MaxPrice {
			return core.Run{}, &core.Error{Code: core.CodePriceChanged, Price: price, Message: "the price is higher now"}
		}
	}
	return run, err
`,
		}},
	},
	{
		Name: "instructions-of-now", What: "files are executed with the template's instructions as they are by then",
		Edits: []Edit{{
			File: "core/app/claim.go",
			Old:  "if err != nil || t.Version == run.TemplateVersion {",
			As:   "if err != nil || t.Version == run.TemplateVersion || {on} {",
		}},
	},
	{
		Name: "continue-takes-new-version", What: "a Continue moves the run to the template's newest instructions",
		Edits: []Edit{{
			File: "core/retry.go",
			Old:  "\tattempt.Epoch, attempt.Jobs = epoch, len(jobs)\n",
			As:   "{old}\tif {on} {\n\t\trun.TemplateVersion = t.Version\n\t}\n",
		}},
	},
	{
		Name: "edit-in-place", What: "other instructions overwrite the version that runs work with",
		Edits: []Edit{{
			File: "core/template.go",
			Old:  "\t\tt.Version++\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "claims-share-a-template", What: "jobs of several runs that are claimed together get the instructions of the first",
		Edits: []Edit{{
			File: "core/app/claim.go",
			Old:  "|| last.Version != run.TemplateVersion {",
			As:   "|| last.Version != run.TemplateVersion && !{on} {",
		}},
	},
}
