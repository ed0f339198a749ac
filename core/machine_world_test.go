package core_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// world is the content of a store and a queue for one tenant, in plain maps, and the
// history that the invariants of spec 10 need. It applies the plans and decides nothing
// by itself.
type world struct {
	now       time.Time
	template  core.Template
	entries   []core.Entry
	monthly   map[core.Period]core.Credits
	purchased core.Credits
	runs      []*runRecord
	seen      map[string]int // counts of what the machine has done, to show that it covers everything
}

// runRecord is one run with its rows, its messages and its history.
type runRecord struct {
	run      core.Run
	files    []core.File
	attempts []core.Attempt

	sent []core.Job // every message ever sent: the queue may bring any of them at any time, and again
	held []core.Job // every job ever claimed: its worker may answer at any time, and again
	open []dispatched

	failedAt map[core.AttemptNumber]int // failed files when the attempt was made, which it must charge for
	closes   map[core.AttemptNumber]int
	claims   map[fileEpoch]int
	results  map[fileEpoch]int
	executed map[fileAttempt]bool // results recorded under the charge of an attempt
	final    map[int]core.File    // completed and error files, as they were when they became so
}

// dispatched is an attempt whose enqueueing has neither succeeded nor failed yet.
type dispatched struct {
	attempt core.AttemptNumber
	jobs    []core.Job
}

type fileEpoch struct {
	index int
	epoch core.Epoch
}

type fileAttempt struct {
	index   int
	attempt core.AttemptNumber
}

func newWorld() *world {
	return &world{
		now: t0, template: published(3), monthly: map[core.Period]core.Credits{}, seen: map[string]int{},
	}
}

func (w *world) balance() core.Balance {
	p := core.PeriodOf(w.now)
	return core.Balance{Period: p, Split: core.Split{Monthly: w.monthly[p], Purchased: w.purchased}}
}

// post writes ledger entries as the store does: each under its key, and to the balance of
// its period.
func (w *world) post(t *rapid.T, entries []core.Entry) {
	for _, e := range entries {
		for _, o := range w.entries {
			require.NotEqual(t, o.Key, e.Key, "a key is used once")
		}
		b := core.Balance{Period: e.Period, Split: core.Split{Monthly: w.monthly[e.Period], Purchased: w.purchased}}
		after, err := b.Apply(e)
		require.NoError(t, err)
		e.Seq = int64(len(w.entries) + 1)
		w.entries = append(w.entries, e)
		w.monthly[e.Period], w.purchased = after.Monthly, after.Purchased
	}
}

// save writes a run and files, and records the history for the invariants.
func (w *world) save(t *rapid.T, r *runRecord, run core.Run, files []core.File) {
	if r.run.Status == core.RunRunning && run.Status != core.RunRunning {
		r.closes[run.Attempt]++
	}
	require.GreaterOrEqual(t, run.Epoch, r.run.Epoch, "epochs only grow")
	require.GreaterOrEqual(t, run.Attempt, r.run.Attempt)
	for _, f := range files {
		was := r.files[f.Index]
		at := fileEpoch{f.Index, f.Epoch}
		if was.Status == core.FilePending && f.Status == core.FileProcessing {
			r.claims[at]++
		}
		if was.Status == core.FileProcessing && f.Status != core.FileProcessing && f.Epoch == was.Epoch {
			r.results[at]++
			r.executed[fileAttempt{f.Index, f.PaidBy}] = true
		}
		if f.Status == core.FilePending && was.Epoch != f.Epoch {
			require.Greater(t, f.Epoch, was.Epoch, "an epoch that no file of the run had before")
		}
		if _, done := r.final[f.Index]; !done && (f.Status == core.FileCompleted || f.Status == core.FileError) {
			r.final[f.Index] = f
		}
		r.files[f.Index] = f
	}
	r.run = run
}

