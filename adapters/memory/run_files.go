package memory

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

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
