package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type attempts struct{ t *tx }

const (
	attemptColumns = `tenant_id, run_id, attempt, epoch, jobs,
 requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
 price, charge_key, charge_period, charge_monthly, charge_purchased,
 before_status, before_reason, before_closed_at, before_last_retried_at,
 before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at, before_failure_code, before_failure_message, all_files`
	attemptFileColumns = `index, charged, before_status, before_retry_attempt, before_redeliveries, before_paid_by,
 before_failure_code, before_failure_message, before_free_retries`
)

// insertAttempt writes an attempt whose files are all of the run's.
const insertAttempt = `
INSERT INTO attempts (` + attemptColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
ON CONFLICT DO NOTHING`

// insertAttemptFiles writes an attempt and a row for each of its files, or neither.
const insertAttemptFiles = `
WITH attempt AS (` + insertAttempt + ` RETURNING tenant_id, run_id, attempt
), rows AS (
    INSERT INTO attempt_file_rows (tenant_id, run_id, attempt, ` + attemptFileColumns + `)
    SELECT attempt.*, v.*
      FROM attempt, unnest($26::int[], $27::boolean[], $28::text[], $29::int[], $30::int[], $31::int[], $32::text[], $33::text[], $34::int[]) AS v
)
SELECT FROM attempt`

// insertFilesOfAttempt writes the rows of its files alone, on Citus.
const insertFilesOfAttempt = `
INSERT INTO attempt_file_rows (tenant_id, run_id, attempt, ` + attemptFileColumns + `)
SELECT a.tenant_id, a.run_id, a.attempt, v.*
  FROM attempts a, unnest($4::int[], $5::boolean[], $6::text[], $7::int[], $8::int[], $9::int[], $10::text[], $11::text[], $12::int[])
       AS v (` + attemptFileColumns + `)
 WHERE a.tenant_id = $1 AND a.run_id = $2 AND a.attempt = $3`

func (a attempts) Insert(ctx context.Context, attempt core.Attempt) error {
	for _, st := range insertingAttempt(a.t.citus, a.t.tenant, &attempt) {
		if err := a.t.insert(ctx, st.sql, st.args...); err != nil {
			return err
		}
	}
	return nil
}

// insertingAttempt takes one statement, on Citus two. What can be told from the attempt's row
// has no rows of its own, which an initiation would write as many of as it has files.
func insertingAttempt(citus bool, tenant core.TenantID, attempt *core.Attempt) []statement {
	args := attemptArgs(tenant, *attempt)
	if attempt.OfAllFiles(0) {
		return []statement{{insertAttempt, append(args, pgtype.Int4{Int32: int32(len(attempt.Files)), Valid: true})}}
	}
	args = append(args, pgtype.Int4{})
	files := attemptFileArgs(attempt.Files)
	if !citus {
		return []statement{{insertAttemptFiles, append(args, files...)}}
	}
	all := []statement{{insertAttempt, args}}
	if len(attempt.Files) > 0 {
		all = append(all, statement{insertFilesOfAttempt, append([]any{tenant, attempt.Run, attempt.Number}, files...)})
	}
	return all
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
	var list []attemptRow
	var rows []attemptFile
	batch := &pgx.Batch{}
	batch.Queue(`SELECT `+attemptColumns+` FROM attempts`+where+` ORDER BY attempt`, args...).
		Query(collect(&list, scanAttempt))
	batch.Queue(`SELECT attempt, `+attemptFileColumns+` FROM attempt_file_rows`+where+` ORDER BY attempt, index`, args...).
		Query(collect(&rows, scanAttemptFile))
	if err := a.t.batch(ctx, batch); err != nil {
		return nil, err
	}
	attempts := make([]core.Attempt, len(list))
	for i, row := range list {
		attempts[i] = row.Attempt
		if row.allFiles.Valid {
			attempts[i].Files = core.AllFiles(0, int(row.allFiles.Int32), row.Price > 0)
			continue
		}
		n := 0
		for n < len(rows) && rows[n].attempt == row.Number {
			n++
		}
		attempts[i].Files = make([]core.AttemptFile, n)
		for j, f := range rows[:n] {
			attempts[i].Files[j] = f.AttemptFile
		}
		rows = rows[n:]
	}
	return attempts, nil
}

// from reads an attempt with some of its files, in one round trip.
func (a attempts) from(ctx context.Context, run core.RunID, n core.AttemptNumber, from, limit int) (core.Attempt, error) {
	const which = ` WHERE tenant_id = $1 AND run_id = $2 AND attempt = $3`
	var list []attemptRow
	var files []attemptFile
	batch := &pgx.Batch{}
	batch.Queue(`SELECT `+attemptColumns+` FROM attempts`+which, a.t.tenant, findable(run), n).Query(collect(&list, scanAttempt))
	batch.Queue(`SELECT attempt, `+attemptFileColumns+` FROM attempt_file_rows`+which+` AND index >= $4 ORDER BY index LIMIT $5`,
		a.t.tenant, findable(run), n, from, limit).Query(collect(&files, scanAttemptFile))
	if err := a.t.batch(ctx, batch); err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	attempt := list[0].Attempt
	if all := list[0].allFiles; all.Valid {
		attempt.Files = core.AllFiles(from, max(min(limit, int(all.Int32)-from), 0), attempt.Price > 0)
		return attempt, nil
	}
	attempt.Files = make([]core.AttemptFile, len(files))
	for i := range files {
		attempt.Files[i] = files[i].AttemptFile
	}
	return attempt, nil
}

// collect gives a batch the place for the rows of one of its queries.
func collect[T any](into *[]T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, scan)
		return err
	}
}

// each gives every row of a query of a batch to a function.
func each[T any](scan pgx.RowToFunc[T], use func(T)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			row, err := scan(rows)
			if err != nil {
				rows.Close()
				return err
			}
			use(row)
		}
		return rows.Err()
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
