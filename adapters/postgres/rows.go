package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Lock takes one round trip. The second query's snapshot is taken after the
// first has its locks, so the files are as the last holder of the lock left them.
func (r runs) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	const (
		lockRun = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = $1 AND run_id = $2 FOR UPDATE`
		// In the order of the list, and each by its whole key: with ORDER BY run_id Postgres
		// reads all runs of the tenant by the primary key's order and filters them.
		lockRuns = `
SELECT ` + runColumns + `
  FROM (SELECT $1::text AS of_tenant, u.of_run FROM unnest($2::text[]) AS u (of_run) OFFSET 0) wanted
  JOIN runs r ON r.tenant_id = wanted.of_tenant AND r.run_id = wanted.of_run`
		lockedInOrder = `
   FOR UPDATE OF r`
		readFiles = `
SELECT wanted.place, ` + readFile + `
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS u (run_id, index, place) OFFSET 0) wanted
  JOIN files f ON f.tenant_id = wanted.tenant_id AND f.run_id = wanted.run_id AND f.index = wanted.index`
	)
	if err := r.t.writable(); err != nil {
		return nil, err
	}
	if len(want) == 0 {
		return nil, nil
	}
	ids, fileRuns, indexes := wanted(want)
	var locked []core.Run
	files := make([]core.File, len(indexes))
	found := make([]bool, len(indexes))
	batch := &pgx.Batch{}
	lock, which := lockRun, any(ids[0])
	if len(ids) > 1 {
		slices.Sort(ids)
		lock, which = lockRuns+ofTenant(r.t.citus, "r")+lockedInOrder, ids
	}
	if wait == ports.SkipLocked {
		lock += ` SKIP LOCKED`
	}
	batch.Queue(lock, r.t.tenant, which).Query(collect(&locked, scanRun))
	if len(indexes) > 0 {
		batch.Queue(readFiles+ofTenant(r.t.citus, "f"), r.t.tenant, fileRuns, int32s(indexes)).Query(func(rows pgx.Rows) error {
			return scanPlaced(rows, files, found)
		})
	}
	if err := r.t.batch(ctx, batch); err != nil {
		return nil, err
	}
	byRun := make(map[core.RunID]core.Run, len(locked))
	for _, run := range locked {
		byRun[run.ID] = run
	}
	rows := make([]ports.RunRows, 0, len(locked))
	for _, w := range want {
		own, there := files[:len(w.Indexes)], found[:len(w.Indexes)]
		files, found = files[len(own):], found[len(own):]
		run, free := byRun[w.Run]
		if !free {
			continue
		}
		list := make([]core.File, 0, len(own))
		for i := range own {
			if there[i] {
				list = append(list, own[i])
			}
		}
		rows = append(rows, ports.RunRows{Run: run, Files: list})
		r.t.remember(run, list)
	}
	return rows, nil
}

// wanted gives the runs' IDs, and for each file its run's ID and its index.
func wanted(want []ports.FilesOf) (ids, fileRuns []string, indexes []int) {
	ids = make([]string, len(want))
	files := 0
	for i := range want {
		files += len(want[i].Indexes)
	}
	fileRuns, indexes = make([]string, 0, files), make([]int, 0, files)
	for i, w := range want {
		ids[i] = string(findable(w.Run))
		for range w.Indexes {
			fileRuns = append(fileRuns, ids[i])
		}
		indexes = append(indexes, w.Indexes...)
	}
	return ids, fileRuns, indexes
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
	t.locked[run.ID] = &lockedRows{run, append([]core.File(nil), files...)}
}

// Save takes one round trip: an UPDATE for each way in which rows differ from what was
// read under their locks, which for a claim, a renewal or a settlement is one for the
// files and at most one for the runs. They are sent together, so a row that is not
// there is found out after the others were written.
func (r runs) Save(ctx context.Context, rows ...ports.RunRows) error {
	if err := r.t.writable(); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	all := r.queueSave(batch, rows)
	if batch.Len() == 0 {
		return nil
	}
	if err := r.t.batch(ctx, batch); err != nil {
		return err
	}
	return r.t.fail(all())
}

// queueSave adds the statements that save the rows. Once they were sent, all says whether
// each row was there.
func (r runs) queueSave(batch *pgx.Batch, rows []ports.RunRows) (all func() error) {
	s := saving{citus: r.t.citus}
	for i := range rows {
		s.add(&rows[i], r.t.locked[rows[i].Run.ID])
		delete(r.t.locked, rows[i].Run.ID) // it is not what is there any more
	}
	var found int64
	s.queue(r.t.tenant, func(sql string, args ...any) {
		batch.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
			found += tag.RowsAffected()
			return nil
		})
	})
	return func() error {
		if found != s.rows {
			return ports.ErrNotFound
		}
		return nil
	}
}
