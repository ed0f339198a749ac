package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type runs struct{ t *tx }

const runColumns = `tenant_id, run_id, template_id, mode, status, reason,
 created_by_subject, created_by_tenant, created_by_role, created_at, closed_at,
 max_retry_count, attempt, epoch, dispatch, last_retried_at,
 total_jobs, attempt_jobs, completed_jobs, failed_jobs,
 tally_unfinished, tally_completed, tally_failed, tally_error,
 credits_consumed, credits_from_monthly, credits_from_purchased,
 recover_at, dispatched_at, redispatches, template_version, failure_code, failure_message`

// What writes a new run: its row in the directory, its own and its files', one statement each.
// As parts of one statement they take a third longer in Postgres. The files are read from the
// run, so that a node of Citus inserts them itself; and Citus passes on what unnest gives only
// if each of its columns has a name.
const (
	insertOwner = `INSERT INTO run_owners (run_id, tenant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	insertRun   = `
INSERT INTO runs (` + runColumns + `, file_count)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27,
        $28, $29, $30, $31, $32, $33, $34) ON CONFLICT DO NOTHING`
	insertFiles = `
INSERT INTO files (tenant_id, run_id, max_retry_count, ` + fileColumns + `)`
	// insertNewFiles writes files as an initiation has them: by index from 0, pending under
	// one epoch, and nothing else.
	insertNewFiles = insertFiles + `
SELECT r.tenant_id, r.run_id, $3::int, v.place - 1, v.name, v.ref, v.size, 'pending', 0, 0, $7::bigint, NULL, 0, 0, '', '', ''
  FROM runs r, unnest($4::text[], $5::text[], $6::bigint[]) WITH ORDINALITY AS v (name, ref, size, place)
 WHERE r.tenant_id = $1 AND r.run_id = $2`
	insertAnyFiles = insertFiles + `
SELECT r.tenant_id, r.run_id, $3::int, v.* FROM runs r, unnest(` + fileArrays4 + `) AS v (` + fileColumns + `)
 WHERE r.tenant_id = $1 AND r.run_id = $2`
)

// statement is one with its arguments.
type statement struct {
	sql  string
	args []any
}

func (r runs) Insert(ctx context.Context, run core.Run, list []core.File) error {
	for _, st := range insertingRun(r.t.citus, r.t.tenant, run, list) {
		if err := r.t.insert(ctx, st.sql, st.args...); err != nil {
			return err
		}
	}
	return nil
}

// insertingRun writes the directory's row, the run and its files. If the run's ID is taken, by
// whatever tenant, the first statement writes nothing, and then none of them is to be written.
func insertingRun(citus bool, tenant core.TenantID, run core.Run, list []core.File) []statement {
	var all []statement
	if !citus || !unmistakable(run.ID) {
		all = append(all, statement{insertOwner, []any{run.ID, tenant}})
	}
	all = append(all, statement{insertRun, append(runArgs(tenant, run), run.Tally.Total())})
	of := []any{tenant, run.ID, run.MaxRetryCount}
	switch {
	case len(list) == 0:
	case areNew(list):
		name, ref, size := fileInputArgs(list)
		all = append(all, statement{insertNewFiles, append(of, name, ref, size, list[0].Epoch)})
	default:
		all = append(all, statement{insertAnyFiles, append(of, fileArgs(list)...)})
	}
	return all
}

// areNew reports whether insertNewFiles writes these files.
func areNew(list []core.File) bool {
	for i := range list {
		f := &list[i]
		if *f != (core.File{Index: i, Name: f.Name, Ref: f.Ref, Size: f.Size, Status: core.FilePending, Epoch: list[0].Epoch, OutputBytes: f.OutputBytes}) {
			return false
		}
	}
	return len(list) > 0
}

func (r runs) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	const sql = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = $1 AND run_id = $2`
	return one(ctx, r.t, scanRun, sql, r.t.tenant, findable(id))
}

// saveRun overwrites everything but file_count, so that a tally which does not add
// up to the number of files is refused by the table.
const saveRun = `
UPDATE runs SET template_id = $3, mode = $4, status = $5, reason = $6,
       created_by_subject = $7, created_by_tenant = $8, created_by_role = $9, created_at = $10, closed_at = $11,
       max_retry_count = $12, attempt = $13, epoch = $14, dispatch = $15, last_retried_at = $16,
       total_jobs = $17, attempt_jobs = $18, completed_jobs = $19, failed_jobs = $20,
       tally_unfinished = $21, tally_completed = $22, tally_failed = $23, tally_error = $24,
       credits_consumed = $25, credits_from_monthly = $26, credits_from_purchased = $27,
       recover_at = $28, dispatched_at = $29, redispatches = $30,
       template_version = $31, failure_code = $32, failure_message = $33
 WHERE tenant_id = $1 AND run_id = $2`

// List pages by (created_at, run_id), which never change.
func (r runs) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	if filter.Searches() {
		return nil, ports.ErrSearch
	}
	sql, args := listRuns(r.t.tenant, &filter, filter.Limit)
	return all(ctx, r.t, scanRun, sql, planned(args)...)
}

// planned has a statement planned for its arguments each time. A plan for any status,
// which Postgres makes after the fifth time, goes through the whole history for a rare
// one: it thinks that either index is as good.
func planned(args []any) []any { return append([]any{pgx.QueryExecModeCacheDescribe}, args...) }

// listRuns reads at most limit runs of each status that is asked for, by the index
// that has it: a page of rare statuses does not read the tenant's history.
func listRuns(tenant core.TenantID, filter *ports.RunFilter, limit int) (sql string, args []any) {
	const newest = ` ORDER BY created_at DESC, run_id DESC LIMIT $2`
	place, args := placeOf(filter, []any{tenant, limit})
	from := `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = $1` + place
	var parts []string
	for _, status := range slices.Compact(slices.Sorted(slices.Values(filter.Statuses))) {
		args = append(args, status)
		parts = append(parts, `(`+from+` AND status = $`+strconv.Itoa(len(args))+newest+`)`)
	}
	switch len(parts) {
	case 0:
		return from + newest, args
	case 1:
		return parts[0], args
	default:
		return strings.Join(parts, ` UNION ALL `) + newest, args
	}
}

// placeOf gives the conditions on a run's place in the order, with their arguments
// after those that there are.
func placeOf(filter *ports.RunFilter, args []any) (string, []any) {
	var where strings.Builder
	and := func(condition string, values ...any) {
		where.WriteString(` AND ` + condition)
		for i, v := range values {
			args = append(args, v)
			if i > 0 {
				where.WriteString(`, `)
			}
			where.WriteString(`$` + strconv.Itoa(len(args)))
		}
	}
	if filter.Before != (ports.RunCursor{}) {
		and(`(created_at, run_id) < (`, filter.Before.CreatedAt, findable(filter.Before.ID))
		where.WriteString(`)`)
	}
	if !filter.CreatedFrom.IsZero() {
		and(`created_at >= `, filter.CreatedFrom)
	}
	if !filter.CreatedTo.IsZero() {
		and(`created_at < `, filter.CreatedTo)
	}
	return where.String(), args
}
