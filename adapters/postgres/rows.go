package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Lock takes one round trip. The second query's snapshot is taken after the
// first has its locks, so the files are as the last holder of the lock left them.
func (r runs) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	const (
		lockRuns  = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = $1 AND run_id = ANY($2::text[]) ORDER BY run_id FOR UPDATE`
		readFiles = `
SELECT f.run_id, ` + readFile + `
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS u (run_id, index, place) OFFSET 0) wanted
  JOIN files f ON f.tenant_id = wanted.tenant_id AND f.run_id = wanted.run_id AND f.index = wanted.index
 ORDER BY wanted.place`
	)
	if err := r.t.writable(); err != nil {
		return nil, err
	}
	ids, fileRuns, indexes := wanted(want)
	var locked []core.Run
	var files []fileOfRun
	batch := &pgx.Batch{}
	lock := lockRuns
	if wait == ports.SkipLocked {
		lock += ` SKIP LOCKED`
	}
	batch.Queue(lock, r.t.tenant, ids).Query(collect(&locked, scanRun))
	batch.Queue(readFiles, r.t.tenant, fileRuns, int32s(indexes)).Query(collect(&files, scanFileOfRun))
	if err := r.t.batch(ctx, batch); err != nil {
		return nil, err
	}
	byRun := make(map[core.RunID]core.Run, len(locked))
	for _, run := range locked {
		byRun[run.ID] = run
	}
	rows := make([]ports.RunRows, 0, len(locked))
	for _, w := range want {
		n := 0 // the files are in the order of the request
		for n < len(files) && files[n].run == w.Run {
			n++
		}
		own := files[:n]
		files = files[n:]
		run, free := byRun[w.Run]
		if !free {
			continue
		}
		list := make([]core.File, n)
		for i := range own {
			list[i] = own[i].File
		}
		rows = append(rows, ports.RunRows{Run: run, Files: list})
	}
	return rows, nil
}

// wanted gives the runs' IDs, and for each file its run's ID and its index.
func wanted(want []ports.FilesOf) (ids, fileRuns []string, indexes []int) {
	ids = make([]string, len(want))
	for i, w := range want {
		ids[i] = string(findable(w.Run))
		for range w.Indexes {
			fileRuns = append(fileRuns, ids[i])
		}
		indexes = append(indexes, w.Indexes...)
	}
	return ids, fileRuns, indexes
}

// Save takes one round trip: an UPDATE a run and one for all files. They are sent
// together, so a row that is not there is found out after the others were
// written.
func (r runs) Save(ctx context.Context, rows ...ports.RunRows) error {
	const saveFiles = `
UPDATE files f SET ` + setFileState + `, max_retry_count = v.max_retry_count
  FROM (SELECT $1::text AS tenant_id, u.*
          FROM unnest($2::text[], $14::int[], ` + fileArrays3 + `) AS u (run_id, max_retry_count, ` + fileState + `) OFFSET 0) v
 WHERE f.tenant_id = v.tenant_id AND f.run_id = v.run_id AND f.index = v.index`
	if err := r.t.writable(); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	var found, asked int64
	count := func(tag pgconn.CommandTag) error {
		found += tag.RowsAffected()
		return nil
	}
	var files []core.File
	var fileRuns []string
	var maxRetries []int32
	for i := range rows {
		of := &rows[i]
		if !of.FilesOnly {
			asked++
			batch.Queue(saveRun, runArgs(r.t.tenant, of.Run)...).Exec(count)
		}
		files = append(files, of.Files...)
		for range of.Files {
			fileRuns = append(fileRuns, string(findable(of.Run.ID)))
			maxRetries = append(maxRetries, int32(of.Run.MaxRetryCount))
		}
	}
	if len(files) > 0 {
		asked += int64(len(files))
		args := append([]any{r.t.tenant, fileRuns}, fileStateArgs(files)...)
		batch.Queue(saveFiles, append(args, maxRetries)...).Exec(count)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := r.t.batch(ctx, batch); err != nil {
		return err
	}
	if found != asked {
		r.t.failed = ports.ErrNotFound
		return ports.ErrNotFound
	}
	return nil
}
