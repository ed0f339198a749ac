package ports

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/redrive/redrive/core"
)

// ErrMoved says that the tenant is on its way to another database, or lives there by now.
// Whatever was to be written had no effect. It is an ErrUnavailable: callers are told to
// try again, and reach the other database once they are led there.
var ErrMoved = fmt.Errorf("%w: the tenant is being moved to another database, or was moved there", ErrUnavailable)

// ErrMoveChanged says that a tenant's Move is not what the caller takes it for; nothing was
// written.
var ErrMoveChanged = errors.New("the state of the tenant's move has changed")

// MoveState is how far the move of a tenant is, on one of its two sides.
type MoveState string

const (
	// MoveExpected (target): the tenant is to come, nothing of it is here.
	MoveExpected MoveState = "expected"
	// MoveArriving (target): the whole tenant is here, and was not verified yet.
	MoveArriving MoveState = "arriving"
	// MoveArrived (target): the tenant lives here.
	MoveArrived MoveState = "arrived"
	// MoveAbandoned (target): the move was given up after the tenant came here. What is
	// here of it is of no use to anybody, and cannot be removed.
	MoveAbandoned MoveState = "abandoned"
	// MoveLeaving (source): nothing is written for the tenant any more, it is being copied.
	MoveLeaving MoveState = "leaving"
	// MoveGone (source): the tenant lives in the other database.
	MoveGone MoveState = "gone"
)

// Closed reports whether a store in this state refuses the tenant's transactions that
// write. Only an import writes meanwhile.
func (s MoveState) Closed() bool { return s != MoveArrived && s != "" }

// Moving reports whether a store in this state has to keep all that it has of the tenant, for
// a move that copies or counts it. What a tenant that is gone, or whose move was abandoned,
// has left is swept as that of any other.
func (s MoveState) Moving() bool { return s.Closed() && s != MoveGone && s != MoveAbandoned }

// Move is what one side knows of the latest move of a tenant. The zero value is a tenant
// that was never moved.
type Move struct {
	ID    string // the same on both sides, and of this move of this tenant alone
	State MoveState
	At    time.Time // of the state
}

// Record is a part of what a tenant owns, as it is exported and imported: one of
// core.Tenant, core.Template, core.TemplateVersion, []core.APIKey, core.Run, []core.File (with outputs, of
// the run before it), core.Attempt with all its files or LongAttempt and after it []core.AttemptFile, core.Amendment
// (both of the run before them),
// []core.Entry, []core.Balance (what the entries add up to), []core.Answer, []core.Reply, []core.AuditEvent,
// core.LowCredits, core.WebhookEndpoint and []core.WebhookDelivery (those that are
// pending), in this order: what refers to something comes after it.
type Record any

// LongAttempt is an attempt with more files than a record should have. It has none of them.
type LongAttempt struct {
	core.Attempt

	// All is how many files there are if they are core.AllFiles from 0 on; else it is 0, and they
	// come after it.
	All int
}

// Mover is an optional interface of a Store, for moving tenants to another store. The two
// sides share nothing. What makes a move safe is that each side keeps a Move of the tenant:
// of every moment at most one of them takes writes.
type Mover interface {
	// MoveOf reads the tenant's Move; the zero value if there is none.
	MoveOf(ctx context.Context, tenant core.TenantID) (Move, error)
	// SetMove writes is if the tenant's Move is was, by its ID and State; a zero is
	// removes it. ErrMoveChanged. The tenant itself need not exist.
	//
	// If is closes the tenant, SetMove returns when every transaction that wrote for the
	// tenant before has ended; each later one fails with ErrMoved when it writes or
	// commits, on every server; sweeps are no writes of the tenant. To be sure of that after
	// an error, call it again, with was and is alike. DueRuns, Ungranted and OpenTenants leave
	// closed tenants out.
	SetMove(ctx context.Context, tenant core.TenantID, was, is Move) error
	// Import writes a tenant that is not there, whole, together with is in the place of
	// was, in one transaction: all of it or nothing. It takes the records one after the
	// other and keeps none. ErrExists if the tenant or a run's ID is there, ErrMoveChanged,
	// and the error that comes with a record.
	Import(ctx context.Context, tenant core.TenantID, was, is Move, records iter.Seq2[Record, error]) error
	// AttemptFrom reads an attempt with up to limit of its files, those from an index on.
	// ErrNotFound.
	AttemptFrom(ctx context.Context, tenant core.TenantID, run core.RunID, n core.AttemptNumber, from, limit int) (core.Attempt, error)
	// AnswersAfter reads up to limit answers with keys above after, ascending by key.
	AnswersAfter(ctx context.Context, tenant core.TenantID, after core.Key, limit int) ([]core.Answer, error)
	// RepliesAfter reads up to limit replies after an operation and key, ascending by both.
	RepliesAfter(ctx context.Context, tenant core.TenantID, op core.Operation, key core.Key, limit int) ([]core.Reply, error)
}
