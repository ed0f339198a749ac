package ports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

// What a store can answer besides success. Anything else that it returns is a
// fault: the transaction has no effect, unless the error is ErrCommitUnknown.
//
// After ErrNotFound, ErrExists or core.CodeCreditsOutOfRange a transaction goes on
// and can be committed (but for Runs.Save); after a fault it can only be rolled back.
var (
	// ErrNotFound says: there is no such row of this tenant.
	ErrNotFound = errors.New("not found")
	// ErrExists says: a row with this ID or key is there already; nothing was written.
	ErrExists = errors.New("already exists")
	// ErrDeadlock says: transactions waited for each other and this one was aborted.
	// It had no effect and may be run again.
	ErrDeadlock = errors.New("deadlock detected")
	// ErrSerialization says: the transaction could not be put in order with others.
	// It had no effect and may be run again.
	ErrSerialization = errors.New("serialization failure")
	// ErrLockTimeout says: a lock was not acquired in time. No effect; may be run again.
	ErrLockTimeout = errors.New("lock not available in time")
	// ErrUnavailable says: the store cannot be reached, or cannot do this for the
	// time being (it is read-only, full, overloaded or stopping). No effect; it may
	// be tried again later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrCommitUnknown says: the answer to the commit was lost, so the transaction
	// may or may not have had its effect. It must not be run again as if it had not.
	ErrCommitUnknown = errors.New("outcome of the commit is unknown")
	// ErrSearch says: this filter is for Finder.Runs; nothing was read.
	ErrSearch = errors.New("this filter needs a search, which is bounded; use Find().Runs")
	// ErrRefused says: the store can never hold this, because it is too large or of
	// a form that it has no place for. No effect, and time does not cure it: it
	// is refused again, however often it is tried, so the work ends with a reason.
	ErrRefused = errors.New("the store can never hold this")
	// ErrIncomplete says: a part of the store cannot be reached. What came with it is what
	// the others have; the error is an Incomplete, which names what is missing. It is an
	// ErrUnavailable too.
	ErrIncomplete = fmt.Errorf("some tenants cannot be asked: %w", ErrUnavailable)
	// ErrReadOnly says: a write inside View.
	ErrReadOnly = errors.New("write in a read-only transaction")
)

// Store keeps everything of every tenant.
type Store interface {
	// InTx runs fn in one transaction of one tenant: committed if fn returns
	// nil, else rolled back, also when fn panics. The commit's own error is
	// returned. fn may be run again after ErrSerialization or ErrDeadlock, so it
	// must overwrite what it captures. fn must not call a network, a queue or an
	// executor, and must not use the Tx after it returned or from another goroutine.
	//
	// Isolation is READ COMMITTED: a plain read sees what was committed last
	// plus the transaction's own writes; …ForUpdate and Runs.Lock wait for the holder
	// of the row and then read it afresh; a write of a row locks it until the end.
	// A transaction that takes both locks takes the run's first and the tenant's second.
	InTx(ctx context.Context, tenant core.TenantID, fn func(Tx) error) error

	// View runs fn on one consistent snapshot of one tenant, without locks.
	// Writes, …ForUpdate and Runs.Lock fail with ErrReadOnly. fn must be short.
	View(ctx context.Context, tenant core.TenantID, fn func(Tx) error) error

	AcrossTenants
	APIKeyUses
	AuditTrail
	AllWebhooks
}

