package sqlite

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/answerjson"
	"github.com/redrive/redrive/internal/rowtext"
	"github.com/redrive/redrive/ports"
)

// This file is where rows become values of core and back. Arguments and columns have the
// order of the …Columns constants.

// findable makes an ID that no row can have one that none has. Callers ask for what they
// like; what is not text was never stored.
func findable[T ~string](id T) T {
	if !isText(string(id)) {
		return ""
	}
	return id
}

// text makes anything storable. Outputs and failure messages come from other systems; a
// NUL or a broken character in one must not keep a run from closing.
func text(s string) string { return rowtext.Clean(s) }

// nullTime takes the zero time for NULL.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// nullText takes the empty string for NULL, where it means that there is none.
func nullText[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func scanRunKey(r *row) ports.RunKey {
	return ports.RunKey{Tenant: core.TenantID(r.text()), Run: core.RunID(r.text())}
}

func scanActor(r *row) core.Actor {
	return core.Actor{Subject: r.text(), Tenant: core.TenantID(r.text()), Role: core.Role(r.text())}
}

func tenantArgs(tenant core.TenantID, t core.Tenant) []any {
	return []any{tenant, t.Name, t.MonthlyAllowance, t.CreatedAt, nullTime(t.SuspendedAt), t.SuspendedReason}
}

func scanTenant(r *row) core.Tenant {
	return core.Tenant{
		ID: core.TenantID(r.text()), Name: r.text(), MonthlyAllowance: core.Credits(r.number()), CreatedAt: r.time(),
		SuspendedAt: r.time(), SuspendedReason: r.text(),
	}
}

func templateArgs(tenant core.TenantID, t core.Template) []any {
	return []any{
		tenant, t.ID, t.Name, t.Instructions, t.CreditsPerRun, t.Mode, t.Status,
		t.CreatedAt, t.UpdatedAt, nullTime(t.DeletedAt), t.Version,
	}
}

func scanTemplate(r *row) core.Template {
	return core.Template{
		Tenant: core.TenantID(r.text()), ID: core.TemplateID(r.text()), Name: r.text(), Instructions: r.text(),
		CreditsPerRun: core.Credits(r.number()), Mode: core.Mode(r.text()), Status: core.TemplateStatus(r.text()),
		CreatedAt: r.time(), UpdatedAt: r.time(), DeletedAt: r.time(), Version: r.int(),
	}
}

func scanTemplateVersion(r *row) core.TemplateVersion {
	return core.TemplateVersion{
		Tenant: core.TenantID(r.text()), Template: core.TemplateID(r.text()), Number: r.int(), Instructions: r.text(),
		By: scanActor(r), At: r.time(),
	}
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

func scanRun(r *row) core.Run {
	return core.Run{
		Tenant: core.TenantID(r.text()), ID: core.RunID(r.text()), Template: core.TemplateID(r.text()), Mode: core.Mode(r.text()),
		Status: core.RunStatus(r.text()), Reason: core.CloseReason(r.text()),
		CreatedBy: scanActor(r), CreatedAt: r.time(), ClosedAt: r.time(),
		MaxRetryCount: r.int(), Attempt: core.AttemptNumber(r.number()), Epoch: core.Epoch(r.number()),
		Dispatch: core.DispatchState(r.text()), LastRetriedAt: r.time(),
		TotalJobs: r.int(), AttemptJobs: r.int(), CompletedJobs: r.int(), FailedJobs: r.int(),
		Tally:           core.Tally{Unfinished: r.int(), Completed: r.int(), Failed: r.int(), Error: r.int()},
		CreditsConsumed: core.Credits(r.number()), CreditsFromMonthly: core.Credits(r.number()), CreditsFromPurchased: core.Credits(r.number()),
		RecoverAt: r.time(), DispatchedAt: r.time(), Redispatches: r.int(),
		TemplateVersion: r.int(), Failure: core.Failure{Code: r.text(), Message: r.text()},
	}
}

// scanFile reads readFile.
func scanFile(r *row) core.File {
	return core.File{
		Index: r.int(), Name: r.text(), Ref: core.FileRef(r.text()), Size: r.number(), Status: core.FileStatus(r.text()),
		RetryAttempt: r.int(), FreeRetries: r.int(), Epoch: core.Epoch(r.number()), LeaseUntil: r.time(),
		Redeliveries: r.int(), PaidBy: core.AttemptNumber(r.number()), OutputBytes: r.number(),
		Failure: core.Failure{Code: r.text(), Message: r.text()},
	}
}

func scanFileWithOutput(r *row) core.File {
	f := scanFile(r)
	f.Output = r.text()
	return f
}

func attemptArgs(tenant core.TenantID, a *core.Attempt) []any {
	var period any
	if !a.Charge.IsZero() {
		period = a.Charge.Period.String()
	}
	return []any{
		tenant, a.Run, a.Number, a.Epoch, a.Jobs,
		text(a.RequestedBy.Subject), a.RequestedBy.Tenant, a.RequestedBy.Role, a.RequestedAt,
		a.Price, nullText(a.Charge.Key), period, a.Charge.Amount.Monthly, a.Charge.Amount.Purchased,
		nullText(a.Before.Status), a.Before.Reason, nullTime(a.Before.ClosedAt), nullTime(a.Before.LastRetriedAt),
		a.Before.AttemptJobs, a.Before.CompletedJobs, a.Before.FailedJobs, nullTime(a.CompensatedAt),
		text(a.Before.Failure.Code), text(a.Before.Failure.Message),
	}
}

// attemptRow is a row of attempts.
type attemptRow struct {
	core.Attempt

	ofAll    bool // its files are all of the run's, else they are rows of attempt_file_rows
	allFiles int
}

func scanAttempt(r *row) attemptRow {
	a := attemptRow{Attempt: core.Attempt{
		Tenant: core.TenantID(r.text()), Run: core.RunID(r.text()), Number: core.AttemptNumber(r.number()), Epoch: core.Epoch(r.number()), Jobs: r.int(),
		RequestedBy: scanActor(r), RequestedAt: r.time(), Price: core.Credits(r.number()),
	}}
	key, period := core.Key(r.text()), r.text()
	a.Charge.Amount = core.Split{Monthly: core.Credits(r.number()), Purchased: core.Credits(r.number())}
	if key != "" {
		a.Charge.Key, a.Charge.Period = key, scannedPeriod(r, period)
	}
	a.Before = core.RunBefore{
		Status: core.RunStatus(r.text()), Reason: core.CloseReason(r.text()), ClosedAt: r.time(), LastRetriedAt: r.time(),
		AttemptJobs: r.int(), CompletedJobs: r.int(), FailedJobs: r.int(),
	}
	a.CompensatedAt = r.time()
	a.Before.Failure = core.Failure{Code: r.text(), Message: r.text()}
	a.ofAll = !r.isNull()
	a.allFiles = r.int()
	return a
}

func scannedPeriod(r *row, s string) core.Period {
	p, err := core.ParsePeriod(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return p
}

// attemptFile is a row of attempt_file_rows.
type attemptFile struct {
	attempt core.AttemptNumber
	core.AttemptFile
}

func scanAttemptFile(r *row) attemptFile {
	return attemptFile{core.AttemptNumber(r.number()), core.AttemptFile{
		Index: r.int(), Charged: r.number() != 0,
		Before: core.FileBefore{
			Status: core.FileStatus(r.text()), RetryAttempt: r.int(), FreeRetries: r.int(), Redeliveries: r.int(), PaidBy: core.AttemptNumber(r.number()),
			Failure: core.Failure{Code: r.text(), Message: r.text()},
		},
	}}
}

func scanAmendment(r *row) core.Amendment {
	return core.Amendment{
		Tenant: core.TenantID(r.text()), Run: core.RunID(r.text()), By: scanActor(r), At: r.time(),
		MaxRetryCountFrom: r.int(), MaxRetryCountTo: r.int(),
	}
}

// scanSpendable is scanBalance, and whether the tenant is suspended.
func scanSpendable(r *row) core.Balance {
	b := scanBalance(r)
	b.Suspended = r.number() != 0
	return b
}

func scanBalance(r *row) core.Balance {
	return core.Balance{
		Period: scannedPeriod(r, r.text()),
		Split:  core.Split{Monthly: core.Credits(r.number()), Purchased: core.Credits(r.number())},
	}
}

// entryArgs: only charges and refunds are of an attempt, and attempt 0 is one.
func entryArgs(e *core.Entry) []any {
	var attempt any
	if e.Run != "" {
		attempt = int64(e.Attempt)
	}
	return []any{
		e.Tenant, e.Seq, e.Key, e.Kind, e.Period.String(), e.Amount.Monthly, e.Amount.Purchased,
		nullText(e.Run), attempt, nullText(e.Charge),
		text(e.Actor.Subject), e.Actor.Tenant, e.Actor.Role, e.At, nullText(e.Reason),
	}
}

func scanEntry(r *row) core.Entry {
	return core.Entry{
		Tenant: core.TenantID(r.text()), Seq: r.number(), Key: core.Key(r.text()), Kind: core.EntryKind(r.text()),
		Period: scannedPeriod(r, r.text()), Amount: core.Split{Monthly: core.Credits(r.number()), Purchased: core.Credits(r.number())},
		Run: core.RunID(r.text()), Attempt: core.AttemptNumber(r.number()), Charge: core.Key(r.text()),
		Actor: scanActor(r), At: r.time(), Reason: r.text(),
	}
}

func answerArgs(tenant core.TenantID, a core.Answer) ([]any, error) {
	run, refusal, err := answerjson.Encode(a)
	if err != nil {
		return nil, err
	}
	return []any{tenant, a.Key, a.Operation, a.Fingerprint, nullText(string(run)), nullText(string(refusal)), a.At}, nil
}

func scanAnswer(r *row) core.Answer {
	a := core.Answer{Tenant: core.TenantID(r.text()), Key: core.Key(r.text()), Operation: core.Operation(r.text()), Fingerprint: r.text()}
	run, refusal := jsonOf(r), jsonOf(r)
	a.At = r.time()
	if err := answerjson.Decode(&a, run, refusal); err != nil && r.err == nil {
		r.err = err
	}
	return a
}

func jsonOf(r *row) []byte {
	if r.isNull() {
		r.next++
		return nil
	}
	return []byte(r.text())
}

func scanTicket(r *row) ports.Ticket {
	x := ports.Ticket{ID: r.text()}
	x.Actor.Tenant, x.Actor.Subject, x.Actor.Role = core.TenantID(r.text()), r.text(), core.Role(r.text())
	x.CreatedAt, x.ExpiresAt = r.time(), r.time()
	return x
}

func scanSession(r *row) ports.Session {
	x := ports.Session{ID: r.text()}
	x.Actor.Tenant, x.Actor.Subject, x.Actor.Role = core.TenantID(r.text()), r.text(), core.Role(r.text())
	x.Via, x.CreatedAt, x.SeenAt, x.ExpiresAt = r.text(), r.time(), r.time(), r.time()
	return x
}
