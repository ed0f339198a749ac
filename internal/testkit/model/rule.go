package model

// Rule is what must hold of the state by itself.
type Rule uint8

// The invariants of the specification by their numbers, and the machine itself.
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
)

var rules = [...]struct{ name, words string }{
	None:       {"none", "nothing is wrong"},
	I1:         {"I1", "balances are what the ledger's entries add up to, and never negative"},
	I2:         {"I2", "a run's creditsConsumed is its two parts together, and its charges less its refunds"},
	I3:         {"I3", "at most one charge per attempt, of exactly its failed files × price, monthly allowance first"},
	I4:         {"I4", "at most one refund per charge, equal to its split, to its period"},
	I5:         {"I5", "the charge that covers a pending or processing file stands"},
	I6:         {"I6", "0 ≤ freeRetries ≤ retryAttempt, and retryAttempt - freeRetries ≤ maxRetryCount"},
	I7:         {"I7", "a run closes exactly once per attempt, and completedJobs + failedJobs ≤ attemptJobs ≤ totalJobs"},
	I8:         {"I8", "a result is recorded at most once per (file, epoch), by the worker that executed it; completed and error are final"},
	I9:         {"I9", "of concurrent Continues on one closed run at most one succeeds"},
	I10:        {"I10", "no operation of one tenant reads or changes anything of another"},
	I11:        {"I11", "when faults stop, every run closes, and what was lost is made good"},
	I12:        {"I12", "no credits vanish: a charge's work was executed, is pending, or was refunded"},
	Refinement: {"refinement", "every commit is one step of the sequential model"},
}

// String is the rule's name.
func (r Rule) String() string { return rules[r].name }

// Words says the rule in a sentence.
func (r Rule) Words() string { return rules[r].words }

// Judge is told of everything that must not be.
type Judge func(rule Rule, format string, args ...any)
