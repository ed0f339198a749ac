package oracle

import (
	"context"

	"github.com/redrive/redrive/ports"
)

// Final compares what a store has in the end with what was committed, row by row.
func (o *Oracle) Final(ctx context.Context, store ports.Store) {
	for _, t := range o.tenants {
		err := store.View(ctx, t.id, func(tx ports.Tx) error { return o.finalTenant(ctx, tx, t) })
		if err != nil {
			o.fail(Refinement, "tenant %s cannot be read in the end: %v", t.id, err)
		}
	}
}

func (o *Oracle) finalTenant(ctx context.Context, tx ports.Tx, t *tenant) error {
	for i := range t.monthly {
		m := &t.monthly[i]
		b, err := tx.Ledger().Balance(ctx, m.period)
		if err != nil {
			return err
		}
		if b.Monthly != m.left || b.Purchased != t.purchased {
			o.fail(I1, "tenant %s ends with %d monthly of %s and %d purchased, its entries add up to %d and %d", t.id, b.Monthly, m.period, b.Purchased, m.left, t.purchased)
		}
	}
	for _, r := range o.runs {
		if r.row.Tenant != t.id {
			continue
		}
		row, err := tx.Runs().Get(ctx, r.row.ID)
		if err != nil {
			return err
		}
		files, err := tx.Files().Page(ctx, r.row.ID, 0, len(r.files)+1)
		if err != nil {
			return err
		}
		if row != r.row {
			o.fail(Refinement, "run %s ends as %+v, it was committed as %+v", row.ID, row, r.row)
		}
		if len(files) != len(r.files) {
			o.fail(Refinement, "run %s ends with %d files, it was committed with %d", row.ID, len(files), len(r.files))
			continue
		}
		for i := range files {
			if files[i] != r.files[i] {
				o.fail(Refinement, "file %d of run %s ends as %+v, it was committed as %+v", i, row.ID, files[i], r.files[i])
			}
		}
	}
	return nil
}
