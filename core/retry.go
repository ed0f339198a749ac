package core

import (
	"fmt"
	"slices"
	"time"
)

// RetryPlan is everything that a Continue writes, and what a preview shows.
type RetryPlan struct {
	Run     Run
	Files   []File // those to retry, in their new state
	Attempt Attempt
	Charge  []Entry // one charge, or none if the price is 0
	Jobs    []Job   // to be enqueued after the commit
	Charged int     // files that were failed: paid for again
	Free    int     // files that were pending: paid for already
}

// Price is what the Continue costs.
func (p RetryPlan) Price() Credits { return p.Attempt.Charge.Amount.Total() }

// RetryTerms are the caller's terms of a Continue: who requests it, for which attempt,
// and the highest accepted price.
type RetryTerms struct {
	By       Actor
	Attempt  *AttemptNumber // the run's newest attempt that the caller was shown; nil: any
	MaxPrice *Credits       // nil: any price
}

// Status applies the rules 2 and 3, which need only the run's row. If the run has
// another attempt than the caller was shown, it was continued meanwhile and the preview
// no longer holds. That is refused with CodeRunAlreadyRunning, as rule 2 refuses a
// running run, also if the other attempt has ended since.
func (t RetryTerms) Status(run Run) error {
	if t.Attempt != nil && *t.Attempt != run.Attempt {
		return &Error{Code: CodeRunAlreadyRunning, Run: run.ID, Message: "the run was continued meanwhile, so nothing was changed or charged; read the run again"}
	}
	return ContinuableStatus(run)
}

// accepted refuses a price above the highest one that the caller accepts (spec 3), so
// that a price that was raised meanwhile is not charged unseen.
func accepted(price Credits, most *Credits) error {
	if most == nil || price <= *most {
		return nil
	}
	return &Error{
		Code: CodePriceChanged, Price: price,
		Message: fmt.Sprintf("the price is %d credits now and at most %d were accepted, so nothing was charged; request it again with the new price", price, *most),
	}
}

// PlanRetry decides a Continue by the rules 2 to 8 of spec 3, in their order. files may
// be all files of the run or only the failed and pending ones; others are ignored. The
// template may be soft-deleted: its price still holds.
//
// It fails with CodeRunAlreadyRunning, CodeNoErrorsToRetry, CodeNothingToRetry,
// CodeMaxRetryCountExceeded (naming the files), CodeCreditsOutOfRange,
// CodePriceChanged, CodeTenantSuspended or CodeInsufficientCredits, and then there is nothing to write.
func PlanRetry(run Run, files []File, balance Balance, t Template, terms RetryTerms, now time.Time) (RetryPlan, error) {
	by := terms.By
	retried, err := eligible(run, files, terms)
	if err != nil {
		return RetryPlan{}, err
	}
	charged := 0
	for i := range retried {
		if retried[i].Status == FileFailed {
			charged++
		}
	}
	price, err := t.CreditsPerRun.Times(charged)
	if err != nil {
		return RetryPlan{}, err
	}
	if err := accepted(price, terms.MaxPrice); err != nil {
		return RetryPlan{}, err
	}
	if err := balance.mayStart(); err != nil {
		return RetryPlan{}, err
	}

	n := run.Attempt + 1
	charge, entries, err := chargeFor(run, n, price, balance, by, now)
	if err != nil {
		return RetryPlan{}, err
	}
	attempt := Attempt{
		Tenant: run.Tenant, Run: run.ID, Number: n,
		RequestedBy: by, RequestedAt: now,
		Price: t.CreditsPerRun, Charge: charge, Files: make([]AttemptFile, len(retried)),
		Before: beforeOf(run),
	}

	if err := run.become(RunRunning); err != nil {
		return RetryPlan{}, err
	}
	if err := run.addCharge(charge.Amount); err != nil {
		return RetryPlan{}, err
	}
	epoch := run.nextEpoch()
	for i := range retried {
		if attempt.Files[i], err = retried[i].retry(epoch, n, price > 0, &run); err != nil {
			return RetryPlan{}, err
		}
	}
	jobs, err := JobsOf(run, retried)
	if err != nil {
		return RetryPlan{}, err
	}
	attempt.Epoch, attempt.Jobs = epoch, len(jobs)
	run.Reason, run.Failure, run.ClosedAt, run.LastRetriedAt = ReasonNone, Failure{}, time.Time{}, now
	run.Attempt, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = n, len(jobs), 0, 0
	run.Dispatch, run.DispatchedAt, run.Redispatches, run.RecoverAt = DispatchUnconfirmed, now, 0, now

	return RetryPlan{
		Run: run, Files: retried, Attempt: attempt, Charge: entries, Jobs: jobs,
		Charged: charged, Free: len(retried) - charged,
	}, nil
}

