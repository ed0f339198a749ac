package memory

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type runs struct{ t *tx }

func (r runs) Insert(ctx context.Context, run core.Run, files []core.File) error {
	if err := r.t.lock(ctx, lockRun, string(run.ID)); err != nil {
		return err
	}
	if err := r.free(ctx, run.ID); err != nil {
		return err
	}
	w := r.t.writesOf(run.ID)
	run.Tenant = r.t.tenant
	w.run, w.saved, w.inserted, w.newFiles = run, true, true, append(w.newFiles[:0], files...)
	slices.SortFunc(w.newFiles, func(a, b core.File) int { return a.Index - b.Index })
	return nil
}

// free fails with ports.ErrExists if there is a run with this ID, of any tenant.
func (r runs) free(ctx context.Context, id core.RunID) error {
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	if _, err := r.t.read(ctx); err != nil {
		return err
	}
	defer r.t.done()
	if _, taken := r.t.store.owners[id]; taken || r.t.written(id) != nil {
		return ports.ErrExists
	}
	return nil
}

func (r runs) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	s, w, err := r.t.readRun(ctx, id)
	if err != nil {
		return core.Run{}, err
	}
	defer r.t.done()
	if w != nil && w.saved {
		return w.run, nil
	}
	return s.run, nil
}

func (r runs) GetForUpdate(ctx context.Context, id core.RunID) (core.Run, error) {
	if err := r.t.lock(ctx, lockRun, string(id)); err != nil {
		return core.Run{}, err
	}
	return r.Get(ctx, id)
}

func (r runs) Save(ctx context.Context, run core.Run) error {
	if err := r.t.lock(ctx, lockRun, string(run.ID)); err != nil {
		return err
	}
	if err := r.t.runExists(ctx, run.ID); err != nil {
		return err
	}
	w := r.t.writesOf(run.ID)
	w.run, w.saved = run, true
	w.run.Tenant = r.t.tenant
	return nil
}

func (r runs) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	if filter.Searches() {
		return nil, ports.ErrSearch
	}
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	var list []core.Run
	for _, cursor := range slices.Backward(r.order(st)) {
		if !inPlace(cursor, &filter) {
			continue
		}
		run := r.row(st, cursor.ID)
		if len(filter.Statuses) > 0 && !slices.Contains(filter.Statuses, run.Status) {
			continue
		}
		if list = append(list, run); len(list) == filter.Limit {
			break
		}
	}
	return list, nil
}

// inPlace reports whether a run's place in the order is one that the filter asks for.
func inPlace(c ports.RunCursor, filter *ports.RunFilter) bool {
	return (filter.Before == (ports.RunCursor{}) || compareCursors(c, filter.Before) < 0) &&
		!c.CreatedAt.Before(filter.CreatedFrom) &&
		(filter.CreatedTo.IsZero() || c.CreatedAt.Before(filter.CreatedTo))
}

// order is that of the committed runs with those of this transaction among them.
func (r runs) order(st *tenantState) []ports.RunCursor {
	var order []ports.RunCursor
	if st != nil {
		order = st.order
	}
	var own []ports.RunCursor
	for _, w := range r.t.wrote.runs {
		if w.inserted {
			own = append(own, ports.RunCursor{CreatedAt: w.run.CreatedAt, ID: w.id})
		}
	}
	if len(own) == 0 {
		return order
	}
	order = slices.Concat(order, own)
	slices.SortFunc(order, compareCursors)
	return order
}

func (r runs) row(st *tenantState, id core.RunID) core.Run {
	if w := r.t.written(id); w != nil && w.saved {
		return w.run
	}
	return st.runs[id].run
}
