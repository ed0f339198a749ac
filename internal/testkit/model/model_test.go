package model_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

var (
	now    = time.Date(2026, time.November, 10, 12, 0, 0, 0, time.UTC)
	period = core.PeriodOf(now)
)

// complaints collects what a judge is told, the rules alone.
type complaints []model.Rule

func (c *complaints) judge(r model.Rule, _ string, _ ...any) { *c = append(*c, r) }

// sound is a judge that must be told nothing.
func sound(t require.TestingT) model.Judge {
	return func(r model.Rule, format string, args ...any) {
		require.Fail(t, r.String()+": "+fmt.Sprintf(format, args...))
	}
}

// initiated is a run of per-file jobs at 3 credits a file, all of it allowance.
func initiated(t require.TestingT, files, retries int) *model.Run {
	r := &model.Run{ID: "run"}
	r.Initiate(sound(t), files, retries, 1, model.Start{Price: 3, Charge: core.Split{Monthly: 3 * core.Credits(files)}, Period: period, Epoch: 1})
	return r
}

// ended claims every pending file and records how it ended; the run is closed if all of
// them did, else cancelled.
func ended(j model.Judge, r *model.Run, ends ...core.FileStatus) {
	open := false
	for i, status := range ends {
		f := &r.Files[i]
		switch {
		case f.Status != core.FilePending:
		case status == core.FilePending:
			open = true
		case status == core.FileProcessing: // a fault of ours
			r.Claim(j, i, f.Epoch)
			r.Interrupt(j, i, r.Epoch+1, core.FailureQuota)
			r.Epoch++
		default:
			code := "busy"
			if status == core.FileCompleted {
				code = ""
			}
			r.Claim(j, i, f.Epoch)
			r.Record(j, i, status, f.Epoch, code)
		}
	}
	if open {
		r.Break(j, core.ReasonCancelled, "")
		r.Epoch++
		return
	}
	r.Close(j)
}

// The rules of chapter 3 in their order: the first that holds decides.
func TestRefusal(t *testing.T) {
	t.Parallel()
	most := core.Credits(5)
	for name, c := range map[string]struct {
		ends      []core.FileStatus // none: still running
		retries   int
		available core.Credits
		most      *core.Credits
		want      core.Code
	}{
		"running":                 {nil, 3, 0, &most, core.CodeRunAlreadyRunning},
		"completed":               {[]core.FileStatus{core.FileCompleted, core.FileCompleted}, 3, 0, &most, core.CodeNoErrorsToRetry},
		"permanent errors only":   {[]core.FileStatus{core.FileError, core.FileCompleted}, 3, 0, &most, core.CodeNothingToRetry},
		"retries used up":         {[]core.FileStatus{core.FileFailed, core.FilePending}, 0, 0, &most, core.CodeMaxRetryCountExceeded},
		"above the highest price": {[]core.FileStatus{core.FileFailed, core.FileFailed}, 3, 0, &most, core.CodePriceChanged},
		"not enough credits":      {[]core.FileStatus{core.FileFailed, core.FileFailed}, 3, 5, nil, core.CodeInsufficientCredits},
		"exactly enough":          {[]core.FileStatus{core.FileFailed, core.FileFailed}, 3, 6, nil, ""},
		"at the highest price":    {[]core.FileStatus{core.FileFailed, core.FilePending}, 3, 3, &most, ""},
		"pending files are free":  {[]core.FileStatus{core.FilePending, core.FileCompleted}, 0, 0, new(core.Credits), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := initiated(t, 2, c.retries)
			if c.ends != nil {
				ended(sound(t), r, c.ends...)
			}
			q := r.Quote(3)
			require.Equal(t, c.want, r.Refusal(&q, c.available, c.most))
		})
	}
}

// What must not be done is reported under its rule.
func TestIllegal(t *testing.T) {
	t.Parallel()
	failed := []core.FileStatus{core.FileFailed, core.FileCompleted}
	start := func(r *model.Run, charge core.Credits) model.Start {
		return model.Start{Price: 3, Charge: core.Split{Purchased: charge}, Epoch: r.Epoch + 1}
	}
	for name, c := range map[string]struct {
		want model.Rule
		do   func(j model.Judge, r *model.Run)
	}{
		"continued while running": {model.I9, func(j model.Judge, r *model.Run) { r.Continue(j, start(r, 0)) }},
		"continued for nothing":   {model.I3, func(j model.Judge, r *model.Run) { ended(j, r, failed...); r.Continue(j, start(r, 0)) }},
		"continued under a used epoch": {model.I8, func(j model.Judge, r *model.Run) {
			ended(j, r, failed...)
			s := start(r, 3)
			s.Epoch--
			r.Continue(j, s)
		}},
		"continued too often": {model.I6, func(j model.Judge, r *model.Run) {
			r.MaxRetries = 0
			ended(j, r, failed...)
			r.Continue(j, start(r, 3))
		}},
		"claimed twice": {model.I8, func(j model.Judge, r *model.Run) {
			r.Claim(j, 0, 1)
			r.Record(j, 0, core.FileFailed, 1, "busy")
			r.Claim(j, 0, 1)
		}},
		"claimed after it closed": {model.I7, func(j model.Judge, r *model.Run) { ended(j, r, core.FilePending, core.FilePending); r.Claim(j, 0, 1) }},
		"claimed while it waits":  {model.Refinement, func(j model.Judge, r *model.Run) { r.Claim(j, 0, 1); r.Interrupt(j, 0, 2, "quota"); r.Claim(j, 0, 2) }},
		"two results": {model.I8, func(j model.Judge, r *model.Run) {
			r.Claim(j, 0, 1)
			r.Record(j, 0, core.FileFailed, 1, "busy")
			r.Record(j, 0, core.FileFailed, 1, "busy")
		}},
		"a late result": {model.I8, func(j model.Judge, r *model.Run) {
			r.Claim(j, 0, 1)
			r.Requeue(j, 0, 2, true)
			r.Record(j, 0, core.FileCompleted, 1, "")
		}},
		"requeued without a fence": {model.I8, func(j model.Judge, r *model.Run) { r.Claim(j, 0, 1); r.Requeue(j, 0, 1, true) }},
		"undone after a claim":     {model.I12, func(j model.Judge, r *model.Run) { r.Claim(j, 0, 1); r.Undo(j, 2) }},
		"undone twice":             {model.I4, func(j model.Judge, r *model.Run) { r.Undo(j, 2); r.Undo(j, 3) }},
		"closed twice":             {model.I7, func(j model.Judge, r *model.Run) { ended(j, r, failed...); r.Close(j) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var found complaints
			c.do(found.judge, initiated(t, 2, 3))
			require.Contains(t, found, c.want)
		})
	}
}

