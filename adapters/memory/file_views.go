package memory

import (
	"context"
	"slices"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type fileViews struct{ t *tx }

// each shows a run's files in order until look has seen enough.
func (f fileViews) each(ctx context.Context, run core.RunID, from int, look func(core.File) (more bool)) error {
	s, w, err := f.t.readRun(ctx, run)
	if err != nil {
		return ignoreNotFound(err)
	}
	defer f.t.done()
	for i := max(from, 0); ; i++ {
		file, ok := fileAt(s, w, i)
		if !ok || !look(file) {
			return nil
		}
	}
}

func (f fileViews) Page(ctx context.Context, run core.RunID, filter ports.FileFilter) ([]core.File, error) {
	if filter.Limit <= 0 {
		return nil, f.t.usable(ctx)
	}
	name := strings.ToLower(filter.Name)
	var files []core.File
	err := f.each(ctx, run, filter.From, func(file core.File) bool {
		if len(filter.Statuses) > 0 && !slices.Contains(filter.Statuses, file.Status) ||
			!strings.Contains(strings.ToLower(file.Name), name) {
			return true
		}
		if len(file.Output) > filter.OutputBytes {
			file.Output = ""
		}
		files = append(files, file)
		return len(files) < filter.Limit
	})
	return files, err
}

func (f fileViews) Output(ctx context.Context, run core.RunID, index int) (core.File, error) {
	var found *core.File
	err := f.each(ctx, run, index, func(file core.File) bool {
		if file.Index == index {
			found = &file
		}
		return false
	})
	if err == nil && found == nil {
		err = ports.ErrNotFound
	}
	if err != nil {
		return core.File{}, err
	}
	return *found, nil
}

func (f fileViews) Counts(ctx context.Context, run core.RunID) (core.FileCounts, error) {
	var c core.FileCounts
	err := f.each(ctx, run, 0, func(file core.File) bool {
		switch file.Status {
		case core.FilePending:
			c.Pending++
			if file.Failure.Code != "" {
				c.Interrupted++
			}
		case core.FileProcessing:
			c.Processing++
		case core.FileCompleted:
			c.Completed++
		case core.FileFailed:
			c.Failed++
		case core.FileError:
			c.Error++
		}
		return true
	})
	return c, err
}

func (f fileViews) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (maxed bool, err error) {
	err = f.each(ctx, run, 0, func(file core.File) bool {
		maxed = maxed || file.Maxed(maxRetryCount)
		return !maxed
	})
	return maxed, err
}

func (f fileViews) FailedWith(ctx context.Context, runs []core.RunID, code string) ([]core.RunID, error) {
	var found []core.RunID
	for _, run := range runs {
		has := false
		err := f.each(ctx, run, 0, func(file core.File) bool {
			has = file.Status.Retriable() && file.Failure.Code == code
			return !has
		})
		if err != nil {
			return nil, err
		}
		if has && !slices.Contains(found, run) {
			found = append(found, run)
		}
	}
	return found, nil
}
