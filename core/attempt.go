package core

import "time"

// Attempt records one dispatch of a run: what was dispatched, what it cost,
// who asked, and what compensation needs to undo it.
type Attempt struct {
	Tenant TenantID
	Run    RunID
	Number AttemptNumber
	Epoch  Epoch // under which its jobs were first dispatched
	Jobs   int

	RequestedBy Actor
	RequestedAt time.Time

	Price  Credits // per file, as it was then
	Charge Charge
	Files  []AttemptFile // what was dispatched, ascending by index
	Before RunBefore     // the run before it; zero for the initiation

	CompensatedAt time.Time // zero unless it was undone
}

// Compensated reports whether the attempt was undone and its charge refunded.
func (a Attempt) Compensated() bool { return !a.CompensatedAt.IsZero() }

// Charge is what an attempt took; the zero value took nothing and has no entry.
type Charge struct {
	Key    Key
	Period Period
	Amount Split
}

// IsZero reports whether nothing was charged.
func (c Charge) IsZero() bool { return c.Key == "" }

// AttemptFile is one file of an attempt: whether it was charged, and what it
// was before.
type AttemptFile struct {
	Index   int
	Charged bool
	Before  FileBefore
}

// AllFiles are n files of a run from an index on, as an initiation dispatches them.
func AllFiles(from, n int, charged bool) []AttemptFile {
	files := make([]AttemptFile, n)
	for i := range files {
		files[i] = AttemptFile{Index: from + i, Charged: charged}
	}
	return files
}

// OfAllFiles reports whether the attempt's files are AllFiles from an index on: their number
// says all of them.
func (a *Attempt) OfAllFiles(from int) bool {
	if a.Number != 0 {
		return false
	}
	for i, f := range a.Files {
		if f != (AttemptFile{Index: from + i, Charged: a.Price > 0}) {
			return false
		}
	}
	return true
}

// FileBefore is what a compensation restores of a file. Status is empty for
// the initiation, which has nothing before it.
type FileBefore struct {
	Status       FileStatus
	RetryAttempt int
	FreeRetries  int
	Redeliveries int
	PaidBy       AttemptNumber
	Failure      Failure
}

// RunBefore is what a compensation restores of a run.
type RunBefore struct {
	Status        RunStatus
	Reason        CloseReason
	Failure       Failure
	ClosedAt      time.Time
	LastRetriedAt time.Time
	AttemptJobs   int
	CompletedJobs int
	FailedJobs    int
}

func beforeOf(r Run) RunBefore {
	return RunBefore{
		Status: r.Status, Reason: r.Reason, Failure: r.Failure, ClosedAt: r.ClosedAt, LastRetriedAt: r.LastRetriedAt,
		AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
	}
}

// chargeFor makes the charge of an attempt, or none if the price is 0.
func chargeFor(r Run, n AttemptNumber, price Credits, balance Balance, by Actor, now time.Time) (Charge, []Entry, error) {
	split, err := balance.SplitPrice(price)
	if err != nil {
		return Charge{}, nil, err
	}
	if split.IsZero() {
		return Charge{}, nil, nil
	}
	c := Charge{Key: ChargeKey(r.ID, n), Period: balance.Period, Amount: split}
	return c, []Entry{{
		Tenant: r.Tenant, Key: c.Key, Kind: EntryCharge, Period: c.Period, Amount: split,
		Run: r.ID, Attempt: n, Actor: by, At: now,
	}}, nil
}