// Whatever a tenant goes through, the model's rows are what Check makes of their
// records, and one credit or one retry more or less is noticed.
func TestRowsAreReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &model.Run{ID: "run", Batch: false}
		var account model.Account
		rows := model.Rows{}
		post := func(kind core.EntryKind, n core.AttemptNumber, amount core.Split) {
			if amount == (core.Split{}) {
				return
			}
			e := core.Entry{Seq: account.Seq + 1, Kind: kind, Period: period, Amount: amount, Run: "run", Attempt: n, Key: core.Key(fmt.Sprintf("%s-%d", kind, n))}
			if kind == core.EntryRefund {
				e.Charge = core.Key(fmt.Sprintf("%s-%d", core.EntryCharge, n))
			}
			if kind == core.EntryAllowance {
				e.Run = ""
			}
			account.Post(sound(t), &e)
			rows.Entries = append(rows.Entries, e)
		}
		post(core.EntryAllowance, 0, core.Split{Monthly: 1000})
		files := rapid.IntRange(1, 3).Draw(t, "files")
		for n := range core.AttemptNumber(rapid.IntRange(1, 5).Draw(t, "attempts")) {
			price := core.Credits(rapid.IntRange(0, 3).Draw(t, "price"))
			q := model.Quote{Total: price * core.Credits(files)}
			if n > 0 {
				q = r.Quote(price)
				if r.Refusal(&q, account.Available(period), nil) != "" {
					break
				}
			}
			s := model.Start{Price: price, Charge: account.Split(q.Total, period), Period: period, Epoch: r.Epoch + 1}
			if n == 0 {
				r.Initiate(sound(t), files, 3, 1, s)
			} else {
				r.Continue(sound(t), s)
			}
			post(core.EntryCharge, n, s.Charge)
			if rapid.IntRange(0, 3).Draw(t, "undone") == 0 {
				refund, _ := r.Undo(sound(t), r.Epoch+1)
				post(core.EntryRefund, n, refund)
				continue
			}
			ends := make([]core.FileStatus, files)
			for i := range ends {
				ends[i] = rapid.SampledFrom([]core.FileStatus{core.FileCompleted, core.FileFailed, core.FileError, core.FilePending, core.FileProcessing}).Draw(t, "end")
			}
			ended(sound(t), r, ends...)
		}
		row := core.Run{ID: "run", Mode: core.ModePerFile, ClosedAt: now}
		run := model.RunRows{Run: &row, Files: make([]core.File, files)}
		for i := range run.Files {
			run.Files[i].Index = i
		}
		r.Write(&row, run.Files)
		var records []core.AttemptFile
		for n := range r.Attempts {
			var a core.Attempt
			records = r.WriteAttempt(core.AttemptNumber(n), &a, records)
			if e := account.Of(core.EntryCharge, "run", a.Number); e != nil {
				a.Charge.Key = e.Key
			} else {
				a.Charge = core.Charge{}
			}
			if r.Attempts[n].Compensated {
				a.CompensatedAt = now
			}
			run.Attempts = append(run.Attempts, a)
		}
		rows.Runs = []model.RunRows{run}
		rows.Balances = []core.Balance{{Period: period, Split: core.Split{Monthly: account.Left(period), Purchased: account.Purchased}}}
		rows.Check(sound(t))

		for name, damage := range map[string]*int{
			"retries": &run.Files[0].RetryAttempt, "free retries": &run.Files[0].FreeRetries, "settled jobs": &row.CompletedJobs,
			"unfinished": &row.Tally.Unfinished, "jobs": &run.Attempts[len(run.Attempts)-1].Jobs,
		} {
			var found complaints
			*damage++
			rows.Check(found.judge)
			*damage--
			require.NotEmpty(t, found, name)
		}
		for name, damage := range map[string]*core.Credits{
			"consumed": &row.CreditsConsumed, "monthly": &row.CreditsFromMonthly, "balance": &rows.Balances[0].Monthly, "entry": &rows.Entries[len(rows.Entries)-1].Amount.Monthly,
			"price": &run.Attempts[0].Price,
		} {
			var found complaints
			*damage++
			rows.Check(found.judge)
			*damage--
			require.NotEmpty(t, found, name)
		}
	})
}
