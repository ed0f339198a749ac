package world

import "github.com/redrive/redrive/core"

// OpKind is what a user does.
type OpKind uint8

// The operations.
const (
	Initiate OpKind = iota
	Continue        // waits until the run has closed
	Cancel
	Raise
	Preview
	Reprice
	Delete
	Purchase
	Audit
	Stop   // a server stops, hands back what it executes, and is started again
	Edit   // of a template's instructions
	Enroll // a new tenant
	Break  // from now on the executor fails a template's files by a fault of the operator's
	Mend   // he mends it after a while
	Bulk   // a bulk continue of a tenant's runs
	Suspend
	Reopen
	Refund // by hand, of a charge of a run that has closed
)

var opKindNames = [...]string{"initiate", "continue", "cancel", "raise", "preview", "reprice", "delete", "purchase", "audit", "stop", "edit", "enroll", "break", "mend", "bulk continue", "suspend", "reopen", "refund"}

// String names the operation.
func (k OpKind) String() string { return opKindNames[k] }

// Op is one thing that a user does.
type Op struct {
	Kind     OpKind
	Run      int // slot, for what is about a run
	Template int
	Tenant   int
	Server   int      // that is stopped
	Key      core.Key // idempotency key; empty for none
	Amount   core.Credits
	Foreign  bool // asked by another tenant's admin, who must be refused
	Early    bool // does not wait until the run has closed
	AtWork   bool // waits until a result of the run's was recorded while its job goes on
	Again    bool // repeats when the answer got lost
	Filler   bool // asked again and again, until faults stop
	Dropped  bool // not asked at all
	// Accepts is the highest price that the user accepts, of an Initiate or Continue.
	Accepts Accepts
	// Barrier waits, before it is asked, for the other users' operations that are
	// marked so. Until then there are neither faults nor choices: what comes before
	// only leads up to the moment that is to be searched.
	Barrier bool
}

// unknownToHistories: the model that histories are held against has no such operation.
func (op *Op) unknownToHistories() bool {
	switch op.Kind {
	case Bulk, Suspend, Reopen, Refund:
		return true
	case Initiate, Continue, Cancel, Raise, Preview, Reprice, Delete, Purchase, Audit, Stop, Edit, Enroll, Break, Mend:
	}
	return false
}

// Accepts is which price a user accepts at most.
type Accepts uint8

// The prices.
const (
	AnyPrice   Accepts = iota
	PriceOfNow         // what it costs when it is asked
	FirstPrice         // what the template cost when the world began
)
