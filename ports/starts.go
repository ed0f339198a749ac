package ports

import (
	"context"

	"github.com/redrive/redrive/core"
)

// Starts is for initiations and Continues of one tenant that are decided in one
// transaction: what they read and write takes as many round trips for all of them as
// for one.
type Starts interface {
	// Read locks the tenant's credits, as Ledger.BalanceForUpdate, and then reads what starts
	// are decided on. It is called before the transaction has written anything. ErrNotFound
	// if there is no such tenant.
	Read(ctx context.Context, want StartReads) (StartInputs, error)
	// Write writes what was decided, and gives the charges as they were posted, each
	// with its Seq, in the order of starts. The caller holds the tenant's lock and that
	// of every run which is not new; no run may be in starts twice, and no key in
	// answers. It may wait for another transaction that inserts one of the keys.
	//
	// ErrExists if an attempt, the key of a charge or of an answer, or the ID of a new
	// run is there already, ErrNotFound if a row to be overwritten is not, and
	// CodeCreditsOutOfRange as Ledger.Post. The transaction can then only be rolled
	// back, since others may be written.
	Write(ctx context.Context, starts []Start, answers []core.Answer) ([]core.Entry, error)
}

// StartReads says what starts are decided on. What does not exist is left out of the inputs.
type StartReads struct {
	Period    core.Period // of the balance
	Runs      []core.RunID
	Templates []core.TemplateID
	Keys      []core.Key
}

// StartInputs is what starts are decided on, as it is under the lock of the credits.
type StartInputs struct {
	Balance core.Balance
	// Files are those of the runs that are failed or pending, without their outputs,
	// ascending by index. Runs that have none are left out.
	Files     map[core.RunID][]core.File
	Templates map[core.TemplateID]core.Template // deleted ones too
	Answers   map[core.Key]core.Answer
}

// Start is what an initiation or a Continue writes when it is accepted.
type Start struct {
	New     bool // the run is inserted, with all its files
	Run     core.Run
	Files   []core.File // of a run that is not new: those that change
	Attempt core.Attempt
	Charge  []core.Entry // one, or none if the price is 0
	Jobs    []core.Job   // to be sent as by Outbox.Send; none if the transaction has no Outbox
}
