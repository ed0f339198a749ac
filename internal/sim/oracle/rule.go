package oracle

import (
	"fmt"

	"github.com/redrive/redrive/internal/testkit/model"
)

// Rule is what must hold.
type Rule uint8

// The rules of the model by its numbers, and what else must hold.
const (
	None       = Rule(model.None)
	I1         = Rule(model.I1)
	I2         = Rule(model.I2)
	I3         = Rule(model.I3)
	I4         = Rule(model.I4)
	I5         = Rule(model.I5)
	I6         = Rule(model.I6)
	I7         = Rule(model.I7)
	I8         = Rule(model.I8)
	I9         = Rule(model.I9)
	I10        = Rule(model.I10)
	I11        = Rule(model.I11)
	I12        = Rule(model.I12)
	Refinement = Rule(model.Refinement)
)

// What else must hold.
const (
	Refusal Rule = iota + Refinement + 1
	Idempotency
	AckAfterClaim
	EnqueueAfterCommit
	NoCallInTx
	LockOrder
	TxLifetime
	Panicked
	Stuck
	Fenced
	ExecuteOnce
	Dispatched
	GrantOnce
	OneAttempt
	Kept
	Explained
	Version
	Accepted
	Refilled
	Leaked
	Drained
	Places
	Fair
	SentOnce
	BulkOnce
	Told
	Suspended
	ruleCount
)

// RuleCount is the number of rules, None included.
const RuleCount = int(ruleCount)

var rules = [...]struct{ name, words string }{
	Refusal:            {"refusal", "a refusal has no effect"},
	Idempotency:        {"idempotency", "a repeat under the same key gets the first answer"},
	AckAfterClaim:      {"ack-after-claim", "a delivery is acked only when its claim is durable or it has no effect"},
	EnqueueAfterCommit: {"enqueue-after-commit", "jobs are enqueued only once they are committed"},
	NoCallInTx:         {"no-call-in-tx", "no call to a queue, an executor or files inside a transaction"},
	LockOrder:          {"lock-order", "the run's lock is taken first and the tenant's second"},
	TxLifetime:         {"tx-lifetime", "a transaction is not used after it ended"},
	Panicked:           {"panic", "nothing panics"},
	Stuck:              {"stuck", "some actor can always go on"},
	Fenced:             {"fenced", "a file that is being processed is touched by the worker that claimed it, or taken away under a new epoch"},
	ExecuteOnce:        {"execute-once", "a claim is executed by its worker alone, and no file again that has ended"},
	Dispatched:         {"dispatched", "an attempt is recorded as dispatched only when the queue has its jobs or one was claimed"},
	GrantOnce:          {"grant-once", "a month's allowance is granted once, and a purchase or a refund by hand once for each key"},
	OneAttempt:         {"one-attempt", "one request begins one attempt at most"},
	Kept:               {"kept", "the queue has every job that it says it has taken"},
	Explained:          {"explained", "a refusal has its reason, and an error its cause"},
	Version:            {"version", "every attempt works with the instructions of the run's initiation"},
	Accepted:           {"accepted", "nothing is charged above the price that the caller accepts"},
	Refilled:           {"refilled", "every tenant has the allowance of the month, also when another one's refill fails"},
	Leaked:             {"leaked", "when all is done, a worker has no place, limit, message or timer left in use"},
	Drained:            {"drained", "a worker that stops receives and claims nothing more"},
	Places:             {"places", "a worker has no more jobs in hand than places and limits allow, and lets go of what is done"},
	SentOnce:           {"sent-once", "jobs that a transaction sends are sent by it alone"},
	BulkOnce:           {"bulk-once", "a run is continued at most once by a bulk continue, whose record says so; a finished one has an outcome of each run"},
	Told:               {"told", "the end of an attempt, and a Continue, is told once, by the transaction that writes it"},
	Suspended:          {"suspended", "of a suspended tenant no attempt begins"},
	Fair:               {"fair", "no tenant waits while another has more than its share"},
}

// String is the rule's name.
func (r Rule) String() string {
	if r <= Refinement {
		return model.Rule(r).String()
	}
	return rules[r].name
}

// Words says the rule in a sentence.
func (r Rule) Words() string {
	if r <= Refinement {
		return model.Rule(r).Words()
	}
	return rules[r].words
}

// Violation is a rule that did not hold.
type Violation struct {
	Rule Rule
	Text string // what was found
	Step int    // of the world
}

// Error makes it readable.
func (v *Violation) Error() string { return fmt.Sprintf("%s: %s", v.Rule, v.Text) }
