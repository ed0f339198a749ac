package sqlite

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
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

const (
	insertOwner = `INSERT INTO run_owners (run_id, tenant_id) VALUES (?, ?)`
	insertRun   = `
INSERT INTO runs (` + runColumns + `, file_count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// saveRun overwrites everything but file_count, so that a tally which does not add up to
	// the number of files is refused by the table.
	saveRun = `
UPDATE runs SET template_id = ?3, mode = ?4, status = ?5, reason = ?6,
       created_by_subject = ?7, created_by_tenant = ?8, created_by_role = ?9, created_at = ?10, closed_at = ?11,
       max_retry_count = ?12, attempt = ?13, epoch = ?14, dispatch = ?15, last_retried_at = ?16,
       total_jobs = ?17, attempt_jobs = ?18, completed_jobs = ?19, failed_jobs = ?20,
       tally_unfinished = ?21, tally_completed = ?22, tally_failed = ?23, tally_error = ?24,
       credits_consumed = ?25, credits_from_monthly = ?26, credits_from_purchased = ?27,
       recover_at = ?28, dispatched_at = ?29, redispatches = ?30,
       template_version = ?31, failure_code = ?32, failure_message = ?33
 WHERE tenant_id = ?1 AND run_id = ?2`
)

func (t *tx) runExists(ctx context.Context, id core.RunID) (bool, error) {
	return t.exists(ctx, rowKey{kind: locktable.Run, id: string(id)},
		`SELECT 1 FROM runs WHERE tenant_id = ? AND run_id = ?`, t.tenant, findable(id))
}

// Insert writes the directory's row, the run and its files. The run's ID is locked for all
// tenants.
func (r runs) Insert(ctx context.Context, run core.Run, list []core.File) error {
	if err := r.t.lock(ctx, locktable.Run, string(run.ID)); err != nil {
		return err
	}
	if err := r.t.acquire(ctx, locktable.Key{Kind: locktable.Owner, ID: string(run.ID)}); err != nil {
		return err
	}
	if err := mustNot(r.t.exists(ctx, rowKey{kind: locktable.Owner, id: string(run.ID)},
		`SELECT 1 FROM run_owners WHERE run_id = ?`, findable(run.ID))); err != nil {
		return err
	}
	if err := must(r.t.templateExists(ctx, run.Template)); err != nil {
		return err
	}
	if err := r.t.write(ofRuns, 1, ports.ErrExists, insertOwner, run.ID, r.t.tenant); err != nil {
		return err
	}
	if err := r.t.write(ofRuns, 1, ports.ErrExists, insertRun, append(runArgs(r.t.tenant, run), run.Tally.Total())...); err != nil {
		return err
	}
	if err := files(r).insert(&run, list); err != nil {
		return err
	}
	r.t.isThere(rowKey{kind: locktable.Owner, id: string(run.ID)})
	r.t.isThere(rowKey{kind: locktable.Run, id: string(run.ID)})
	return nil
}

func (r runs) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	run, err := one(ctx, r.t, ofRuns, scanRun, getRun, r.t.tenant, findable(id))
	if err == nil {
		r.t.isThere(rowKey{kind: locktable.Run, id: string(id)})
	}
	return run, err
}

const getRun = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = ? AND run_id = ?`

// List pages by (created_at, run_id), which never change.
func (r runs) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	if filter.Searches() {
		return nil, ports.ErrSearch
	}
	sql, args := listRuns(r.t.tenant, &filter, filter.Limit)
	return all(ctx, r.t, ofRuns, scanRun, sql, args...)
}

// listRuns reads at most limit runs of each status that is asked for, by the index that
// has it: a page of rare statuses does not read the tenant's history.
func listRuns(tenant core.TenantID, filter *ports.RunFilter, limit int) (sql string, args []any) {
	const newest = ` ORDER BY created_at DESC, run_id DESC LIMIT ?2`
	place, args := placeOf(filter, []any{tenant, max(limit, 0)})
	from := `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = ?1` + place
	var parts []string
	for _, status := range slices.Compact(slices.Sorted(slices.Values(filter.Statuses))) {
		args = append(args, status)
		parts = append(parts, from+` AND status = ?`+strconv.Itoa(len(args))+newest)
	}
	switch len(parts) {
	case 0:
		return from + newest, args
	case 1:
		return parts[0], args
	default:
		return `SELECT * FROM (` + strings.Join(parts, `) UNION ALL SELECT * FROM (`) + `)` + newest, args
	}
}

// placeOf gives the conditions on a run's place in the order, with their arguments after
// those that there are.
func placeOf(filter *ports.RunFilter, args []any) (string, []any) {
	var where strings.Builder
	and := func(condition string, values ...any) {
		where.WriteString(` AND ` + condition)
		for i, v := range values {
			args = append(args, v)
			if i > 0 {
				where.WriteString(`, `)
			}
			where.WriteString(`?` + strconv.Itoa(len(args)))
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
