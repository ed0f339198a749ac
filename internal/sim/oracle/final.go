package oracle

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
	"github.com/redrive/redrive/ports"
)

// Store is what Final compares with: a store that shows its rows without copying
// them, because every world ends with this.
type Store interface {
	View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error
	Look(tenant core.TenantID, look func(run *core.Run, files []core.File))
}

// Final compares what a store has in the end with what was committed, row by row, and
// with what the model makes of its attempts and entries alone.
func (o *Oracle) Final(ctx context.Context, store Store) {
	for _, t := range o.tenants {
		if err := store.View(ctx, t.id, func(tx ports.Tx) error { return o.finalBalances(ctx, tx, t) }); err != nil {
			o.fail(Refinement, "tenant %s cannot be read in the end: %v", t.id, err)
		}
		runs := 0
		o.rows.Runs = o.rows.Runs[:0]
		store.Look(t.id, func(run *core.Run, files []core.File) {
			runs++
			o.finalRun(t, run, files)
			o.rows.Runs = append(o.rows.Runs, model.RunRows{Run: run, Files: files})
		})
		if err := store.View(ctx, t.id, o.readRows); err != nil {
			o.fail(Refinement, "tenant %s cannot be read in the end: %v", t.id, err)
		}
		o.rows.Check(o.judge)
		if want := o.runsOf(t); runs != want {
			o.fail(Refinement, "tenant %s ends with %d runs, %d were committed", t.id, runs, want)
		}
	}
}

// readRows reads what Final's look does not show.
func (o *Oracle) readRows(tx ports.Tx) (err error) {
	ctx := context.Background()
	for i := range o.rows.Runs {
		if o.rows.Runs[i].Attempts, err = tx.Attempts().List(ctx, o.rows.Runs[i].Run.ID); err != nil {
			return err
		}
	}
	if o.rows.Entries, err = tx.Ledger().Entries(ctx, 0, 1<<20); err != nil {
		return err
	}
	o.rows.Balances, err = tx.Ledger().Balances(ctx)
	return err
}

func (o *Oracle) finalBalances(ctx context.Context, tx ports.Tx, t *tenant) error {
	for i := range t.account.Months {
		m := &t.account.Months[i]
		b, err := tx.Ledger().Balance(ctx, m.Period)
		if err != nil {
			return err
		}
		if b.Monthly != m.Left || b.Purchased != t.account.Purchased {
			o.fail(I1, "tenant %s ends with %d monthly of %s and %d purchased, its entries add up to %d and %d", t.id, b.Monthly, m.Period, b.Purchased, m.Left, t.account.Purchased)
		}
	}
	return nil
}

func (o *Oracle) runsOf(t *tenant) (count int) {
	for _, r := range o.runs {
		if r.row.Tenant == t.id {
			count++
		}
	}
	return count
}

func (o *Oracle) finalRun(t *tenant, row *core.Run, files []core.File) {
	r := o.run(row.ID)
	switch {
	case r == nil || r.row.Tenant != t.id:
		o.fail(Refinement, "tenant %s ends with run %s, which was not committed", t.id, row.ID)
		return
	case *row != r.row:
		o.fail(Refinement, "run %s ends as %+v, it was committed as %+v", row.ID, *row, r.row)
	case len(files) != len(r.files):
		o.fail(Refinement, "run %s ends with %d files, it was committed with %d", row.ID, len(files), len(r.files))
		return
	}
	for i := range files {
		if files[i] != r.files[i] {
			o.fail(Refinement, "file %d of run %s ends as %+v, it was committed as %+v", i, row.ID, files[i], r.files[i])
		}
	}
}
