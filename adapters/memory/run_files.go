package memory

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type runFiles struct{ t *tx }

func fileAt(s *runState, w *runWrites, i int) (core.File, bool) {
	if w != nil && len(w.files) > 0 {
		if at, found := w.find(i); found {
			return w.files[at], true
		}
	}
	if row := insertedAt(s, w, i); row != nil {
		return *row, true
	}
	return core.File{}, false
}

// insertedAt is the file without what the transaction saved of it; nil if there is
// none.
func insertedAt(s *runState, w *runWrites, i int) *core.File {
	rows := []core.File(nil)
	if s != nil {
		rows = s.files
	} else if w != nil {
		rows = w.newFiles
	}
	if i < 0 || i >= len(rows) {
		return nil
	}
	return &rows[i]
}

// find finds the place of a written file.
func (w *runWrites) find(index int) (at int, found bool) {
	return slices.BinarySearchFunc(w.files, index, func(f core.File, i int) int { return f.Index - i })
}

// add takes written files, which keep what Insert wrote and nothing changes; of two
// writes of one file the later counts.
func (w *runWrites) add(s *runState, files []core.File) {
	ascending := len(w.files) == 0 || len(files) == 0 || files[0].Index > w.files[len(w.files)-1].Index
	for i := 1; i < len(files) && ascending; i++ {
		ascending = files[i].Index > files[i-1].Index
	}
	w.files = append(w.files, files...)
	own := w.files[len(w.files)-len(files):]
	for i := range own {
		row := insertedAt(s, w, own[i].Index)
		own[i].Name, own[i].Ref, own[i].Size = row.Name, row.Ref, row.Size
		own[i].OutputBytes = int64(len(own[i].Output))
	}
	if ascending {
		return
	}
	slices.SortStableFunc(w.files, func(a, b core.File) int { return a.Index - b.Index })
	last := 0
	for i := 1; i < len(w.files); i++ {
		if w.files[i].Index != w.files[last].Index {
			last++
		}
		w.files[last] = w.files[i]
	}
	w.files = w.files[:last+1]
}

func (f runFiles) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	if len(indexes) == 0 {
		return nil, f.t.usable(ctx)
	}
	s, w, err := f.t.readRun(ctx, run)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	defer f.t.done()
	files := make([]core.File, 0, len(indexes))
	for _, i := range indexes {
		if file, ok := fileAt(s, w, i); ok {
			file.Output = ""
			files = append(files, file)
		}
	}
	return files, nil
}

func (f runFiles) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	s, w, err := f.t.readRun(ctx, run)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	defer f.t.done()
	var files []core.File
	for i := 0; ; i++ {
		file, ok := fileAt(s, w, i)
		if !ok {
			return files, nil
		}
		if slices.Contains(statuses, file.Status) {
			file.Output = ""
			files = append(files, file)
		}
	}
}

func (f runFiles) save(ctx context.Context, run core.RunID, files []core.File) error {
	if err := f.t.lock(ctx, lockFiles, string(run)); err != nil {
		return err
	}
	s, w, err := f.t.readRun(ctx, run)
	if err != nil {
		return err
	}
	defer f.t.done()
	for i := range files {
		if insertedAt(s, w, files[i].Index) == nil {
			return ports.ErrNotFound
		}
	}
	f.t.writesOf(run).add(s, files)
	return nil
}
