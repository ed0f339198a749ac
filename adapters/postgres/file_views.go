package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type fileViews struct{ t *tx }

func (f fileViews) Page(ctx context.Context, run core.RunID, filter ports.FileFilter) ([]core.File, error) {
	const sql = `
SELECT ` + readFile + `, CASE WHEN octet_length(f.output) <= $7 THEN f.output ELSE '' END FROM files f
 WHERE tenant_id = $1 AND run_id = $2 AND index >= $3
   AND ($5::text[] IS NULL OR status = ANY($5::text[])) AND ($6 = '' OR position(lower($6) IN lower(name)) > 0)
 ORDER BY index LIMIT $4`
	var statuses []core.FileStatus // NULL: every one
	if len(filter.Statuses) > 0 {
		statuses = filter.Statuses
	}
	return all(ctx, f.t, scanFileWithOutput, sql, f.t.tenant, findable(run), filter.From, max(filter.Limit, 0),
		statuses, findable(filter.Name), filter.OutputBytes)
}

func (f fileViews) Output(ctx context.Context, run core.RunID, index int) (core.File, error) {
	const sql = `SELECT ` + readFile + `, f.output FROM files f WHERE tenant_id = $1 AND run_id = $2 AND index = $3`
	return one(ctx, f.t, scanFileWithOutput, sql, f.t.tenant, findable(run), int32s([]int{index})[0])
}

func (f fileViews) Counts(ctx context.Context, run core.RunID) (core.FileCounts, error) {
	const sql = `
SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'processing'),
       count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
       count(*) FILTER (WHERE status = 'error'), count(*) FILTER (WHERE status = 'pending' AND failure_code <> '')
  FROM files WHERE tenant_id = $1 AND run_id = $2`
	return one(ctx, f.t, func(row pgx.CollectableRow) (c core.FileCounts, err error) {
		err = row.Scan(&c.Pending, &c.Processing, &c.Completed, &c.Failed, &c.Error, &c.Interrupted)
		return c, err
	}, sql, f.t.tenant, findable(run))
}

func (f fileViews) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error) {
	const sql = `
SELECT EXISTS (SELECT FROM files
 WHERE tenant_id = $1 AND run_id = $2 AND status = 'failed' AND retry_attempt - free_retries >= $3)`
	return one(ctx, f.t, pgx.RowTo[bool], sql, f.t.tenant, findable(run), maxRetryCount)
}

// FailedWith looks at each run by its key: see files.ByIndex.
func (f fileViews) FailedWith(ctx context.Context, runs []core.RunID, code string) ([]core.RunID, error) {
	if !core.ValidText(code) {
		return nil, nil
	}
	ids := make([]string, 0, len(runs))
	for _, run := range runs {
		ids = append(ids, string(findable(run)))
	}
	const sql = `
SELECT r.run_id FROM unnest($2::text[]) AS r (run_id) WHERE EXISTS (SELECT FROM files
 WHERE tenant_id = $1 AND run_id = r.run_id AND status IN ('failed', 'pending') AND failure_code = $3)`
	return all(ctx, f.t, pgx.RowTo[core.RunID], sql, f.t.tenant, ids, findable(code))
}
