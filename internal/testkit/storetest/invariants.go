package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CheckInvariants recomputes I1 to I8 and I12 of spec 10 for these tenants from
// what the store holds, as far as one look at it can tell, and fails the test
// with everything that does not hold. It may be called at any moment. What only
// a history can tell (that results are recorded once, that completed files never
// change) is checked by a Recorder.
func CheckInvariants(t *testing.T, s ports.Store, tenants ...core.TenantID) {
	t.Helper()
	broken, err := Violations(bounded(t), s, tenants...)
	require.NoError(t, err)
	require.Empty(t, broken)
}

// Violations says which invariants do not hold, one sentence each. It judges by
// the rules of the specification and not by package core, whose mistakes it is
// there to find.
func Violations(ctx context.Context, s ports.Store, tenants ...core.TenantID) ([]string, error) {
	var broken []string
	for _, id := range tenants {
		c, err := Read(ctx, s, id)
		if err != nil {
			return nil, err
		}
		broken = append(broken, violationsOf(id, c)...)
	}
	return broken, nil
}

func violationsOf(tenant core.TenantID, c Contents) []string {
	v := violations{prefix: fmt.Sprintf("tenant %s: ", tenant)}
	if c.Tenant == nil {
		v.add("I10", "there is no such tenant")
	}
	v.balances(c)
	charges, refunds := v.entriesByRun(c)
	for _, r := range c.Runs {
		run := runBooks{run: r, files: c.Files[r.ID], attempts: c.Attempts[r.ID], charges: charges[r.ID], refunds: refunds[r.ID]}
		v.prefix = fmt.Sprintf("tenant %s, run %s: ", tenant, r.ID)
		v.credits(run)
		v.attempts(run)
		v.counters(run)
		v.files(run)
		v.paid(run)
		delete(charges, r.ID)
	}
	v.prefix = fmt.Sprintf("tenant %s: ", tenant)
	for id := range charges {
		v.add("I2", "charges of run %s, which does not exist", id)
	}
	return v.found
}

// violations collects what does not hold.
type violations struct {
	prefix string
	found  []string
}

func (v *violations) add(invariant, format string, args ...any) {
	v.found = append(v.found, invariant+": "+v.prefix+fmt.Sprintf(format, args...))
}

// check adds a violation unless it holds.
func (v *violations) check(holds bool, invariant, format string, args ...any) {
	if !holds {
		v.add(invariant, format, args...)
	}
}

// runBooks is a run with what the ledger says of it.
type runBooks struct {
	run      core.Run
	files    []core.File
	attempts []core.Attempt
	charges  map[core.AttemptNumber]core.Entry
	refunds  map[core.AttemptNumber]core.Entry
}

// balances is I1: balances are what the entries add up to, and at no moment
// were they below zero; and the burn order, monthly allowance first.
func (v *violations) balances(c Contents) {
	monthly, purchased := map[core.Period]core.Credits{}, core.Credits(0)
	keys := map[core.Key]bool{}
	for i, e := range c.Entries {
		v.check(e.Seq == int64(i)+1, "I1", "entry %s has number %d in place %d", e.Key, e.Seq, i+1)
		v.check(!keys[e.Key], "I1", "key %s was used twice", e.Key)
		keys[e.Key] = true
		v.check(e.Amount.Monthly >= 0 && e.Amount.Purchased >= 0, "I1", "entry %s has a negative amount", e.Key)
		if e.Kind == core.EntryCharge {
			monthly[e.Period] -= e.Amount.Monthly
			purchased -= e.Amount.Purchased
			v.check(e.Amount.Purchased == 0 || monthly[e.Period] <= 0, "I3", "charge %s took %d purchased credits with %d of the month left",
				e.Key, e.Amount.Purchased, monthly[e.Period])
		} else {
			monthly[e.Period] += e.Amount.Monthly
			purchased += e.Amount.Purchased
		}
		v.check(monthly[e.Period] >= 0 && purchased >= 0, "I1", "entry %s took more than there was", e.Key)
	}
	v.check(len(c.Balances) == len(monthly), "I1", "%d balances for %d periods with entries", len(c.Balances), len(monthly))
	for _, b := range c.Balances {
		v.check(b.Monthly == monthly[b.Period], "I1", "%d left of %v, by the entries it is %d", b.Monthly, b.Period, monthly[b.Period])
		v.check(b.Purchased == purchased, "I1", "%d purchased, by the entries it is %d", b.Purchased, purchased)
	}
}

