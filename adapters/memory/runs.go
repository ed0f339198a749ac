package memory

import (
	"context"
	"errors"
	"slices"
	"time"

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

type runFiles struct{ t *tx }

// each calls fn for every file from an index on, until fn says stop.
func (f runFiles) each(ctx context.Context, run core.RunID, from int, fn func(core.File) (more bool)) error {
	return f.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		for i := max(from, 0); ; i++ {
			file, ok := fileAt(s, w, i)
			if !ok || !fn(file) {
				return nil
			}
		}
	})
}

func fileAt(s *runState, w *runWrites, i int) (core.File, bool) {
	if w != nil {
		if file, ok := w.files[i]; ok {
			return file, true
		}
	}
	rows := []core.File(nil)
	if s != nil {
		rows = s.files
	} else if w != nil {
		rows = w.newFiles
	}
	if i < 0 || i >= len(rows) {
		return core.File{}, false
	}
	return rows[i], true
}

func (f runFiles) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	files := make([]core.File, 0, len(indexes))
	err := f.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		for _, i := range indexes {
			if file, ok := fileAt(s, w, i); ok {
				files = append(files, file)
			}
		}
		return nil
	})
	return files, ignoreNotFound(err)
}

func (f runFiles) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	var files []core.File
	err := f.each(ctx, run, 0, func(file core.File) bool {
		if slices.Contains(statuses, file.Status) {
			files = append(files, file)
		}
		return true
	})
	return files, ignoreNotFound(err)
}

func (f runFiles) Page(ctx context.Context, run core.RunID, from, limit int) ([]core.File, error) {
	var files []core.File
	if limit <= 0 {
		return nil, f.t.usable(ctx)
	}
	err := f.each(ctx, run, from, func(file core.File) bool {
		files = append(files, file)
		return len(files) < limit
	})
	return files, ignoreNotFound(err)
}

func (f runFiles) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error) {
	found := false
	err := f.each(ctx, run, 0, func(file core.File) bool {
		found = file.Status.Retriable() && file.RetryAttempt >= maxRetryCount
		return !found
	})
	return found, ignoreNotFound(err)
}

func (f runFiles) Save(ctx context.Context, run core.RunID, files []core.File) error {
	if err := f.t.lock(ctx, lockFiles, string(run)); err != nil {
		return err
	}
	files = slices.Clone(files)
	err := f.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		for i := range files {
			row, ok := fileAt(s, w, files[i].Index)
			if !ok {
				return ports.ErrNotFound
			}
			files[i].Name, files[i].Ref, files[i].Size = row.Name, row.Ref, row.Size
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := f.t.writesOf(run)
	if w.files == nil {
		w.files = make(map[int]core.File, len(files))
	}
	for _, file := range files {
		w.files[file.Index] = file
	}
	return nil
}

type attempts struct{ t *tx }

func (a attempts) Insert(ctx context.Context, attempt core.Attempt) error {
	if err := a.t.lock(ctx, lockAttempts, string(attempt.Run)); err != nil {
		return err
	}
	_, err := a.Get(ctx, attempt.Run, attempt.Number)
	if err == nil {
		return ports.ErrExists
	}
	if err := a.t.readRun(ctx, attempt.Run, func(*runState, *runWrites) error { return nil }); err != nil {
		return err
	}
	attempt.Tenant = a.t.tenant
	attempt.Files = slices.Clone(attempt.Files)
	w := a.t.writesOf(attempt.Run)
	w.attempts = append(w.attempts, attempt)
	return nil
}

func (a attempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	list, err := a.list(ctx, run, func(x core.Attempt) bool { return x.Number == n })
	if err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	return list[0], nil
}

func (a attempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	if err := a.t.lock(ctx, lockAttempts, string(run)); err != nil {
		return err
	}
	if _, err := a.Get(ctx, run, n); err != nil {
		return err
	}
	w := a.t.writesOf(run)
	if w.compensated == nil {
		w.compensated = map[core.AttemptNumber]time.Time{}
	}
	w.compensated[n] = at
	return nil
}

func (a attempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	list, err := a.list(ctx, run, func(core.Attempt) bool { return true })
	return list, ignoreNotFound(err)
}

func (a attempts) list(ctx context.Context, run core.RunID, want func(core.Attempt) bool) ([]core.Attempt, error) {
	var list []core.Attempt
	err := a.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		var all []core.Attempt
		if s != nil {
			all = s.attempts
		}
		if w != nil {
			all = slices.Concat(all, w.attempts)
		}
		for _, x := range all {
			if !want(x) {
				continue
			}
			x.Files = slices.Clone(x.Files)
			if w != nil && !w.compensated[x.Number].IsZero() {
				x.CompensatedAt = w.compensated[x.Number]
			}
			list = append(list, x)
		}
		return nil
	})
	slices.SortFunc(list, func(x, y core.Attempt) int { return int(x.Number - y.Number) })
	return list, err
}

type amendments struct{ t *tx }

func (a amendments) Insert(ctx context.Context, amendment core.Amendment) error {
	if err := a.t.lock(ctx, lockAttempts, string(amendment.Run)); err != nil {
		return err
	}
	if err := a.t.readRun(ctx, amendment.Run, func(*runState, *runWrites) error { return nil }); err != nil {
		return err
	}
	amendment.Tenant = a.t.tenant
	w := a.t.writesOf(amendment.Run)
	w.amendments = append(w.amendments, amendment)
	return nil
}

func (a amendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	var list []core.Amendment
	err := a.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		if s != nil {
			list = slices.Clone(s.amendments)
		}
		if w != nil {
			list = append(list, w.amendments...)
		}
		return nil
	})
	return list, ignoreNotFound(err)
}

// ignoreNotFound: a list of what belongs to an unknown run is empty, as a
// query's would be.
func ignoreNotFound(err error) error {
	if errors.Is(err, ports.ErrNotFound) {
		return nil
	}
	return err
}
