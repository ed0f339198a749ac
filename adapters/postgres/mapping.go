package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/rowtext"
	"github.com/redrive/redrive/ports"
)

// This file and mapping_answer.go are where rows become values of core and back.
// Arguments and columns have the order of the …Columns constants.

// findable makes an ID, a key or a name that Postgres cannot hold one that no row has.
// Callers ask for what they like; what is not text was never stored. It is no rule for
// IDs: that is core.ValidID.
func findable[T ~string](asked T) T {
	if !core.ValidText(asked) {
		return ""
	}
	return asked
}

// findableTexts is findable for a list, as an argument.
func findableTexts[T ~string](asked []T) []string {
	list := make([]string, len(asked))
	for i, x := range asked {
		list[i] = string(findable(x))
	}
	return list
}

// text makes anything storable. Outputs and failure messages come from other
// systems; a NUL or a broken character in one must not keep a run from closing.
func text(s string) string { return rowtext.Clean(s) }

// nullTime and timeOf take the zero time for NULL. Times are UTC and have
// microseconds, because timestamptz has.
func nullTime(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}

func timeOf(t pgtype.Timestamptz) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// nullText takes the empty string for NULL, where it means that there is none.
func nullText[T ~string](s T) pgtype.Text {
	return pgtype.Text{String: string(s), Valid: s != ""}
}

func int32s(list []int) []int32 {
	narrow := make([]int32, len(list))
	for i, n := range list {
		narrow[i] = int32(min(max(n, -1), 1<<31-1)) // what is out of range is no file's index either way
	}
	return narrow
}

func scanRunKey(row pgx.CollectableRow) (k ports.RunKey, err error) {
	err = row.Scan(&k.Tenant, &k.Run)
	return k, err
}

func tenantArgs(tenant core.TenantID, t core.Tenant) []any {
	return []any{tenant, t.Name, t.MonthlyAllowance, t.CreatedAt, nullTime(t.SuspendedAt), t.SuspendedReason}
}

func scanTenant(row pgx.CollectableRow) (t core.Tenant, err error) {
	var suspended pgtype.Timestamptz
	err = row.Scan(&t.ID, &t.Name, &t.MonthlyAllowance, &t.CreatedAt, &suspended, &t.SuspendedReason)
	t.CreatedAt, t.SuspendedAt = t.CreatedAt.UTC(), timeOf(suspended)
	return t, err
}

func templateArgs(tenant core.TenantID, t core.Template) []any {
	return []any{
		tenant, t.ID, t.Name, t.Instructions, t.CreditsPerRun, t.Mode, t.Status,
		t.CreatedAt, t.UpdatedAt, nullTime(t.DeletedAt), t.Version,
	}
}

func scanTemplate(row pgx.CollectableRow) (t core.Template, err error) {
	var deleted pgtype.Timestamptz
	err = row.Scan(&t.Tenant, &t.ID, &t.Name, &t.Instructions, &t.CreditsPerRun, &t.Mode, &t.Status,
		&t.CreatedAt, &t.UpdatedAt, &deleted, &t.Version)
	t.CreatedAt, t.UpdatedAt, t.DeletedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC(), timeOf(deleted)
	return t, err
}

func runArgs(tenant core.TenantID, r core.Run) []any {
	return []any{
		tenant, r.ID, r.Template, r.Mode, r.Status, r.Reason,
		text(r.CreatedBy.Subject), r.CreatedBy.Tenant, r.CreatedBy.Role, r.CreatedAt, nullTime(r.ClosedAt),
		r.MaxRetryCount, r.Attempt, r.Epoch, r.Dispatch, nullTime(r.LastRetriedAt),
		r.TotalJobs, r.AttemptJobs, r.CompletedJobs, r.FailedJobs,
		r.Tally.Unfinished, r.Tally.Completed, r.Tally.Failed, r.Tally.Error,
		r.CreditsConsumed, r.CreditsFromMonthly, r.CreditsFromPurchased,
		nullTime(r.RecoverAt), nullTime(r.DispatchedAt), r.Redispatches,
		r.TemplateVersion, text(r.Failure.Code), text(r.Failure.Message),
	}
}

