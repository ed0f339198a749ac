package memory

import (
	"context"
	"errors"
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

func (r runs) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	if err := r.t.writable(ctx); err != nil {
		return nil, err
	}
	if wait == ports.WaitForLock {
		for _, id := range ascending(want) {
			if err := r.t.lock(ctx, lockRun, string(id)); err != nil {
				return nil, err
			}
		}
		return r.rows(ctx, want)
	}
	free := make([]ports.FilesOf, 0, len(want))
	for _, w := range want {
		if r.t.tryLock(lockRun, string(w.Run)) {
			free = append(free, w)
		}
	}
	return r.rows(ctx, free)
}

// rows reads the runs that exist, with their files.
func (r runs) rows(ctx context.Context, want []ports.FilesOf) ([]ports.RunRows, error) {
	rows := make([]ports.RunRows, 0, len(want))
	for _, w := range want {
		run, err := r.Get(ctx, w.Run)
		if errors.Is(err, ports.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files, err := runFiles(r).ByIndex(ctx, w.Run, w.Indexes)
		if err != nil {
			return nil, err
		}
		rows = append(rows, ports.RunRows{Run: run, Files: files})
	}
	return rows, nil
}

// ascending gives the runs' IDs in the order in which their locks are taken.
func ascending(want []ports.FilesOf) []core.RunID {
	ids := make([]core.RunID, len(want))
	for i, w := range want {
		ids[i] = w.Run
	}
	slices.Sort(ids)
	return ids
}

func (r runs) Save(ctx context.Context, rows ...ports.RunRows) error {
	for i := range rows {
		if err := r.save(ctx, &rows[i]); err != nil {
			if errors.Is(err, ports.ErrNotFound) {
				r.t.broken = err // others may be written
			}
			return err
		}
	}
	return nil
}

func (r runs) save(ctx context.Context, rows *ports.RunRows) error {
	if !rows.FilesOnly {
		if err := r.t.lock(ctx, lockRun, string(rows.Run.ID)); err != nil {
			return err
		}
		if err := r.t.runExists(ctx, rows.Run.ID); err != nil {
			return err
		}
		w := r.t.writesOf(rows.Run.ID)
		w.run, w.saved = rows.Run, true
		w.run.Tenant = r.t.tenant
	}
	if len(rows.Files) == 0 {
		return nil
	}
	return runFiles(r).save(ctx, rows.Run.ID, rows.Files)
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
	order := r.order(st)
	list := make([]core.Run, 0, min(max(filter.Limit, 0), len(order)))
	for _, cursor := range slices.Backward(order) {
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