// AcrossTenants is what a store answers of all tenants at once, outside any
// transaction. While a part of the store cannot be reached, its lists and sweeps go on for
// the others, and give an error that is ErrIncomplete beside what these answered. A list keeps
// its order and its bound then, so what follows the last row of a page is what the others have
// after it; rows that were missing are found by a list that begins before them.
type AcrossTenants interface {
	// TenantOf says whose run this is, for authorization alone. ErrNotFound, and never
	// while a part of the store cannot be asked. See LikelyOwner.
	TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error)

	// DueRuns lists up to limit RUNNING runs of all tenants for which
	// core.RecoveryDue holds, by RecoverAt, for recovery. It takes no locks: ask
	// again under a run's lock before acting on it.
	DueRuns(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]RunKey, error)

	// InterruptedRuns lists up to limit runs of all tenants that are INTERRUPTED since
	// then or later, other than by a user's cancel, the latest first, for platform admins.
	InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]RunKey, error)

	// Ungranted lists tenants with a monthly allowance that have no ledger entry under
	// this key, after the given ID, ascending, up to limit, for the monthly refill. It
	// takes no locks: ask again under the tenant's lock before posting.
	Ungranted(ctx context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error)

	// AllTenants lists every tenant after the given ID, ascending, up to limit,
	// for the ledger check and platform admins.
	AllTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error)

	// OpenTenants is AllTenants without those that are closed by a move, for what is to be
	// written for all tenants.
	OpenTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error)

	// BulkContinues are the bulk continues of all tenants.
	BulkContinues() BulkContinues
	// Forget removes up to limit of the replies and the refusals that were remembered
	// before a time, of all tenants but those that are Moving (MoveState), and says how
	// many. Answers with a run stay: they are what keeps a late repeat from being charged.
	// Servers may do so at once.
	Forget(ctx context.Context, before time.Time, limit int) (int, error)
}

// RunKey names a run with its tenant.
type RunKey struct {
	Tenant core.TenantID
	Run    core.RunID
}

// Tx is one transaction of one tenant. Lists that ascend do so by bytes, in every
// store alike. None of its methods reads or writes
// anything of another tenant: a wrong tenant finds nothing.
type Tx interface {
	RunTx
	AccountTx
	// Find is for searches by people; no rule reads by it.
	Find() Finder
}

// RunTx is the part of a transaction that is about runs.
type RunTx interface {
	Runs() Runs
	Files() RunFiles
	FileViews() FileViews
	Starts() Starts
	Attempts() Attempts
	Amendments() Amendments
	BulkParts() BulkParts
}

// AccountTx is the part of a transaction that is about what a tenant owns.
type AccountTx interface {
	Tenants() Tenants
	Templates() Templates
	TemplateVersions() TemplateVersions
	Ledger() Ledger
	Answers() Answers
	APIKeys() APIKeys
	AuditLog() AuditLog
	Replies() Replies
	WebhookEvents() WebhookEvents
	WebhookEndpoints() WebhookEndpoints
	WebhookDeliveries() WebhookDeliveries
}

// Runs are the runs with their files.
type Runs interface {
	// Insert writes a new run and its files. ErrExists.
	Insert(ctx context.Context, run core.Run, files []core.File) error
	// Get reads a run without locking it. ErrNotFound.
	Get(ctx context.Context, id core.RunID) (core.Run, error)
	// Lock locks runs until the end of the transaction and reads each as it is under
	// its lock, with the files that are asked for, in the order of the request. What
	// does not exist is left out; so is, with SkipLocked, what another transaction
	// holds. With WaitForLock the locks are taken in the order of the runs' IDs, so
	// that calls which share runs do not deadlock: ErrDeadlock, ErrLockTimeout. A run
	// must not be asked for twice in a call.
	Lock(ctx context.Context, wait Wait, want ...FilesOf) ([]RunRows, error)
	// Save overwrites the runs' rows and what changes of their files; index, name,
	// reference and size are as Insert wrote them. The caller holds the runs' locks. No
	// run and no file may be in rows twice. ErrNotFound if a row does not exist; the
	// transaction can then only be rolled back, since others may be written.
	Save(ctx context.Context, rows ...RunRows) error
	// List gives runs, newest first. ErrSearch if filter.Searches().
	List(ctx context.Context, filter RunFilter) ([]core.Run, error)
}

// Wait says what a transaction does about a row that another one has locked.
type Wait bool

const (
	SkipLocked  Wait = false // passes it over
	WaitForLock Wait = true  // waits for it, until ErrLockTimeout or ErrDeadlock
)

// FilesOf names files of one run; those that do not exist are left out of an answer.
type FilesOf struct {
	Run     core.RunID
	Indexes []int
}