func scanRun(row pgx.CollectableRow) (r core.Run, err error) {
	var closed, retried, recoverAt, dispatched pgtype.Timestamptz
	err = row.Scan(&r.Tenant, &r.ID, &r.Template, &r.Mode, &r.Status, &r.Reason,
		&r.CreatedBy.Subject, &r.CreatedBy.Tenant, &r.CreatedBy.Role, &r.CreatedAt, &closed,
		&r.MaxRetryCount, &r.Attempt, &r.Epoch, &r.Dispatch, &retried,
		&r.TotalJobs, &r.AttemptJobs, &r.CompletedJobs, &r.FailedJobs,
		&r.Tally.Unfinished, &r.Tally.Completed, &r.Tally.Failed, &r.Tally.Error,
		&r.CreditsConsumed, &r.CreditsFromMonthly, &r.CreditsFromPurchased,
		&recoverAt, &dispatched, &r.Redispatches, &r.TemplateVersion, &r.Failure.Code, &r.Failure.Message)
	r.CreatedAt, r.ClosedAt, r.LastRetriedAt = r.CreatedAt.UTC(), timeOf(closed), timeOf(retried)
	r.RecoverAt, r.DispatchedAt = timeOf(recoverAt), timeOf(dispatched)
	return r, err
}

// fileArgs gives one array for each of fileColumns.
func fileArgs(list []core.File) []any {
	rows := make([]*core.File, len(list))
	for i := range list {
		rows[i] = &list[i]
	}
	name, ref, size := fileInputArgs(list)
	state := fileStateArgs(rows)
	return append([]any{state[0], name, ref, size}, state[1:]...)
}

// fileInputArgs is what an initiation is asked with.
func fileInputArgs(list []core.File) (name, ref []string, size []int64) {
	name, ref, size = make([]string, len(list)), make([]string, len(list)), make([]int64, len(list))
	for i := range list {
		name[i], ref[i], size[i] = list[i].Name, string(list[i].Ref), list[i].Size
	}
	return name, ref, size
}

// fileStateArgs is what changes of files, in the order of fileState.
func fileStateArgs(list []*core.File) []any {
	n := len(list)
	index, retry, free := make([]int32, n), make([]int32, n), make([]int32, n)
	redeliveries, paidBy := make([]int32, n), make([]int32, n)
	epoch, lease := make([]int64, n), make([]pgtype.Timestamptz, n)
	status, output, code, message := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, f := range list {
		index[i], retry[i], free[i] = int32(f.Index), int32(f.RetryAttempt), int32(f.FreeRetries)
		redeliveries[i], paidBy[i] = int32(f.Redeliveries), int32(f.PaidBy)
		epoch[i], lease[i], status[i] = int64(f.Epoch), nullTime(f.LeaseUntil), string(f.Status)
		output[i], code[i], message[i] = text(f.Output), text(f.Failure.Code), text(f.Failure.Message)
	}
	return []any{index, status, retry, free, epoch, lease, redeliveries, paidBy, output, code, message}
}

// fileRow is where a row of readFile goes.
type fileRow struct {
	core.File

	lease pgtype.Timestamptz
}

func (r *fileRow) targets() []any {
	f := &r.File
	return []any{
		&f.Index, &f.Name, &f.Ref, &f.Size, &f.Status, &f.RetryAttempt, &f.FreeRetries, &f.Epoch, &r.lease, &f.Redeliveries, &f.PaidBy,
		&f.OutputBytes, &f.Failure.Code, &f.Failure.Message,
	}
}

func (r *fileRow) file() core.File {
	r.LeaseUntil = timeOf(r.lease)
	return r.File
}

func scanFile(row pgx.CollectableRow) (core.File, error) {
	var r fileRow
	err := row.Scan(r.targets()...)
	return r.file(), err
}

func scanFileWithOutput(row pgx.CollectableRow) (core.File, error) {
	var r fileRow
	err := row.Scan(append(r.targets(), &r.Output)...)
	return r.file(), err
}

