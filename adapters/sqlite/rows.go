package sqlite

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// Lock reads after it has the locks, so everything is as the last holder left it.
func (r runs) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	if err := r.t.writable(ctx); err != nil {
		return nil, err
	}
	free := want
	if wait == ports.WaitForLock {
		for _, id := range ascending(want) {
			if err := r.t.lock(ctx, locktable.Run, string(id)); err != nil {
				return nil, err
			}
		}
	} else {
		free = make([]ports.FilesOf, 0, len(want))
		for _, w := range want {
			if r.t.tryLock(locktable.Run, string(w.Run)) {
				free = append(free, w)
			}
		}
	}
	rows := make([]ports.RunRows, 0, len(free))
	if len(free) == 0 {
		return rows, nil
	}
	if err := r.t.read(ctx, ofRuns|ofFiles, func(c *conn) (err error) {
		rows, err = r.rows(c, free)
		return err
	}); err != nil {
		return nil, err
	}
	for i := range rows {
		r.t.remember(rows[i].Run, rows[i].Files)
	}
	return rows, nil
}

// rows reads the runs that exist, with their files.
func (r runs) rows(c *conn, want []ports.FilesOf) ([]ports.RunRows, error) {
	rows := make([]ports.RunRows, 0, len(want))
	for _, w := range want {
		args, err := bind([]any{r.t.tenant, findable(w.Run)})
		if err != nil {
			return nil, err
		}
		found := ports.RunRows{}
		if err := c.query(getRun, args, func(row *row) { found.Run = scanRun(row) }); err != nil {
			return nil, err
		}
		if found.Run.ID == "" {
			continue
		}
		if found.Files, err = filesByIndex(c, r.t.tenant, w.Run, w.Indexes); err != nil {
			return nil, err
		}
		rows = append(rows, found)
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

// lockedRows is a run as the transaction has read it under its lock, and such of its
// files as it read then: only the transaction itself can have changed them since.
type lockedRows struct {
	run   core.Run
	files []core.File
}

// remember keeps a copy of what was read: the caller may change its own.
func (t *tx) remember(run core.Run, files []core.File) {
	if t.locked == nil {
		t.locked = make(map[core.RunID]*lockedRows)
	}
	t.locked[run.ID] = &lockedRows{run, slices.Clone(files)}
	t.isThere(rowKey{kind: locktable.Run, id: string(run.ID)})
}

// Save locks what the caller should have locked.
func (r runs) Save(ctx context.Context, rows ...ports.RunRows) error {
	if err := r.t.writable(ctx); err != nil {
		return err
	}
	var s saving
	for i := range rows {
		if err := r.mayBeSaved(ctx, &rows[i]); err != nil {
			return r.t.breaks(err) // others may be written
		}
		s.add(&rows[i], r.t.locked[rows[i].Run.ID])
		delete(r.t.locked, rows[i].Run.ID) // it is not what is there any more
	}
	return s.write(r.t)
}

// mayBeSaved locks a run or its files, and finds out whether they are there.
func (r runs) mayBeSaved(ctx context.Context, rows *ports.RunRows) error {
	id := rows.Run.ID
	if !rows.FilesOnly {
		if err := r.t.lock(ctx, locktable.Run, string(id)); err != nil {
			return err
		}
		if err := must(r.t.runExists(ctx, id)); err != nil {
			return err
		}
	}
	if len(rows.Files) == 0 {
		return nil
	}
	if err := r.t.lock(ctx, locktable.Files, string(id)); err != nil {
		return err
	}
	return must(files(r).exist(ctx, id, rows.Files, r.t.locked[id]))
}