// RunRows is a run with some of its files, as plans need them: outputs are left out of
// what is read (Output is empty, OutputBytes is right), because thousands of them do
// not fit into memory.
type RunRows struct {
	Run   core.Run
	Files []core.File
	// FilesOnly tells Save that the run's own row is as it was read.
	FilesOnly bool
}

// LockRun waits for the lock of one run and reads it without its files. ErrNotFound,
// ErrDeadlock, ErrLockTimeout.
func LockRun(ctx context.Context, tx RunTx, id core.RunID) (core.Run, error) {
	rows, err := tx.Runs().Lock(ctx, WaitForLock, FilesOf{Run: id})
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return core.Run{}, err
	}
	return rows[0].Run, nil
}

// RunFilter selects a page of runs. A zero field leaves nothing out.
type RunFilter struct {
	Statuses    []core.RunStatus // any of these
	CreatedFrom time.Time        // created then or later
	CreatedTo   time.Time        // created before
	// Before continues after the last run of the page before: runs that are
	// older than it by (CreatedAt, ID). Zero: from the newest.
	Before RunCursor
	Limit  int // 1 or more

	// What follows no store has an index for, so that starting and settling runs
	// stays cheap: Finder.Runs looks at runs one after the other and stops at a
	// bound, and Runs.List refuses them.

	Template  core.TemplateID
	CreatedBy string // the subject
	// FileName is a part of the name of one of the run's files, whether in small or
	// capital letters; those beyond ASCII are compared as the store's locale has it.
	FileName string
}

// Searches reports whether the filter is one for Finder.Runs alone.
func (f RunFilter) Searches() bool { return f.Template != "" || f.CreatedBy != "" || f.FileName != "" }

// RunCursor is a place in the order of runs.
type RunCursor struct {
	CreatedAt time.Time
	ID        core.RunID
}

// RunFiles reads a run's files as plans need them, without outputs: see RunRows.
type RunFiles interface {
	// ByIndex reads the files with these indexes, in that order; those that do
	// not exist are left out.
	ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error)
	// InStatus reads the files in any of these statuses, ascending by index.
	InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error)
}

// FileViews are a run's files as clients look at them.
type FileViews interface {
	// Page reads files, ascending by index.
	Page(ctx context.Context, run core.RunID, filter FileFilter) ([]core.File, error)
	// Output reads one file with its whole output. ErrNotFound.
	Output(ctx context.Context, run core.RunID, index int) (core.File, error)
	// Counts counts the run's files by status; all are 0 if there is no such run. It
	// reads them all.
	Counts(ctx context.Context, run core.RunID) (core.FileCounts, error)
	// AnyMaxed reports whether core.File.Maxed holds for a file, for rule 5 of spec 3 on
	// reads.
	AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error)
	// FailedWith says which of these runs, in any order, have a failed or pending file with
	// this failure code, for the selection of a bulk continue.
	FailedWith(ctx context.Context, runs []core.RunID, code string) ([]core.RunID, error)
}

// FileFilter selects a page of a run's files.
type FileFilter struct {
	From     int               // the least index
	Limit    int               // 1 or more
	Statuses []core.FileStatus // none: every status
	Name     string            // a part of the name, whatever its case; empty: every name
	// OutputBytes is the longest output that is read with its file; longer ones are left
	// out, and OutputBytes of the file says how long they are. 0: none.
	OutputBytes int
}

// Attempts are the records of a run's dispatches.
type Attempts interface {
	// Insert writes a new attempt. ErrExists.
	Insert(ctx context.Context, a core.Attempt) error
	// Get reads one attempt with its files. ErrNotFound.
	Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error)
	// MarkCompensated records when an attempt was undone; nothing else of an
	// attempt ever changes. ErrNotFound.
	MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error
	// List reads all attempts of a run with their files, ascending.
	List(ctx context.Context, run core.RunID) ([]core.Attempt, error)
}

// Amendments are the records of changes to a run's limits; append-only.
type Amendments interface {
	Insert(ctx context.Context, a core.Amendment) error
	// List gives a run's amendments, oldest first.
	List(ctx context.Context, run core.RunID) ([]core.Amendment, error)
}