type entriesByAttempt map[core.RunID]map[core.AttemptNumber]core.Entry

// entriesByRun is the part of I3 and I4 that is about counting: at most one
// charge per attempt and one refund per charge, equal to it.
func (v *violations) entriesByRun(c Contents) (charges, refunds entriesByAttempt) {
	charges, refunds = entriesByAttempt{}, entriesByAttempt{}
	put := func(to entriesByAttempt, e core.Entry, invariant string) {
		if to[e.Run] == nil {
			to[e.Run] = map[core.AttemptNumber]core.Entry{}
		}
		_, twice := to[e.Run][e.Attempt]
		v.check(!twice, invariant, "run %s, attempt %d has a second %s, %s", e.Run, e.Attempt, e.Kind, e.Key)
		to[e.Run][e.Attempt] = e
	}
	for _, e := range c.Entries {
		switch e.Kind {
		case core.EntryCharge:
			put(charges, e, "I3")
		case core.EntryRefund:
			put(refunds, e, "I4")
			charge, ok := charges[e.Run][e.Attempt]
			v.check(ok && charge.Key == e.Charge, "I4", "refund %s is of no charge", e.Key)
			v.check(e.Amount == charge.Amount && e.Period == charge.Period, "I4",
				"refund %s gives %v to %v, the charge took %v from %v", e.Key, e.Amount, e.Period, charge.Amount, charge.Period)
		case core.EntryAllowance, core.EntryPurchase:
		}
	}
	return charges, refunds
}

// credits is I2.
func (v *violations) credits(b runBooks) {
	var sum core.Split
	for _, e := range b.charges {
		sum.Monthly += e.Amount.Monthly
		sum.Purchased += e.Amount.Purchased
	}
	for _, e := range b.refunds {
		sum.Monthly -= e.Amount.Monthly
		sum.Purchased -= e.Amount.Purchased
	}
	r := b.run
	v.check(r.CreditsConsumed == r.CreditsFromMonthly+r.CreditsFromPurchased, "I2",
		"consumed %d = %d + %d", r.CreditsConsumed, r.CreditsFromMonthly, r.CreditsFromPurchased)
	v.check(r.CreditsFromMonthly == sum.Monthly && r.CreditsFromPurchased == sum.Purchased, "I2",
		"consumed %d + %d, by the entries %d + %d", r.CreditsFromMonthly, r.CreditsFromPurchased, sum.Monthly, sum.Purchased)
}

