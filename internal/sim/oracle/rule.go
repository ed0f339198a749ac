package oracle

import "fmt"

// Rule is what must hold.
type Rule uint8

// The invariants of the specification by their numbers, and what else must hold.
const (
	None Rule = iota
	I1
	I2
	I3
	I4
	I5
	I6
	I7
	I8
	I9
	I10
	I11
	I12
	Refinement
	Refusal
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
	ruleCount
)

// RuleCount is the number of rules, None included.
const RuleCount = int(ruleCount)

var rules = [...]struct{ name, words string }{
	None:               {"none", "nothing is wrong"},
	I1:                 {"I1", "balances are what the ledger's entries add up to, and never negative"},
	I2:                 {"I2", "a run's creditsConsumed is its two parts together, and its charges less its refunds"},
	I3:                 {"I3", "at most one charge per attempt, of exactly its failed files × price, monthly allowance first"},
	I4:                 {"I4", "at most one refund per charge, equal to its split, to its period"},
	I5:                 {"I5", "the charge that covers a pending or processing file stands"},
	I6:                 {"I6", "0 ≤ freeRetries ≤ retryAttempt, and retryAttempt - freeRetries ≤ maxRetryCount"},
	I7:                 {"I7", "a run closes exactly once per attempt, and completedJobs + failedJobs ≤ attemptJobs ≤ totalJobs"},
	I8:                 {"I8", "a result is recorded at most once per (file, epoch), by whoever executed it; completed and error are final"},
	I9:                 {"I9", "of concurrent Continues on one closed run at most one succeeds"},
	I10:                {"I10", "no operation of one tenant reads or changes anything of another"},
	I11:                {"I11", "when faults stop, every run closes, and what was lost is made good"},
	I12:                {"I12", "no credits vanish: a charge's work was executed, is pending, or was refunded"},
	Refinement:         {"refinement", "every commit is one step of the sequential model"},
	Refusal:            {"refusal", "a refusal has no effect"},
	Idempotency:        {"idempotency", "a repeat under the same key gets the first answer"},
	AckAfterClaim:      {"ack-after-claim", "a delivery is acked only when its claim is durable or it has no effect"},
	EnqueueAfterCommit: {"enqueue-after-commit", "jobs are enqueued only once they are committed"},
	NoCallInTx:         {"no-call-in-tx", "no call to a queue, an executor or files inside a transaction"},
	LockOrder:          {"lock-order", "the run's lock is taken first and the tenant's second"},
	TxLifetime:         {"tx-lifetime", "a transaction is not used after it ended"},
	Panicked:           {"panic", "nothing panics"},
	Stuck:              {"stuck", "somebody can always go on"},
	Fenced:             {"fenced", "a file that is being processed is touched by whoever claimed it, or taken away under a new epoch"},
	ExecuteOnce:        {"execute-once", "a claim is executed by its worker alone, and no file again that has ended"},
	Dispatched:         {"dispatched", "an attempt is recorded as dispatched only when the queue has its jobs or one was claimed"},
	GrantOnce:          {"grant-once", "a month's allowance is granted once, and a purchase once for each key"},
	OneAttempt:         {"one-attempt", "one request begins one attempt at most"},
	Kept:               {"kept", "the queue has every job that it says it has taken"},
	Explained:          {"explained", "a refusal has its reason, and an error its cause"},
	Version:            {"version", "every attempt works with the instructions of the run's initiation"},
	Accepted:           {"accepted", "nothing is charged above the price that the caller accepts"},
	Refilled:           {"refilled", "every tenant has the allowance of the month, also when another one's refill fails"},
	Leaked:             {"leaked", "when all is done, a worker has no place, limit, message or timer left in use"},
}

// String is the rule's name.
func (r Rule) String() string { return rules[r].name }

// Words says the rule in a sentence.
func (r Rule) Words() string { return rules[r].words }

// Violation is a rule that did not hold.
type Violation struct {
	Rule Rule
	Text string // what was found
	Step int    // of the world
}

// Error makes it readable.
func (v *Violation) Error() string { return fmt.Sprintf("%s: %s", v.Rule, v.Text) }
