package oracle

// Situation is something interesting that a campaign must have met: one that
// never happens is never tested.
type Situation uint8

// The situations.
const (
	RefundAfterMonthEnd Situation = iota
	ChargeSplitOverBoth
	LateDeliveryOfCompensated
	DuplicateDelivery
	StaleDelivery
	RecoveryTookLease
	LateResultDropped
	CompensationRefused
	CompensatedContinue
	CompensatedInitiate
	CompensationFailed
	ContinueLost
	ContinueFree
	ContinueMixed
	ContinueBatch
	ContinueAfterReprice
	ContinueAfterDelete
	ContinueInsufficient
	ContinueMaxed
	Raised
	PartialRetryClosed
	CancelledWhileProcessing
	RedeliveriesExhausted
	HandedBack
	Renewed
	ReplayedSuccess
	ReplayedRefusal
	CommitAnswerLost
	CommitLost
	CrashAfterCommit
	CrashInTransaction
	WaitedForLock
	MonthEnded
	RefillRaced
	HealedWithoutRecovery
	RenewedBesideExecution
	LeaseLostAlive
	ClaimedManyRuns
	PassedHeldRun
	HandedBackBesideExecution
	FileUnreadable
	KeyReused
	RepeatAfterLostCommit
	ExecutionCancelled
	RefusedForeigner
	Interrupted
	ClosedByInterruption
	ClosedByFault
	ContinueInterrupted
	CompensatedInterrupted
	RecordedEarly
	SettledTheRest
	RestTaken
	CancelledEarly
	LookedAndLost
	EditedMeanwhile
	PriceChanged
	Enrolled
	RefillFailed
	RefilledBeside
	DueBeyondHorizon
	WaitedForTurn
	DecidedTogether
	DecidedApart
	ResultRefused
	SentByTransaction
	BulkContinued
	BulkRefused
	BulkUndone
	BulkEnded
	RefusedSuspended
	RefundedByHand
	TakenUp
	DiedTakingUp
	situationCount
)

// SituationCount is the number of situations.
const SituationCount = int(situationCount)

var situationNames = [...]string{
	RefundAfterMonthEnd:       "refund after the month of its charge ended",
	ChargeSplitOverBoth:       "charge split over allowance and purchased credits",
	LateDeliveryOfCompensated: "late delivery of a compensated attempt",
	DuplicateDelivery:         "second delivery of a job that is being processed or done",
	StaleDelivery:             "delivery of a job whose files were dispatched again",
	RecoveryTookLease:         "recovery took the lease of a worker",
	LateResultDropped:         "late result of a fenced worker",
	CompensationRefused:       "enqueueing failed after a job was claimed: no refund",
	CompensatedContinue:       "Continue compensated",
	CompensatedInitiate:       "initiation compensated",
	CompensationFailed:        "enqueueing failed and so did the compensation",
	ContinueLost:              "Continue refused because another one won",
	ContinueFree:              "Continue of pending files only, free",
	ContinueMixed:             "Continue of failed and pending files",
	ContinueBatch:             "Continue of a batch run",
	ContinueAfterReprice:      "Continue at another price than the initiation",
	ContinueAfterDelete:       "Continue after the template was deleted",
	ContinueInsufficient:      "Continue refused for want of credits",
	ContinueMaxed:             "Continue refused because a file used its retries",
	Raised:                    "maxRetryCount raised",
	PartialRetryClosed:        "run closed by a partial retry",
	CancelledWhileProcessing:  "run cancelled while a worker held a file",
	RedeliveriesExhausted:     "recovery gave up on a run",
	HandedBack:                "job handed back",
	Renewed:                   "lease renewed",
	ReplayedSuccess:           "repeat answered with the first success",
	ReplayedRefusal:           "repeat answered with the first refusal",
	CommitAnswerLost:          "commit succeeded, its answer was lost",
	CommitLost:                "commit failed with its outcome unknown",
	CrashAfterCommit:          "process died between commit and enqueue",
	CrashInTransaction:        "process died inside a transaction",
	WaitedForLock:             "transaction waited for another's lock",
	MonthEnded:                "month ended",
	RefillRaced:               "refill found that another one had granted the month",
	HealedWithoutRecovery:     "all runs closed without recovery",
	RenewedBesideExecution:    "lease renewed while its job was executed",
	LeaseLostAlive:            "worker told that its lease is lost while it executed",
	ClaimedManyRuns:           "jobs of several runs claimed in one transaction",
	PassedHeldRun:             "run passed over because another transaction held it",
	HandedBackBesideExecution: "job handed back by a stopping process while it was executed",
	FileUnreadable:            "file could not be read",
	KeyReused:                 "idempotency key refused because it was used for something else",
	RepeatAfterLostCommit:     "request repeated under its key after the commit's answer was lost",
	ExecutionCancelled:        "execution given up because its lease was lost",
	RefusedForeigner:          "another tenant's admin refused",
	Interrupted:               "file interrupted by a fault of the service",
	ClosedByInterruption:      "run closed by its last job with files that were interrupted",
	ClosedByFault:             "run closed because all of it waited for a fault to be mended",
	ContinueInterrupted:       "Continue of files that were interrupted",
	CompensatedInterrupted:    "Continue of an interrupted run compensated",
	RecordedEarly:             "result of a batch job recorded while the job went on",
	SettledTheRest:            "rest of a batch job settled after early results",
	RestTaken:                 "rest of a batch job taken from its worker after early results",
	CancelledEarly:            "run cancelled after early results of a batch job, which it keeps",
	LookedAndLost:             "worker found while it executed that its run was closed or its job taken",
	EditedMeanwhile:           "file executed with its run's instructions after the template was edited",
	PriceChanged:              "price refused because it was above what the user accepted",
	Enrolled:                  "tenant created",
	RefillFailed:              "refill failed for one tenant, again and again",
	RefilledBeside:            "month granted although another tenant's refill failed",
	DueBeyondHorizon:          "recovery of a run whose due time a clock that was ahead had written",
	WaitedForTurn:             "a request waited for its turn at its tenant's credits",
	DecidedTogether:           "several requests were decided in one transaction",
	DecidedApart:              "requests that were decided together failed, and went each alone",
	ResultRefused:             "result that the store can never hold",
	SentByTransaction:         "attempt sent by the transaction that began it",
	BulkContinued:             "run continued by a bulk continue",
	BulkRefused:               "run refused to a bulk continue",
	BulkUndone:                "run of a bulk continue whose dispatch was undone, so that it waits again",
	BulkEnded:                 "bulk continue finished",
	RefusedSuspended:          "start refused because the tenant is suspended",
	RefundedByHand:            "charge given back by hand",
	TakenUp:                   "process that has the store for itself took up what the one before it left",
	DiedTakingUp:              "process died while it took up what the one before it left",
}

// String names the situation.
func (s Situation) String() string { return situationNames[s] }

// Situations counts worlds by the situations that they met.
type Situations [SituationCount]int64

// Missing lists the situations that no world met. A campaign over default worlds
// that is long enough (CoveredAfter) must have met all of them.
func (s *Situations) Missing() []Situation {
	var missing []Situation
	for i, n := range s {
		if n == 0 {
			missing = append(missing, Situation(i))
		}
	}
	return missing
}

// CoveredAfter is after how many default worlds, with all faults and strategies, no
// situation may be missing: several times what the rarest needs.
const CoveredAfter = 5000

// Add adds another count.
func (s *Situations) Add(o *Situations) {
	for i, n := range o {
		s[i] += n
	}
}
