package sqlite

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type attempts struct{ t *tx }

const (
	attemptColumns = `tenant_id, run_id, attempt, epoch, jobs,
 requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
 price, charge_key, charge_period, charge_monthly, charge_purchased,
 before_status, before_reason, before_closed_at, before_last_retried_at,
 before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at, before_failure_code, before_failure_message, all_files`
	attemptFileColumns = `file_index, charged, before_status, before_retry_attempt, before_free_retries, before_redeliveries, before_paid_by,
 before_failure_code, before_failure_message`
	insertAttempt = `
INSERT INTO attempts (` + attemptColumns + `)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertAttemptFiles = `INSERT INTO attempt_file_rows (tenant_id, run_id, attempt, ` + attemptFileColumns + `) VALUES `
)

const (
	attemptFileRow    = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertAttemptFile = insertAttemptFiles + attemptFileRow
)

var insertManyAttemptFiles = insertAttemptFiles + manyTimes(attemptFileRow)

func (a attempts) exists(ctx context.Context, run core.RunID, n core.AttemptNumber) (bool, error) {
	return a.t.exists(ctx, rowKey{kind: locktable.Attempts, id: string(run), n: int(n)},
		`SELECT 1 FROM attempts WHERE tenant_id = ? AND run_id = ? AND attempt = ?`, a.t.tenant, findable(run), n)
}

func (a attempts) Insert(ctx context.Context, attempt core.Attempt) error {
	if err := a.t.lock(ctx, locktable.Attempts, string(attempt.Run)); err != nil {
		return err
	}
	if err := mustNot(a.exists(ctx, attempt.Run, attempt.Number)); err != nil {
		return err
	}
	if err := must(a.t.runExists(ctx, attempt.Run)); err != nil {
		return err
	}
	if err := a.insert(&attempt); err != nil {
		return err
	}
	a.t.isThere(rowKey{kind: locktable.Attempts, id: string(attempt.Run), n: int(attempt.Number)})
	return nil
}

// insert writes the attempt's row, and its files' rows if their state cannot be told from
// it: an initiation would write as many as it has files.
func (a attempts) insert(attempt *core.Attempt) error {
	var allFiles any
	list := attempt.Files
	if attempt.OfAllFiles(0) {
		allFiles, list = len(list), nil
	}
	if err := a.insertRow(attempt, allFiles); err != nil {
		return err
	}
	return a.insertFiles(attempt.Run, attempt.Number, list)
}

// insertRow writes the attempt's row alone; allFiles is nil if its files have rows.
func (a attempts) insertRow(attempt *core.Attempt, allFiles any) error {
	return a.t.write(ofAttempts, 1, ports.ErrExists, insertAttempt, append(attemptArgs(a.t.tenant, attempt), allFiles)...)
}

func (a attempts) insertFiles(run core.RunID, number core.AttemptNumber, list []core.AttemptFile) error {
	for len(list) > 0 {
		sql, n := insertAttemptFile, 1
		if len(list) >= manyRows {
			sql, n = insertManyAttemptFiles, manyRows
		}
		args := make([]any, 0, 12*n)
		for i := range list[:n] {
			f := &list[i]
			args = append(args, a.t.tenant, run, number, f.Index, f.Charged, nullText(f.Before.Status), f.Before.RetryAttempt, f.Before.FreeRetries,
				f.Before.Redeliveries, f.Before.PaidBy, text(f.Before.Failure.Code), text(f.Before.Failure.Message))
		}
		if err := a.t.write(ofAttempts, int64(n), ports.ErrExists, sql, args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (a attempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	list, err := a.list(ctx, ` AND attempt = ?3`, a.t.tenant, findable(run), n)
	if err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	return list[0], nil
}

func (a attempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	const sql = `UPDATE attempts SET compensated_at = ?4 WHERE tenant_id = ?1 AND run_id = ?2 AND attempt = ?3`
	if err := a.t.lock(ctx, locktable.Attempts, string(run)); err != nil {
		return err
	}
	if err := must(a.exists(ctx, run, n)); err != nil {
		return err
	}
	return a.t.write(ofAttempts, 1, ports.ErrNotFound, sql, a.t.tenant, run, n, nullTime(at))
}

func (a attempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	return a.list(ctx, ``, a.t.tenant, findable(run))
}

// list reads attempts and their files.
func (a attempts) list(ctx context.Context, and string, values ...any) ([]core.Attempt, error) {
	where := ` WHERE tenant_id = ?1 AND run_id = ?2` + and
	args, err := bind(values)
	if err != nil {
		return nil, a.t.fail(err)
	}
	var list []attemptRow
	var rows []attemptFile
	err = a.t.read(ctx, ofAttempts, func(c *conn) error {
		if err := c.query(`SELECT `+attemptColumns+` FROM attempts`+where+` ORDER BY attempt`, args,
			func(r *row) { list = append(list, scanAttempt(r)) }); err != nil {
			return err
		}
		return c.query(`SELECT attempt, `+attemptFileColumns+` FROM attempt_file_rows`+where+` ORDER BY attempt, file_index`, args,
			func(r *row) { rows = append(rows, scanAttemptFile(r)) })
	})
	if err != nil {
		return nil, err
	}
	attempts := make([]core.Attempt, len(list))
	for i, row := range list {
		attempts[i] = row.Attempt
		if row.ofAll {
			attempts[i].Files = core.AllFiles(0, row.allFiles, row.Price > 0)
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

// from reads an attempt with some of its files.
func (a attempts) from(ctx context.Context, run core.RunID, n core.AttemptNumber, from, limit int) (core.Attempt, error) {
	const which = ` WHERE tenant_id = ?1 AND run_id = ?2 AND attempt = ?3`
	head, err := bind([]any{a.t.tenant, findable(run), n})
	if err != nil {
		return core.Attempt{}, a.t.fail(err)
	}
	page, err := bind([]any{a.t.tenant, findable(run), n, from, limit})
	if err != nil {
		return core.Attempt{}, a.t.fail(err)
	}
	var list []attemptRow
	var files []core.AttemptFile
	err = a.t.read(ctx, ofAttempts, func(c *conn) error {
		if err := c.query(`SELECT `+attemptColumns+` FROM attempts`+which, head, func(r *row) { list = append(list, scanAttempt(r)) }); err != nil {
			return err
		}
		return c.query(`SELECT attempt, `+attemptFileColumns+` FROM attempt_file_rows`+which+` AND file_index >= ?4 ORDER BY file_index LIMIT ?5`, page,
			func(r *row) { files = append(files, scanAttemptFile(r).AttemptFile) })
	})
	if err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	attempt := list[0].Attempt
	if attempt.Files = files; list[0].ofAll {
		attempt.Files = core.AllFiles(from, max(min(limit, list[0].allFiles-from), 0), attempt.Price > 0)
	}
	return attempt, nil
}

type amendments struct{ t *tx }

const (
	amendmentColumns = `tenant_id, run_id, by_subject, by_tenant, by_role, at, max_retry_count_from, max_retry_count_to`
	insertAmendment  = `INSERT INTO amendments (` + amendmentColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
)

func (a amendments) Insert(ctx context.Context, m core.Amendment) error {
	if err := a.t.lock(ctx, locktable.Attempts, string(m.Run)); err != nil {
		return err
	}
	if err := must(a.t.runExists(ctx, m.Run)); err != nil {
		return err
	}
	return a.t.write(ofAmendments, 1, ports.ErrExists, insertAmendment,
		a.t.tenant, m.Run, text(m.By.Subject), m.By.Tenant, m.By.Role, m.At, m.MaxRetryCountFrom, m.MaxRetryCountTo)
}

func (a amendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	const sql = `SELECT ` + amendmentColumns + ` FROM amendments WHERE tenant_id = ? AND run_id = ? ORDER BY amendment_id`
	return all(ctx, a.t, ofAmendments, scanAmendment, sql, a.t.tenant, findable(run))
}
