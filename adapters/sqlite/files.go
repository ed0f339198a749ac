package sqlite

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type files struct{ t *tx }

const (
	// readFile is what scanFile reads of files: everything but the output, of which it has
	// the length.
	readFile = `file_index, name, ref, size, status, retry_attempt, free_retries, epoch, lease_until, redeliveries, paid_by,
       output_bytes, failure_code, failure_message`
	insertFiles = `
INSERT INTO files (tenant_id, run_id, max_retry_count, file_index, name, ref, size, status, retry_attempt, free_retries, epoch, lease_until,
       redeliveries, paid_by, output_bytes, failure_code, failure_message) VALUES `
	insertFile = insertFiles + `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// manyRows is how many rows an INSERT writes: a statement for each row takes twice as long,
// more than this hardly less.
const manyRows = 50

// insertNewFiles writes manyRows files as an initiation has them: pending under one epoch,
// and nothing else.
var insertNewFiles = insertFiles + manyTimes(`(?, ?, ?, ?, ?, ?, ?, 'pending', 0, 0, ?, NULL, 0, 0, 0, '', '')`)

// manyTimes repeats a row's values. Its parameters have no numbers: SQLite looks for the
// number of each in a list of all that have one.
func manyTimes(row string) string { return strings.Repeat(row+`, `, manyRows-1) + row }

func (f files) insert(run *core.Run, list []core.File) error {
	indexes := make([]int, len(list))
	for i := range list {
		indexes[i] = list[i].Index
	}
	f.t.knowFiles(run.ID, sorted(indexes))
	for areNew(list) && len(list) >= manyRows {
		args := make([]any, 0, 8*manyRows)
		for i := range list[:manyRows] {
			args = append(args, f.t.tenant, run.ID, run.MaxRetryCount, list[i].Index, list[i].Name, list[i].Ref, list[i].Size, list[i].Epoch)
		}
		if err := f.t.write(ofFiles, manyRows, ports.ErrExists, insertNewFiles, args...); err != nil {
			return err
		}
		list = list[manyRows:]
	}
	for i := range list {
		if err := f.insertOne(run, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f files) insertOne(run *core.Run, file *core.File) error {
	output := text(file.Output)
	if err := f.t.write(ofFiles, 1, ports.ErrExists, insertFile,
		f.t.tenant, run.ID, run.MaxRetryCount, file.Index, file.Name, file.Ref, file.Size, file.Status, file.RetryAttempt, file.FreeRetries,
		file.Epoch, nullTime(file.LeaseUntil), file.Redeliveries, file.PaidBy, int64(len(output)), text(file.Failure.Code), text(file.Failure.Message)); err != nil || output == "" {
		return err
	}
	return f.t.write(ofFiles, 1, ports.ErrExists, insertOutput, f.t.tenant, run.ID, file.Index, output)
}

// knowFiles remembers that files are there.
func (t *tx) knowFiles(run core.RunID, ascending []int) {
	if t.files == nil {
		t.files = make(map[core.RunID][]int)
	}
	if len(t.files[run]) < len(ascending) {
		t.files[run] = ascending
	}
}

// knowRead remembers that files, which ascend, were read.
func (t *tx) knowRead(run core.RunID, list []core.File) {
	if t.snapshot != nil {
		return // it writes nothing
	}
	indexes := make([]int, len(list))
	for i := range list {
		indexes[i] = list[i].Index
	}
	t.knowFiles(run, indexes)
}

// areNew reports whether insertNewFiles writes the first of these files.
func areNew(list []core.File) bool {
	for i := range list[:min(manyRows, len(list))] {
		f := &list[i]
		if *f != (core.File{Index: f.Index, Name: f.Name, Ref: f.Ref, Size: f.Size, Status: core.FilePending, Epoch: list[0].Epoch, OutputBytes: f.OutputBytes}) {
			return false
		}
	}
	return true
}

// exist reports whether all of these files are there; was is what was read under the lock.
func (f files) exist(ctx context.Context, run core.RunID, list []core.File, was *lockedRows) (bool, error) {
	var unknown []int
	for i := range list {
		if !f.known(run, list[i].Index, was, i) {
			unknown = append(unknown, list[i].Index)
		}
	}
	if len(unknown) == 0 {
		return true, nil
	}
	args, err := bind([]any{f.t.tenant, findable(run), jsonList(sorted(unknown))})
	if err != nil {
		return false, err
	}
	there := 0
	err = f.t.committed(ctx, func(c *conn) error {
		return c.query(`SELECT count(*) FROM files WHERE tenant_id = ? AND run_id = ? AND file_index IN (SELECT value FROM json_each(?))`,
			args, func(r *row) { there = r.int() })
	})
	return there == len(unknown), err
}

// known reports whether the transaction knows that a file is there. Files are saved in the
// order in which they were read, so place is where to look first.
func (f files) known(run core.RunID, index int, was *lockedRows, place int) bool {
	if was != nil {
		if place < len(was.files) && was.files[place].Index == index ||
			slices.ContainsFunc(was.files, func(x core.File) bool { return x.Index == index }) {
			return true
		}
	}
	_, found := slices.BinarySearch(f.t.files[run], index)
	return found
}

func (f files) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	if len(indexes) == 0 {
		return nil, f.t.usable(ctx)
	}
	var found []core.File
	err := f.t.read(ctx, ofFiles, func(c *conn) (err error) {
		found, err = filesByIndex(c, f.t.tenant, run, indexes)
		return err
	})
	return found, err
}

const (
	filesOfRun = `SELECT ` + readFile + ` FROM files WHERE tenant_id = ?1 AND run_id = ?2`
	fileAt     = filesOfRun + ` AND file_index = ?3`
	filesRange = filesOfRun + ` AND file_index BETWEEN ?3 AND ?4`
	filesList  = filesOfRun + ` AND file_index IN (SELECT value FROM json_each(?3))`
)

// filesByIndex reads those of the files that exist, in the order of the indexes.
func filesByIndex(c *conn, tenant core.TenantID, run core.RunID, indexes []int) ([]core.File, error) {
	if len(indexes) == 0 {
		return []core.File{}, nil
	}
	list := sorted(indexes)
	first, last := list[0], list[len(list)-1]
	sql, values := filesList, []any{tenant, findable(run)}
	switch {
	case len(list) == 1:
		sql, values = fileAt, append(values, first)
	case last-first == len(list)-1:
		sql, values = filesRange, append(values, first, last)
	default:
		values = append(values, jsonList(list))
	}
	args, err := bind(values)
	if err != nil {
		return nil, err
	}
	found := make([]core.File, 0, len(indexes))
	ordered := ascends(indexes)
	if err := c.query(sql, args, func(r *row) {
		found = append(found, scanFile(r))
		ordered = ordered && (len(found) < 2 || found[len(found)-2].Index < found[len(found)-1].Index)
	}); err != nil || ordered {
		return found, err
	}
	return inOrder(found, indexes), nil
}

func inOrder(found []core.File, indexes []int) []core.File {
	places := make(map[int]int, len(found))
	for i := range found {
		places[found[i].Index] = i
	}
	list := make([]core.File, 0, len(found))
	for _, index := range indexes {
		if at, ok := places[index]; ok {
			list = append(list, found[at])
		}
	}
	return list
}

func (f files) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	found, err := all(ctx, f.t, ofFiles, scanFile, filesInStatus, f.t.tenant, findable(run), jsonWords(statuses))
	if err == nil {
		f.t.knowRead(run, found)
	}
	return found, err
}

// filesInStatus goes through the run by its key: a run's files lie together.
const filesInStatus = filesOfRun + ` AND status IN (SELECT value FROM json_each(?3)) ORDER BY file_index`

// sorted gives the indexes ascending, each once; a copy if they are not.
func sorted(indexes []int) []int {
	if ascends(indexes) {
		return indexes
	}
	indexes = slices.Clone(indexes)
	slices.Sort(indexes)
	return slices.Compact(indexes)
}

func ascends(indexes []int) bool {
	for i := 1; i < len(indexes); i++ {
		if indexes[i] <= indexes[i-1] {
			return false
		}
	}
	return true
}

// jsonList is a list of numbers for json_each, so that one statement serves lists of
// every length.
func jsonList(list []int) string {
	b := append(make([]byte, 0, 2+7*len(list)), '[')
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, ']'))
}