// attempts is what is left of I3 and I4: each attempt and its charge and refund
// say the same, and the charge is of exactly the failed files.
func (v *violations) attempts(b runBooks) {
	v.check(len(b.attempts) == int(b.run.Attempt)+1, "I3", "%d attempts, the run is at attempt %d", len(b.attempts), b.run.Attempt)
	var epoch core.Epoch
	for i, a := range b.attempts {
		v.check(int(a.Number) == i, "I3", "attempt %d in place %d", a.Number, i)
		v.check(a.Epoch > epoch && a.Epoch <= b.run.Epoch, "I8", "attempt %d has epoch %d after %d, the run is at %d", i, a.Epoch, epoch, b.run.Epoch)
		epoch = a.Epoch
		v.check(0 < a.Jobs && a.Jobs <= b.run.TotalJobs, "I7", "attempt %d has %d of %d jobs", i, a.Jobs, b.run.TotalJobs)

		charged := 0
		for _, f := range a.Files {
			if f.Charged {
				charged++
			}
			owed := a.Price > 0 && (i == 0 || f.Before.Status == core.FileFailed)
			v.check(f.Charged == owed, "I3", "attempt %d, file %d: charged %v, was %q before, price %d", i, f.Index, f.Charged, f.Before.Status, a.Price)
			v.check(i == 0 || f.Before.Status == core.FileFailed || f.Before.Status == core.FilePending, "I8",
				"attempt %d ran file %d again, which was %q", i, f.Index, f.Before.Status)
		}
		entry, has := b.charges[a.Number]
		v.check(has == (charged > 0) && has != a.Charge.IsZero(), "I3", "attempt %d charged %d files, entry %v, record %v", i, charged, has, !a.Charge.IsZero())
		v.check(entry.Key == a.Charge.Key && entry.Amount == a.Charge.Amount && entry.Period == a.Charge.Period, "I3",
			"attempt %d recorded %+v, the entry is %+v", i, a.Charge, entry)
		v.check(entry.Amount.Monthly+entry.Amount.Purchased == core.Credits(charged)*a.Price, "I3",
			"attempt %d took %v for %d files at %d", i, entry.Amount, charged, a.Price)
		_, refunded := b.refunds[a.Number]
		v.check(refunded == (has && !a.CompensatedAt.IsZero()), "I4", "attempt %d: refunded %v, compensated %v", i, refunded, !a.CompensatedAt.IsZero())
	}
}

// counters is I7, with what the run's status says of its files.
func (v *violations) counters(b runBooks) {
	r := b.run
	v.check(0 <= r.CompletedJobs && 0 <= r.FailedJobs && r.CompletedJobs+r.FailedJobs <= r.AttemptJobs && r.AttemptJobs <= r.TotalJobs, "I7",
		"%d completed + %d failed <= %d of the attempt <= %d in all", r.CompletedJobs, r.FailedJobs, r.AttemptJobs, r.TotalJobs)
	count := map[core.FileStatus]int{}
	for _, f := range b.files {
		count[f.Status]++
	}
	unfinished := count[core.FilePending] + count[core.FileProcessing]
	tally := core.Tally{Unfinished: unfinished, Completed: count[core.FileCompleted], Failed: count[core.FileFailed], Error: count[core.FileError]}
	v.check(r.Tally == tally, "I7", "tally %+v, the files are %+v", r.Tally, tally)
	v.check((r.Status == core.RunRunning) == r.ClosedAt.IsZero(), "I7", "%s, closed at %v", r.Status, r.ClosedAt)
	switch r.Status {
	case core.RunRunning:
		v.check(unfinished > 0 && r.CompletedJobs+r.FailedJobs < r.AttemptJobs, "I7", "running with nothing under way: %+v, %d + %d of %d jobs",
			tally, r.CompletedJobs, r.FailedJobs, r.AttemptJobs)
		v.check(!r.RecoverAt.IsZero(), "I11", "running, and recovery never looks at it")
		return
	case core.RunCompleted:
		v.check(tally.Completed == len(b.files), "I7", "COMPLETED with %+v", tally)
	case core.RunCompletedWithErrors:
		v.check(unfinished == 0 && tally.Completed > 0 && tally.Completed < len(b.files), "I7", "COMPLETED_WITH_ERRORS with %+v", tally)
	case core.RunFailed:
		v.check(unfinished == 0 && tally.Completed == 0, "I7", "FAILED with %+v", tally)
	case core.RunInterrupted:
		v.check(unfinished > 0, "I7", "INTERRUPTED with %+v", tally)
	default:
		v.add("I7", "status %q", r.Status)
	}
	v.check(count[core.FileProcessing] == 0, "I7", "%s with %d files processing", r.Status, count[core.FileProcessing])
}