// check checks the invariants I1 to I8 and I12, and what follows from them for tallies,
// statuses and receipts.
func (w *world) check(t *rapid.T) {
	audit := core.NewAudit(acme)
	for _, e := range w.entries {
		audit.Entry(e)
	}
	months := map[core.Period]core.Credits{}
	purchased := core.Credits(0)
	for _, e := range w.entries {
		sign := core.Credits(1)
		if e.Kind == core.EntryCharge {
			sign = -1
		}
		months[e.Period] += sign * e.Amount.Monthly
		purchased += sign * e.Amount.Purchased
	}
	for p, left := range w.monthly {
		require.GreaterOrEqual(t, left, core.Credits(0), "I1")
		require.Equal(t, months[p], left, "I1: %s", p)
		audit.Balance(core.Balance{Period: p, Split: core.Split{Monthly: left, Purchased: w.purchased}})
	}
	require.GreaterOrEqual(t, w.purchased, core.Credits(0), "I1")
	require.Equal(t, purchased, w.purchased, "I1")
	for _, r := range w.runs {
		w.checkRun(t, r)
		audit.Run(r.run)
	}
	require.Empty(t, audit.Differences(), "the audit agrees")
}

func (w *world) checkRun(t *rapid.T, r *runRecord) {
	run := r.run
	charges, refunds, net := w.entriesOf(t, r)
	require.Equal(t, net, core.Split{Monthly: run.CreditsFromMonthly, Purchased: run.CreditsFromPurchased}, "I2")
	require.Equal(t, run.CreditsFromMonthly+run.CreditsFromPurchased, run.CreditsConsumed, "I2")

	for n, attempt := range r.attempts {
		n := core.AttemptNumber(n)
		charge, charged := charges[n]
		price := attempt.Price * core.Credits(r.failedAt[n])
		require.Equal(t, price > 0, charged, "I3: attempt %d", n)
		if charged {
			require.Equal(t, price, charge.Amount.Total(), "I3: exactly failed files × price")
		}
		refund, refunded := refunds[n]
		require.Equal(t, charged && attempt.Compensated(), refunded, "I4: attempt %d", n)
		if refunded {
			require.Equal(t, charge.Amount, refund.Amount, "I4")
			require.Equal(t, charge.Period, refund.Period, "I4")
			require.Equal(t, charge.Key, refund.Charge, "I4")
		}
		require.LessOrEqual(t, r.closes[n], 1, "I7: attempt %d closes once", n)
		if charged && !refunded {
			for _, f := range attempt.Files {
				now := r.files[f.Index]
				waiting := now.PaidBy == n && (now.Status == core.FilePending || now.Status == core.FileProcessing)
				require.True(t, !f.Charged || waiting || r.executed[fileAttempt{f.Index, n}],
					"I12: file %d was charged in attempt %d, and is neither done nor pending nor refunded", f.Index, n)
			}
		}
	}
	for _, f := range r.files {
		if f.Status == core.FilePending || f.Status == core.FileProcessing {
			covering := r.attempts[f.PaidBy]
			require.False(t, covering.Compensated(), "I5: the charge that covers file %d was refunded", f.Index)
			require.True(t, slices.ContainsFunc(covering.Files, func(a core.AttemptFile) bool {
				return a.Index == f.Index && (a.Charged || covering.Price == 0)
			}), "I5: attempt %d does not cover file %d", f.PaidBy, f.Index)
		}
		require.True(t, f.FreeRetries >= 0 && f.FreeRetries <= f.RetryAttempt, "I6: file %d", f.Index)
		require.LessOrEqual(t, f.RetryAttempt-f.FreeRetries, run.MaxRetryCount, "I6: file %d", f.Index)
		require.Equal(t, f.Status == core.FileProcessing, !f.LeaseUntil.IsZero())
		require.Equal(t, f.Status == core.FileCompleted, f.Output != "")
		if f.Status != core.FilePending { // which has one if a fault of ours interrupted it
			require.Equal(t, f.Status == core.FileFailed || f.Status == core.FileError, f.Failure != core.Failure{})
		}
		require.LessOrEqual(t, f.Epoch, run.Epoch)
	}
	require.LessOrEqual(t, run.CompletedJobs+run.FailedJobs, run.AttemptJobs, "I7")
	require.LessOrEqual(t, run.AttemptJobs, run.TotalJobs, "I7")
	for at, n := range r.results {
		require.Equal(t, 1, n, "I8: file %d under epoch %d", at.index, at.epoch)
	}
	for at, n := range r.claims {
		require.Equal(t, 1, n, "file %d is claimed once under epoch %d", at.index, at.epoch)
	}
	for index, was := range r.final {
		require.Equal(t, was, r.files[index], "I8: final files never change")
	}
	w.checkShape(t, r, net)
}