// Continuable says whether a Continue would pass the rules 2 to 5, which depend only on
// the run and its files: nil, or the refusal without its facts. It needs only the run's
// row and whether any failed file has used all its retries, so that lists of large runs
// are cheap. Credits and the caller's role are not checked; the preview checks them.
func Continuable(run Run, anyMaxed bool) error {
	if err := ContinuableStatus(run); err != nil {
		return err
	}
	if run.Tally.Failed+run.Tally.Unfinished == 0 {
		return nothingToRetry(run)
	}
	if anyMaxed {
		return &Error{Code: CodeMaxRetryCountExceeded, Run: run.ID, Message: fmt.Sprintf("files have used their %d retries; a platform admin can raise maxRetryCount", run.MaxRetryCount)}
	}
	return nil
}

// ContinuableStatus applies the rules 2 and 3, for any attempt.
func ContinuableStatus(run Run) error {
	switch run.Status {
	case RunRunning:
		return &Error{Code: CodeRunAlreadyRunning, Run: run.ID, Message: "the run is running; wait until it has closed"}
	case RunCompleted:
		return &Error{Code: CodeNoErrorsToRetry, Run: run.ID, Message: "every file completed; there are no errors to retry"}
	case RunCompletedWithErrors, RunFailed, RunInterrupted:
	}
	return nil
}

func nothingToRetry(run Run) error {
	return &Error{Code: CodeNothingToRetry, Run: run.ID, Message: "no file is failed or pending; files with a permanent error are never retried"}
}

// eligible applies the rules 2 to 5 and gives copies of the files to retry,
// ascending by index.
func eligible(run Run, files []File, terms RetryTerms) ([]File, error) {
	if err := terms.Status(run); err != nil {
		return nil, err
	}
	var retried []File
	var maxed []int
	for i := range files {
		if !files[i].Status.Retriable() {
			continue
		}
		retried = append(retried, files[i])
		if files[i].Maxed(run.MaxRetryCount) {
			maxed = append(maxed, files[i].Index)
		}
	}
	if len(retried) == 0 {
		return nil, nothingToRetry(run)
	}
	if len(maxed) > 0 {
		slices.Sort(maxed)
		return nil, &Error{
			Code: CodeMaxRetryCountExceeded, Run: run.ID, Files: maxed,
			Message: fmt.Sprintf("%d of the %d files to retry failed and have used their %d retries, so nothing was retried; a platform admin can raise maxRetryCount", len(maxed), len(retried), run.MaxRetryCount),
		}
	}
	slices.SortFunc(retried, func(a, b File) int { return a.Index - b.Index })
	return retried, nil
}

// retry makes a failed or pending file wait to be run again, and gives the record with
// which Compensate undoes that.
func (f *File) retry(epoch Epoch, n AttemptNumber, priced bool, r *Run) (AttemptFile, error) {
	record := AttemptFile{
		Index:   f.Index,
		Charged: priced && f.Status == FileFailed,
		Before: FileBefore{
			Status: f.Status, RetryAttempt: f.RetryAttempt, FreeRetries: f.FreeRetries,
			Redeliveries: f.Redeliveries, PaidBy: f.PaidBy, Failure: f.Failure,
		},
	}
	if f.Status == FileFailed {
		// Also if the price is 0 now: the attempt covers the file.
		f.PaidBy = n
	} else {
		f.FreeRetries++
	}
	if err := f.toPending(epoch, r); err != nil {
		return AttemptFile{}, err
	}
	f.RetryAttempt++
	f.Redeliveries, f.Failure = 0, Failure{}
	return record, nil
}

// RaiseMaxRetryCount gives a closed run a higher limit, so that a run that rule 5 blocks
// can be continued. It fails with CodeRunAlreadyRunning, or with CodeInvalidRequest unless
// the new limit is above the old one and at most MaxMaxRetryCount. The Amendment is the
// record of the change.
func RaiseMaxRetryCount(run Run, to int, by Actor, now time.Time) (Run, Amendment, error) {
	if !run.Status.Closed() {
		return Run{}, Amendment{}, &Error{Code: CodeRunAlreadyRunning, Run: run.ID, Message: "the run is running; wait until it has closed"}
	}
	if to <= run.MaxRetryCount || to > MaxMaxRetryCount {
		return Run{}, Amendment{}, InvalidField("maxRetryCount", "must be above %d, which it is now, and at most %d", run.MaxRetryCount, MaxMaxRetryCount)
	}
	a := Amendment{Tenant: run.Tenant, Run: run.ID, By: by, At: now, MaxRetryCountFrom: run.MaxRetryCount, MaxRetryCountTo: to}
	run.MaxRetryCount = to
	return run, a, nil
}

// Amendment records that a platform admin raised a run's maxRetryCount.
type Amendment struct {
	Tenant            TenantID
	Run               RunID
	By                Actor
	At                time.Time
	MaxRetryCountFrom int
	MaxRetryCountTo   int
}
