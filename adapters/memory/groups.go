package memory

import (
	"context"
	"errors"

	"github.com/redrive/redrive/ports"
)

type groups struct{ t *tx }

func (g groups) LockFree(ctx context.Context, want []ports.FilesOf) ([]ports.RunRows, error) {
	if err := g.t.usable(ctx); err != nil {
		return nil, err
	}
	if g.t.readOnly {
		return nil, ports.ErrReadOnly
	}
	var got []ports.RunRows
	for _, w := range want {
		if !g.t.store.locks.tryAcquire(g.t.txState, lockKey{g.t.tenant, lockRun, string(w.Run)}) {
			continue
		}
		run, err := runs(g).Get(ctx, w.Run)
		if errors.Is(err, ports.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files, err := runFiles(g).ByIndex(ctx, w.Run, w.Indexes)
		if err != nil {
			return nil, err
		}
		if got == nil {
			got = make([]ports.RunRows, 0, len(want))
		}
		got = append(got, ports.RunRows{Run: run, Files: files})
	}
	return got, nil
}

func (g groups) Save(ctx context.Context, rows []ports.RunRows) error {
	err := g.save(ctx, rows)
	if errors.Is(err, ports.ErrNotFound) {
		g.t.broken = err
	}
	return err
}

func (g groups) save(ctx context.Context, rows []ports.RunRows) error {
	for i := range rows {
		if !rows[i].FilesOnly {
			if err := runs(g).Save(ctx, rows[i].Run); err != nil {
				return err
			}
		}
		if len(rows[i].Files) == 0 {
			continue
		}
		if err := runFiles(g).Save(ctx, rows[i].Run.ID, rows[i].Files); err != nil {
			return err
		}
	}
	return nil
}
