package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type attempts struct{ t *tx }

const (
	attemptColumns = `tenant_id, run_id, attempt, epoch, jobs,
 requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
 price, charge_key, charge_period, charge_monthly, charge_purchased,
 before_status, before_reason, before_closed_at, before_last_retried_at,
 before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at, before_failure_code, before_failure_message`
	attemptFileColumns = `index, charged, before_status, before_retry_attempt, before_redeliveries, before_paid_by,
 before_failure_code, before_failure_message, before_free_retries`
)

// insertAttempt writes an attempt and its files with one statement, or neither.
const insertAttempt = `
WITH attempt AS (
    INSERT INTO attempts (` + attemptColumns + `)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
    ON CONFLICT DO NOTHING RETURNING tenant_id, run_id, attempt
), rows AS (
    INSERT INTO attempt_files (tenant_id, run_id, attempt, ` + attemptFileColumns + `)
    SELECT attempt.*, v.*
      FROM attempt, unnest($25::int[], $26::boolean[], $27::text[], $28::int[], $29::int[], $30::int[], $31::text[], $32::text[], $33::int[]) AS v
)
SELECT FROM attempt`

func (a attempts) Insert(ctx context.Context, attempt core.Attempt) error {
	return a.t.insert(ctx, insertAttempt, append(attemptArgs(a.t.tenant, attempt), attemptFileArgs(attempt.Files)...)...)
}

func (a attempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	list, err := a.read(ctx, ` AND attempt = $3`, a.t.tenant, findable(run), n)
	if err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	return list[0], nil
}

func (a attempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	const sql = `UPDATE attempts SET compensated_at = $4 WHERE tenant_id = $1 AND run_id = $2 AND attempt = $3`
	return a.t.overwrite(ctx, sql, a.t.tenant, findable(run), n, at)
}

func (a attempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	return a.read(ctx, ``, a.t.tenant, findable(run))
}

// read reads attempts and their files in one round trip.
func (a attempts) read(ctx context.Context, and string, args ...any) ([]core.Attempt, error) {
	where := ` WHERE tenant_id = $1 AND run_id = $2` + and
	var list []core.Attempt
	var rows []attemptFile
	batch := &pgx.Batch{}
	batch.Queue(`SELECT `+attemptColumns+` FROM attempts`+where+` ORDER BY attempt`, args...).
		Query(collect(&list, scanAttempt))
	batch.Queue(`SELECT attempt, `+attemptFileColumns+` FROM attempt_files`+where+` ORDER BY attempt, index`, args...).
		Query(collect(&rows, scanAttemptFile))
	if err := a.t.batch(ctx, batch); err != nil {
		return nil, err
	}
	for i := range list {
		n := 0
		for n < len(rows) && rows[n].attempt == list[i].Number {
			n++
		}
		list[i].Files = make([]core.AttemptFile, n)
		for j, row := range rows[:n] {
			list[i].Files[j] = row.AttemptFile
		}
		rows = rows[n:]
	}
	return list, nil
}

// collect gives a batch the place for the rows of one of its queries.
func collect[T any](into *[]T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, scan)
		return err
	}
}

type amendments struct{ t *tx }

const amendmentColumns = `tenant_id, run_id, by_subject, by_tenant, by_role, at, max_retry_count_from, max_retry_count_to`

func (a amendments) Insert(ctx context.Context, m core.Amendment) error {
	const sql = `INSERT INTO amendments (` + amendmentColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	_, err := a.t.exec(ctx, sql, amendmentArgs(a.t.tenant, m)...)
	return err
}

func (a amendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	const sql = `SELECT ` + amendmentColumns + ` FROM amendments WHERE tenant_id = $1 AND run_id = $2 ORDER BY amendment_id`
	return all(ctx, a.t, scanAmendment, sql, a.t.tenant, findable(run))
}
