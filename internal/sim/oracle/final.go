package oracle

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
	"github.com/redrive/redrive/ports"
)

// Store is what Final reads.
type Store interface {
	View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error
}

// Final compares what a store has in the end with what was committed, row by row, and
// with what the model makes of its attempts and entries alone.
func (o *Oracle) Final(ctx context.Context, store Store) {
	for _, t := range o.tenants {
		if err := store.View(ctx, t.id, func(tx ports.Tx) error { return o.read(ctx, tx) }); err != nil {
			o.fail(Refinement, "tenant %s cannot be read in the end: %v", t.id, err)
			continue
		}
		for i := range o.rows.Runs {
			o.finalRun(t, &o.rows.Runs[i])
		}
		if runs, want := len(o.rows.Runs), o.runsOf(t); runs != want {
			o.fail(Refinement, "tenant %s ends with %d runs, %d were committed", t.id, runs, want)
		}
		if entries, want := len(o.rows.Entries), len(t.account.Entries); entries != want {
			o.fail(Refinement, "tenant %s ends with %d entries, %d were committed", t.id, entries, want)
		}
		for i := range min(len(o.rows.Entries), len(t.account.Entries)) {
			if got, want := &o.rows.Entries[i], &t.account.Entries[i].Entry; *got != *want {
				o.fail(Refinement, "entry %d of tenant %s ends as %+v, it was committed as %+v", i+1, t.id, *got, *want)
			}
		}
		o.rows.Check(o.judge)
	}
}

// read reads all rows of a tenant.
func (o *Oracle) read(ctx context.Context, tx ports.Tx) error {
	const all = 1 << 20
	runs, err := tx.Runs().List(ctx, ports.RunFilter{Limit: all})
	if err != nil {
		return err
	}
	o.rows.Runs = o.rows.Runs[:0]
	for i := range runs {
		r := model.RunRows{Run: &runs[i]}
		if r.Files, err = tx.FileViews().Page(ctx, runs[i].ID, ports.FileFilter{Limit: all, OutputBytes: all}); err != nil {
			return err
		}
		if r.Attempts, err = tx.Attempts().List(ctx, runs[i].ID); err != nil {
			return err
		}
		o.rows.Runs = append(o.rows.Runs, r)
	}
	if o.rows.Entries, err = tx.Ledger().Entries(ctx, 0, all); err != nil {
		return err
	}
	o.rows.Balances, err = tx.Ledger().Balances(ctx)
	return err
}

func (o *Oracle) runsOf(t *tenant) (count int) {
	for _, r := range o.runs {
		if r.row.Tenant == t.id {
			count++
		}
	}
	return count
}

func (o *Oracle) finalRun(t *tenant, rows *model.RunRows) {
	r := o.run(rows.Run.ID)
	switch {
	case r == nil || r.row.Tenant != t.id:
		o.fail(Refinement, "tenant %s ends with run %s, which was not committed", t.id, rows.Run.ID)
		return
	case *rows.Run != r.row:
		o.fail(Refinement, "run %s ends as %+v, it was committed as %+v", r.row.ID, *rows.Run, r.row)
	case len(rows.Files) != len(r.files):
		o.fail(Refinement, "run %s ends with %d files, it was committed with %d", r.row.ID, len(rows.Files), len(r.files))
		return
	}
	for i := range rows.Files {
		if rows.Files[i] != r.files[i] {
			o.fail(Refinement, "file %d of run %s ends as %+v, it was committed as %+v", i, r.row.ID, rows.Files[i], r.files[i])
		}
	}
}
