package sqlite

import (
	"context"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type fileViews struct{ t *tx }

// outputOf is the file's output. That of a file which has none is not looked for.
const outputOf = `CASE WHEN f.output_bytes > 0 THEN (SELECT output FROM outputs o
   WHERE o.tenant_id = f.tenant_id AND o.run_id = f.run_id AND o.file_index = f.file_index) ELSE '' END`

func (f fileViews) Page(ctx context.Context, run core.RunID, filter ports.FileFilter) ([]core.File, error) {
	const (
		from = `
SELECT ` + readFile + `, CASE WHEN output_bytes <= ?5 THEN ` + outputOf + ` ELSE '' END FROM files f
 WHERE tenant_id = ?1 AND run_id = ?2 AND file_index >= ?3`
		inStatus = ` AND status IN (SELECT value FROM json_each(?6))`
		named    = ` AND instr(redrive_lower(name), ?7) > 0`
		order    = ` ORDER BY file_index LIMIT ?4`
	)
	sql := from
	if len(filter.Statuses) > 0 {
		sql += inStatus
	}
	if filter.Name != "" {
		sql += named
	}
	return all(ctx, f.t, ofFiles, scanFileWithOutput, sql+order, f.t.tenant, findable(run), filter.From, max(filter.Limit, 0),
		filter.OutputBytes, jsonWords(filter.Statuses), strings.ToLower(text(filter.Name)))
}

func (f fileViews) Output(ctx context.Context, run core.RunID, index int) (core.File, error) {
	const sql = `SELECT ` + readFile + `, ` + outputOf + ` FROM files f WHERE tenant_id = ? AND run_id = ? AND file_index = ?`
	return one(ctx, f.t, ofFiles, scanFileWithOutput, sql, f.t.tenant, findable(run), index)
}

func (f fileViews) Counts(ctx context.Context, run core.RunID) (core.FileCounts, error) {
	const sql = `
SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'processing'),
       count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
       count(*) FILTER (WHERE status = 'error'), count(*) FILTER (WHERE status = 'pending' AND failure_code <> '')
  FROM files WHERE tenant_id = ? AND run_id = ?`
	return one(ctx, f.t, ofFiles, func(r *row) core.FileCounts {
		return core.FileCounts{Pending: r.int(), Processing: r.int(), Completed: r.int(), Failed: r.int(), Error: r.int(), Interrupted: r.int()}
	}, sql, f.t.tenant, findable(run))
}

func (f fileViews) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error) {
	const sql = `
SELECT EXISTS (SELECT 1 FROM files
 WHERE tenant_id = ? AND run_id = ? AND status = 'failed' AND retry_attempt - free_retries >= ?)`
	return one(ctx, f.t, ofFiles, func(r *row) bool { return r.number() != 0 }, sql, f.t.tenant, findable(run), maxRetryCount)
}

func (f fileViews) FailedWith(ctx context.Context, runs []core.RunID, code string) ([]core.RunID, error) {
	if len(runs) == 0 || !isText(code) {
		return nil, f.t.usable(ctx)
	}
	const sql = `
SELECT r.value FROM json_each(?2) r WHERE EXISTS (SELECT 1 FROM files
 WHERE tenant_id = ?1 AND run_id = r.value AND status IN ('failed', 'pending') AND failure_code = ?3)`
	return all(ctx, f.t, ofFiles, func(r *row) core.RunID { return core.RunID(r.text()) }, sql, f.t.tenant, jsonWords(runs), code)
}