// Tenants is the tenant's own row.
type Tenants interface {
	// Insert writes the tenant of this transaction. ErrExists.
	Insert(ctx context.Context, t core.Tenant) error
	// Get reads the tenant of this transaction. ErrNotFound.
	Get(ctx context.Context) (core.Tenant, error)
	// Save overwrites the tenant of this transaction. ErrNotFound.
	Save(ctx context.Context, t core.Tenant) error
}

// Templates are the tenant's workflow templates.
type Templates interface {
	// Insert writes a new template. ErrExists.
	Insert(ctx context.Context, t core.Template) error
	// Get reads a template, soft-deleted or not. ErrNotFound.
	Get(ctx context.Context, id core.TemplateID) (core.Template, error)
	// GetForUpdate locks a template and reads it afresh. ErrNotFound.
	GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error)
	// Save overwrites a template. ErrNotFound.
	Save(ctx context.Context, t core.Template) error
	// List gives all templates ascending by ID, the soft-deleted ones too.
	List(ctx context.Context) ([]core.Template, error)
}

// TemplateVersions are what the templates' instructions were; append-only.
type TemplateVersions interface {
	// Insert writes a new version. ErrExists.
	Insert(ctx context.Context, v core.TemplateVersion) error
	// Get reads one version. ErrNotFound.
	Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error)
	// List gives a template's versions, newest first, those below a number (0: all), up
	// to limit.
	List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error)
}

// Ledger is what moves credits: the balances and the append-only ledger that
// they add up to.
type Ledger interface {
	LedgerReader
	// BalanceForUpdate locks the tenant's credits (all periods and the
	// purchased balance) until the end of the transaction and reads them as
	// they are under the lock. ErrNotFound, ErrDeadlock, ErrLockTimeout.
	BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error)
	// Post appends an entry, assigns its Seq and moves the balances by it. The
	// caller holds the tenant's lock. ErrExists if the key was used before or if
	// the charge of a refund without a Reason was refunded before,
	// CodeCreditsOutOfRange if a balance would go below zero or overflow; both write
	// nothing. ErrRefused if the refunds of a charge together would be more than it
	// took, or of another period; that is a fault.
	Post(ctx context.Context, e core.Entry) (core.Entry, error)
}

// LedgerReader reads balances and entries without a lock: for previews, receipts,
// exports and the ledger check.
type LedgerReader interface {
	// Balance reads what can be spent in a period. ErrNotFound if there is no such
	// tenant.
	Balance(ctx context.Context, p core.Period) (core.Balance, error)
	// Balances gives one balance for each period that the tenant has ever had
	// an entry in, ascending.
	Balances(ctx context.Context) ([]core.Balance, error)
	// Entry finds an entry by its key. ErrNotFound.
	Entry(ctx context.Context, key core.Key) (core.Entry, error)
	// RefundsOf gives the refunds of a charge, ascending by Seq.
	RefundsOf(ctx context.Context, charge core.Key) ([]core.Entry, error)
	// Entries reads up to limit entries with Seq above after, ascending.
	Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error)
}

// Answers remembers what was answered under callers' idempotency keys.
type Answers interface {
	// Get finds an answer. ErrNotFound.
	Get(ctx context.Context, key core.Key) (core.Answer, error)
	// Insert remembers an answer. ErrExists; two transactions that insert the
	// same key wait for each other.
	Insert(ctx context.Context, a core.Answer) error
	// Save overwrites an answer. ErrNotFound.
	Save(ctx context.Context, a core.Answer) error
}

// Replies remembers for a time what other operations than initiations and Continues answered
// under callers' idempotency keys.
type Replies interface {
	// Get finds a reply. ErrNotFound.
	Get(ctx context.Context, op core.Operation, key core.Key) (core.Reply, error)
	// Insert remembers a reply. ErrExists; two transactions that insert the same key of an
	// operation wait for each other: ErrDeadlock, ErrLockTimeout.
	Insert(ctx context.Context, r core.Reply) error
	// Save overwrites a reply. ErrNotFound.
	Save(ctx context.Context, r core.Reply) error
}