// files is I6, and that each file's retries are those attempts that stand, and the free
// ones those of them that found it pending.
func (v *violations) files(b runBooks) {
	retries, free := map[int]int{}, map[int]int{}
	for _, a := range b.attempts {
		for _, f := range a.Files {
			if a.Number > 0 && a.CompensatedAt.IsZero() {
				retries[f.Index]++
				if f.Before.Status == core.FilePending {
					free[f.Index]++
				}
			}
		}
	}
	for i, f := range b.files {
		v.check(f.Index == i, "I8", "file %d in place %d", f.Index, i)
		v.check(0 <= f.FreeRetries && f.FreeRetries <= f.RetryAttempt && f.RetryAttempt-f.FreeRetries <= b.run.MaxRetryCount,
			"I6", "file %d was retried %d times, %d of them free, of %d", i, f.RetryAttempt, f.FreeRetries, b.run.MaxRetryCount)
		v.check(f.FreeRetries == free[i], "I6", "file %d says %d free retries, by the attempts it had %d", i, f.FreeRetries, free[i])
		v.check(f.RetryAttempt == retries[i], "I6", "file %d says %d retries, by the attempts it had %d", i, f.RetryAttempt, retries[i])
		v.check(f.Epoch <= b.run.Epoch, "I8", "file %d has epoch %d, the run has given out %d", i, f.Epoch, b.run.Epoch)
		v.check((f.Status == core.FileProcessing) != f.LeaseUntil.IsZero(), "I8", "file %d is %s with a lease until %v", i, f.Status, f.LeaseUntil)
		v.check(f.Output == "" || f.Status == core.FileCompleted, "I8", "file %d is %s with an output", i, f.Status)
	}
}

// paid is I5 and I12: work that waits is paid for, and what was paid for was
// done, waits, or was refunded.
func (v *violations) paid(b runBooks) {
	found := b.foundFailed()
	for _, f := range b.files {
		payer := 0
		for _, r := range found[f.Index] {
			v.check(r.before.PaidBy == core.AttemptNumber(payer), "I12", "file %d was paid by attempt %d before attempt %d, which recorded %d",
				f.Index, payer, r.attempt, r.before.PaidBy)
			v.check(r.before.Failure.Code != core.FailureDispatchFailed || b.compensated(payer), "I12",
				"file %d was charged by attempt %d, not run, and charged again by %d", f.Index, payer, r.attempt)
			payer = r.attempt
		}
		v.check(f.PaidBy == core.AttemptNumber(payer), "I5", "file %d says it is paid by attempt %d, by the records it is %d", f.Index, f.PaidBy, payer)
		switch f.Status {
		case core.FilePending, core.FileProcessing:
			v.check(!b.compensated(payer), "I5", "file %d is %s, and its charge by attempt %d was refunded", f.Index, f.Status, payer)
		case core.FileFailed:
			v.check((f.Failure.Code == core.FailureDispatchFailed) == b.compensated(payer), "I12",
				"file %d failed by %q, its charge by attempt %d refunded: %v", f.Index, f.Failure.Code, payer, b.compensated(payer))
		case core.FileCompleted, core.FileError:
			v.check(!b.compensated(payer), "I12", "file %d is %s, and its charge by attempt %d was refunded", f.Index, f.Status, payer)
		}
	}
}

type failedBefore struct {
	attempt int
	before  core.FileBefore
}

// foundFailed gives for each file the Continues that stand and found it failed,
// in order: the last of them, else the initiation, is what covers the file.
func (b runBooks) foundFailed() map[int][]failedBefore {
	found := map[int][]failedBefore{}
	for n, a := range b.attempts {
		for _, f := range a.Files {
			if n > 0 && a.CompensatedAt.IsZero() && f.Before.Status == core.FileFailed {
				found[f.Index] = append(found[f.Index], failedBefore{n, f.Before})
			}
		}
	}
	return found
}

func (b runBooks) compensated(n int) bool {
	return n < len(b.attempts) && !b.attempts[n].CompensatedAt.IsZero()
}
