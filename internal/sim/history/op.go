package history

import (
	"fmt"
	"math"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// Kind is what an operation is.
type Kind uint8

// The operations.
const (
	Initiate Kind = iota
	Continue
	Undo // the second half of an Initiate or Continue whose enqueueing failed
	Cancel
	Raise
	Purchase
	Balance // reads the balance
	Preview // reads the balance and what a Continue would be told
	Grant   // credits that no client asked for: the refill
	Move    // workers or recovery wrote files
	Given   // a run that was there before
)

var kindNames = [...]string{"initiate", "continue", "undo", "cancel", "raise", "purchase", "balance", "preview", "grant", "move", "given"}

// String names the kind.
func (k Kind) String() string { return kindNames[k] }

// never is when a request is answered that is not.
const never = math.MaxInt64

// Op is one operation with its answer.
type Op struct {
	Request
	id     int
	Call   int64 // when, in ticks of the recorder
	Return int64
	Open   bool // whether it happened is not known

	place   int            // of its run in the history's runs; -1 for none
	prices  []core.Credits // that a file may cost
	periods []core.Period  // that it may be in

	code      core.Code // empty for a success
	status    core.RunStatus
	attempt   core.AttemptNumber
	credits   core.Split // of the run, in the answer
	needed    core.Credits
	available core.Credits
	balance   core.Balance

	of    *Op    // Undo: the first half
	moves []move // Move
	grant core.Split
	given model.Run
}

// move is what was written of one file.
type move struct {
	index   int
	status  core.FileStatus
	failure string // its code
}

// String says the operation and its answer in one line.
func (o *Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", o.Kind)
	if o.Run != "" {
		fmt.Fprintf(&b, " %s", o.Run)
	}
	if o.Key != "" {
		fmt.Fprintf(&b, " key %s", o.Key)
	}
	switch o.Kind {
	case Initiate:
		fmt.Fprintf(&b, " with %d files at %v", o.Files, o.prices)
	case Continue:
		fmt.Fprintf(&b, " at %v", o.prices)
	case Raise:
		fmt.Fprintf(&b, " to %d", o.MaxRetryCount)
	case Purchase:
		fmt.Fprintf(&b, " of %d", o.Amount)
	case Grant:
		fmt.Fprintf(&b, " of %d+%d for %s", o.grant.Monthly, o.grant.Purchased, o.periods[0])
	case Move:
		for _, m := range o.moves {
			fmt.Fprintf(&b, " file %d %s", m.index, m.status)
		}
		if o.status != "" {
			fmt.Fprintf(&b, ", run %s", o.status)
		}
		return b.String()
	case Given:
		fmt.Fprintf(&b, " %s in attempt %d with %v", o.given.Status, o.given.Number(), o.given.Files)
		return b.String()
	case Undo, Cancel, Balance, Preview:
	}
	switch {
	case o.Open:
		b.WriteString(" → unknown")
	case o.Kind == Balance || o.Kind == Preview:
		fmt.Fprintf(&b, " → %d of %s + %d %s", o.balance.Monthly, o.balance.Period, o.balance.Purchased, o.code)
	case o.code != "":
		fmt.Fprintf(&b, " → %s", o.code)
	default:
		b.WriteString(" → ok")
	}
	if o.status != "" {
		fmt.Fprintf(&b, ", %s attempt %d, %d+%d", o.status, o.attempt, o.credits.Monthly, o.credits.Purchased)
	}
	return b.String()
}