// entriesOf collects a run's ledger entries; a second charge or refund of one attempt
// violates I3 or I4.
func (w *world) entriesOf(t *rapid.T, r *runRecord) (charges, refunds map[core.AttemptNumber]core.Entry, net core.Split) {
	charges, refunds = map[core.AttemptNumber]core.Entry{}, map[core.AttemptNumber]core.Entry{}
	for _, e := range w.entries {
		if e.Run != r.run.ID {
			continue
		}
		into, sign := charges, core.Credits(1)
		if e.Kind == core.EntryRefund {
			into, sign = refunds, -1
		}
		_, twice := into[e.Attempt]
		require.False(t, twice, "I3, I4: a second %s of attempt %d", e.Kind, e.Attempt)
		into[e.Attempt] = e
		net.Monthly += sign * e.Amount.Monthly
		net.Purchased += sign * e.Amount.Purchased
	}
	return charges, refunds, net
}

// checkShape checks that tallies, statuses and the receipt agree with the rows.
func (w *world) checkShape(t *rapid.T, r *runRecord, net core.Split) {
	run := r.run
	require.Equal(t, core.TallyOf(r.files), run.Tally)
	require.Equal(t, len(r.files), run.Tally.Total())
	jobs := len(r.files)
	if run.Mode == core.ModeBatch {
		jobs = 1
	}
	require.Equal(t, run.Status == core.RunInterrupted && run.Reason == core.ReasonServiceFault,
		run.Status != core.RunRunning && run.Failure.Code != "", "a fault stays only where it closed the run")
	require.Equal(t, jobs, run.TotalJobs, "unchanged from the initiation on")
	if run.Status == core.RunRunning {
		require.Positive(t, run.Tally.Unfinished, "a running run has something under way")
		require.Less(t, run.CompletedJobs+run.FailedJobs, run.AttemptJobs)
		require.Zero(t, run.ClosedAt)
		require.False(t, run.RecoverAt.IsZero())
		require.Equal(t, core.ReasonNone, run.Reason)
	} else {
		require.Equal(t, statusFor(run.Tally), run.Status, "the status comes from all files")
		require.False(t, run.ClosedAt.IsZero())
		for _, f := range r.files {
			require.NotEqual(t, core.FileProcessing, f.Status)
		}
	}

	receipt := core.NewReceipt(run, r.attempts, nil)
	require.Equal(t, net, receipt.Total)
	lines := core.Credits(0)
	for _, a := range receipt.Attempts {
		for _, line := range a.Lines {
			if line.Kind == core.LineCharged {
				lines += line.Credits
			}
		}
	}
	require.Equal(t, run.CreditsConsumed, lines, "the receipt explains every credit")
}

// unfinished are the rows that recovery and cancel are given.
func (r *runRecord) unfinished() []core.File {
	return slices.DeleteFunc(slices.Clone(r.files), func(f core.File) bool {
		return f.Status != core.FilePending && f.Status != core.FileProcessing
	})
}

func (w *world) did(what string, args ...any) { w.seen[fmt.Sprintf(what, args...)]++ }
