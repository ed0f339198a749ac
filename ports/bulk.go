package ports

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
)

// ErrBulkChanged says that another caller has changed the bulk continue meanwhile; nothing
// was written.
var ErrBulkChanged = errors.New("the bulk continue was changed meanwhile")

// BulkContinues are the bulk continues of all tenants, found by their ID before it is known
// whose they are. Each method is a transaction of its own. What belongs to the runs of one
// tenant is in BulkParts, in the same transaction as the Continues.
//
// They stay in the database in which they were made when a tenant is moved: an operation is
// of no use where its server is not, and the runs keep their attempts.
type BulkContinues interface {
	// Insert keeps a new bulk continue over several tenants, whose parts are there, and what
	// is remembered under its key; nil without one. ErrExists if its ID, or the key, was used
	// before. One of a single tenant is made by BulkParts.Make.
	//
	// ErrCommitUnknown if the answer was lost.
	Insert(ctx context.Context, b core.Bulk, r *core.Reply) error
	// Reply gives what is remembered under a key of those over several tenants, which is of
	// core.OperationBulkContinue and of no tenant. ErrNotFound.
	Reply(ctx context.Context, key core.Key) (core.Reply, error)
	// Refuse remembers a refusal under such a key. ErrExists, ErrCommitUnknown.
	Refuse(ctx context.Context, r core.Reply) error
	// Get finds one. ErrNotFound.
	Get(ctx context.Context, id core.BulkID) (core.Bulk, error)
	// Save overwrites one, with a Version that is one higher, if it has the Version of b:
	// else ErrBulkChanged. ErrNotFound.
	Save(ctx context.Context, b core.Bulk) error
	// List gives those that the filter selects, newest first.
	List(ctx context.Context, filter BulkFilter) ([]core.Bulk, error)
	// Free lists up to limit of those for which core.Bulk.Free holds, longest free first.
	Free(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]BulkKey, error)
	// Parts gives the parts of one, ascending by tenant; none if there are none. Of one of a
	// single tenant only that tenant is asked. Over several, those of tenants that cannot be
	// reached are left out, with an error that is ErrIncomplete.
	Parts(ctx context.Context, of BulkKey) ([]core.BulkPart, error)
	// Delete removes one that has ended. Its parts are orphans then. That there is none, or
	// that it has not ended, is no error, and has no effect.
	Delete(ctx context.Context, id core.BulkID) error
	// DeleteEnded removes up to limit that have ended before a time, and says how many.
	// Their parts are orphans then. What is remembered under their keys stays.
	DeleteEnded(ctx context.Context, before time.Time, limit int) (int, error)
	// Orphans lists up to limit parts made before a time that belong to no bulk continue,
	// because it was deleted, or its making was cut off. Those of tenants that are closed by
	// a move are left out: they cannot be removed. ErrIncomplete as Parts.
	Orphans(ctx context.Context, before time.Time, limit int) ([]BulkPartKey, error)
}

// BulkKey names a bulk continue with its tenant, empty if it is over several.
type BulkKey struct {
	Tenant core.TenantID
	ID     core.BulkID
}

// BulkPartKey names a part.
type BulkPartKey struct {
	Tenant core.TenantID
	Bulk   core.BulkID
}

// BulkFilter selects a page of bulk continues. A zero field leaves nothing out.
type BulkFilter struct {
	// Tenant selects those of one tenant; those over several are of none.
	Tenant core.TenantID
	// Unended leaves out those that have ended.
	Unended bool
	// Before continues after the last one of the page before.
	Before BulkCursor
	Limit  int // 1 or more
}

// BulkCursor is a place in the order of bulk continues.
type BulkCursor struct {
	CreatedAt time.Time
	ID        core.BulkID
}

// BulkParts are the tenant's parts of bulk continues, with their runs. A transaction takes
// the lock of a part after those of runs and before that of the tenant's credits.
type BulkParts interface {
	// Insert writes a new part and its runs. ErrExists.
	Insert(ctx context.Context, p core.BulkPart, runs []core.BulkRun) error
	// Make keeps a new bulk continue of this tenant alone, which BulkContinues has from the
	// commit on. ErrExists if its ID or its key was used before, at the latest at the commit.
	// ErrNotFound if there is no such tenant. A store that has tenants on other servers than
	// its BulkContinues may lose it, and nothing else of the transaction, in a crash at the
	// commit: Make may then be called again.
	Make(ctx context.Context, b core.Bulk) error
	// Lock locks a part and reads it afresh. ErrNotFound, ErrDeadlock, ErrLockTimeout.
	Lock(ctx context.Context, id core.BulkID) (core.BulkPart, error)
	// Save overwrites a part, and those of its runs. The caller holds its lock.
	// ErrNotFound; the transaction can then only be rolled back.
	Save(ctx context.Context, p core.BulkPart, runs ...core.BulkRun) error
	// Runs reads a part's runs, ascending by Place.
	Runs(ctx context.Context, id core.BulkID, filter BulkRunFilter) ([]core.BulkRun, error)
	// Delete removes a part and its runs. That there is none is no error.
	Delete(ctx context.Context, id core.BulkID) error
}

// BulkRunFilter selects a page of a part's runs. A zero field leaves nothing out.
type BulkRunFilter struct {
	From  int // the least Place
	State core.BulkRunState
	Open  bool // those that were continued and have not closed
	Run   core.RunID
	Limit int // 1 or more
}

// Selects reports whether the filter selects a run.
func (f BulkRunFilter) Selects(r core.BulkRun) bool {
	return r.Place >= f.From && (f.State == "" || r.State == f.State) && (!f.Open || r.Open) && (f.Run == "" || r.Run == f.Run)
}