// scanPlaced puts each row of readFile, which follows its place from 1, in its place.
func scanPlaced(rows pgx.Rows, files []core.File, found []bool) error {
	var place int64
	var r fileRow
	targets := append([]any{&place}, r.targets()...)
	for rows.Next() {
		r.File = core.File{}
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		files[place-1], found[place-1] = r.file(), true
	}
	return rows.Err()
}

// runCounterArgs is what a settlement counts, in arrays.
func runCounterArgs(list []*core.Run) []any {
	n := len(list)
	ids, counts := make([]string, n), [6][]int32{}
	for i := range counts {
		counts[i] = make([]int32, n)
	}
	for i, r := range list {
		ids[i] = string(findable(r.ID))
		for j, count := range []int{r.CompletedJobs, r.FailedJobs, r.Tally.Unfinished, r.Tally.Completed, r.Tally.Failed, r.Tally.Error} {
			counts[j][i] = int32(count)
		}
	}
	return []any{ids, counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]}
}

func attemptArgs(tenant core.TenantID, a core.Attempt) []any {
	period := ""
	if !a.Charge.IsZero() {
		period = a.Charge.Period.String()
	}
	return []any{
		tenant, a.Run, a.Number, a.Epoch, a.Jobs,
		text(a.RequestedBy.Subject), a.RequestedBy.Tenant, a.RequestedBy.Role, a.RequestedAt,
		a.Price, nullText(a.Charge.Key), nullText(period), a.Charge.Amount.Monthly, a.Charge.Amount.Purchased,
		nullText(a.Before.Status), a.Before.Reason, nullTime(a.Before.ClosedAt), nullTime(a.Before.LastRetriedAt),
		a.Before.AttemptJobs, a.Before.CompletedJobs, a.Before.FailedJobs, nullTime(a.CompensatedAt),
		text(a.Before.Failure.Code), text(a.Before.Failure.Message),
	}
}

// attemptRow is a row of attempts.
type attemptRow struct {
	core.Attempt

	allFiles pgtype.Int4 // NULL: its files are rows of attempt_file_rows
}

func scanAttempt(row pgx.CollectableRow) (a attemptRow, err error) {
	var key, period, status pgtype.Text
	var closed, retried, compensated pgtype.Timestamptz
	err = row.Scan(&a.Tenant, &a.Run, &a.Number, &a.Epoch, &a.Jobs,
		&a.RequestedBy.Subject, &a.RequestedBy.Tenant, &a.RequestedBy.Role, &a.RequestedAt,
		&a.Price, &key, &period, &a.Charge.Amount.Monthly, &a.Charge.Amount.Purchased,
		&status, &a.Before.Reason, &closed, &retried,
		&a.Before.AttemptJobs, &a.Before.CompletedJobs, &a.Before.FailedJobs, &compensated,
		&a.Before.Failure.Code, &a.Before.Failure.Message, &a.allFiles)
	if err != nil {
		return a, err
	}
	a.RequestedAt, a.CompensatedAt = a.RequestedAt.UTC(), timeOf(compensated)
	a.Before.Status, a.Before.ClosedAt, a.Before.LastRetriedAt = core.RunStatus(status.String), timeOf(closed), timeOf(retried)
	if key.Valid {
		a.Charge.Key = core.Key(key.String)
		a.Charge.Period, err = core.ParsePeriod(period.String)
	}
	return a, err
}

// attemptFileArgs gives one array for each of attemptFileColumns.
func attemptFileArgs(list []core.AttemptFile) []any {
	n := len(list)
	index, retry, free := make([]int32, n), make([]int32, n), make([]int32, n)
	redeliveries, paidBy := make([]int32, n), make([]int32, n)
	charged, status := make([]bool, n), make([]pgtype.Text, n)
	code, message := make([]string, n), make([]string, n)
	for i := range list {
		f := &list[i]
		index[i], charged[i], status[i] = int32(f.Index), f.Charged, nullText(f.Before.Status)
		retry[i], free[i] = int32(f.Before.RetryAttempt), int32(f.Before.FreeRetries)
		redeliveries[i], paidBy[i] = int32(f.Before.Redeliveries), int32(f.Before.PaidBy)
		code[i], message[i] = text(f.Before.Failure.Code), text(f.Before.Failure.Message)
	}
	return []any{index, charged, status, retry, redeliveries, paidBy, code, message, free}
}

