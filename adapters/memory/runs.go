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
	err := r.t.read(ctx, func(st *tenantState) error {
		if err := r.t.exists(st); err != nil {
			return err
		}
		if _, taken := r.t.store.owners[run.ID]; taken || r.t.runs[run.ID] != nil {
			return ports.ErrExists
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := r.t.writesOf(run.ID)
	run.Tenant = r.t.tenant
	w.run, w.inserted, w.newFiles = &run, true, slices.Clone(files)
	slices.SortFunc(w.newFiles, func(a, b core.File) int { return a.Index - b.Index })
	return nil
}

func (r runs) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	var run core.Run
	err := r.t.readRun(ctx, id, func(s *runState, w *runWrites) error {
		if w != nil && w.run != nil {
			run = *w.run
		} else {
			run = s.run
		}
		return nil
	})
	return run, err
}

func (r runs) GetForUpdate(ctx context.Context, id core.RunID) (core.Run, error) {
	if err := r.t.lock(ctx, lockRun, string(id)); err != nil {
		return core.Run{}, err
	}
	return r.Get(ctx, id)
}

func (r runs) Save(ctx context.Context, run core.Run) error {
	if _, err := r.GetForUpdate(ctx, run.ID); err != nil {
		return err
	}
	run.Tenant = r.t.tenant
	r.t.writesOf(run.ID).run = &run
	return nil
}

func (r runs) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	var list []core.Run
	err := r.t.read(ctx, func(st *tenantState) error {
		for _, cursor := range slices.Backward(r.order(st)) {
			if filter.Before != (ports.RunCursor{}) && compareCursors(cursor, filter.Before) >= 0 {
				continue
			}
			run := r.row(st, cursor.ID)
			if filter.Status != "" && run.Status != filter.Status {
				continue
			}
			if list = append(list, run); len(list) == filter.Limit {
				break
			}
		}
		return nil
	})
	return list, err
}

// order is that of the committed runs with those of this transaction among them.
func (r runs) order(st *tenantState) []ports.RunCursor {
	var order []ports.RunCursor
	if st != nil {
		order = st.order
	}
	var own []ports.RunCursor
	for id, w := range r.t.runs {
		if w.inserted {
			own = append(own, ports.RunCursor{CreatedAt: w.run.CreatedAt, ID: id})
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
	if w := r.t.runs[id]; w != nil && w.run != nil {
		return *w.run
	}
	return st.runs[id].run
}