// attemptFile is a row of attempt_file_rows.
type attemptFile struct {
	attempt core.AttemptNumber
	core.AttemptFile
}

func scanAttemptFile(row pgx.CollectableRow) (f attemptFile, err error) {
	var status pgtype.Text
	err = row.Scan(&f.attempt, &f.Index, &f.Charged, &status, &f.Before.RetryAttempt, &f.Before.Redeliveries, &f.Before.PaidBy,
		&f.Before.Failure.Code, &f.Before.Failure.Message, &f.Before.FreeRetries)
	f.Before.Status = core.FileStatus(status.String)
	return f, err
}

func amendmentArgs(tenant core.TenantID, a core.Amendment) []any {
	return []any{tenant, a.Run, text(a.By.Subject), a.By.Tenant, a.By.Role, a.At, a.MaxRetryCountFrom, a.MaxRetryCountTo}
}

func scanAmendment(row pgx.CollectableRow) (a core.Amendment, err error) {
	err = row.Scan(&a.Tenant, &a.Run, &a.By.Subject, &a.By.Tenant, &a.By.Role, &a.At, &a.MaxRetryCountFrom, &a.MaxRetryCountTo)
	a.At = a.At.UTC()
	return a, err
}

func scanAccount(row pgx.CollectableRow) (a account, err error) {
	err = row.Scan(&a.purchased, &a.lastSeq, &a.low.Threshold, &a.low.Told)
	return a, err
}

// month is what is left of a period's allowance, NULL if the period has no row.
type month struct {
	left      pgtype.Int8
	suspended bool
}

func scanMonth(row pgx.CollectableRow) (m month, err error) {
	err = row.Scan(&m.left, &m.suspended)
	return m, err
}

// scanSpendable is scanBalance, and whether the tenant is suspended.
func scanSpendable(row pgx.CollectableRow) (b core.Balance, err error) {
	var period string
	if err = row.Scan(&period, &b.Monthly, &b.Purchased, &b.Suspended); err != nil {
		return b, err
	}
	b.Period, err = core.ParsePeriod(period)
	return b, err
}

func scanBalance(row pgx.CollectableRow) (b core.Balance, err error) {
	var period string
	if err = row.Scan(&period, &b.Monthly, &b.Purchased); err != nil {
		return b, err
	}
	b.Period, err = core.ParsePeriod(period)
	return b, err
}

// entryArgs: only charges and refunds are of an attempt, and attempt 0 is one.
func entryArgs(e core.Entry) []any {
	return []any{
		e.Tenant, e.Seq, e.Key, e.Kind, e.Period.String(), e.Amount.Monthly, e.Amount.Purchased,
		nullText(e.Run),
		pgtype.Int4{Int32: int32(e.Attempt), Valid: e.Run != ""},
		nullText(e.Charge),
		text(e.Actor.Subject), e.Actor.Tenant, e.Actor.Role, e.At, nullText(e.Reason),
	}
}

func scanEntry(row pgx.CollectableRow) (e core.Entry, err error) {
	var period string
	var run, charge, reason pgtype.Text
	var attempt pgtype.Int4
	err = row.Scan(&e.Tenant, &e.Seq, &e.Key, &e.Kind, &period, &e.Amount.Monthly, &e.Amount.Purchased,
		&run, &attempt, &charge, &e.Actor.Subject, &e.Actor.Tenant, &e.Actor.Role, &e.At, &reason)
	if err != nil {
		return e, err
	}
	e.Reason = reason.String
	e.Run, e.Attempt, e.Charge, e.At = core.RunID(run.String), core.AttemptNumber(attempt.Int32), core.Key(charge.String), e.At.UTC()
	e.Period, err = core.ParsePeriod(period)
	return e, err
}
