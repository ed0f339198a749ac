package core_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var bulkNow = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

func credits(n core.Credits) *core.Credits { return &n }

func TestBulkNext(t *testing.T) {
	t.Parallel()
	canary := core.BulkTerms{Canary: &core.BulkCanary{Runs: 2, MaxFailedPercent: 20}}
	stop := core.BulkTerms{Stop: &core.BulkStop{MaxFailedPercent: 50, MinFiles: 10}}
	for name, c := range map[string]struct {
		bulk   core.Bulk
		totals core.BulkTotals
		last   time.Time
		want   core.BulkStep
	}{
		"the next run":                     {totals: core.BulkTotals{Waiting: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"paused":                           {bulk: core.Bulk{Status: core.BulkPaused}, totals: core.BulkTotals{Waiting: 1}},
		"aborted":                          {bulk: core.Bulk{Status: core.BulkAborted}, totals: core.BulkTotals{Waiting: 1}},
		"the last runs have to close":      {totals: core.BulkTotals{Continued: 3, Open: 1}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"all have closed":                  {totals: core.BulkTotals{Continued: 3}, want: core.BulkStep{Do: core.BulkDoFinish}},
		"what is left of the price":        {bulk: core.Bulk{Terms: core.BulkTerms{MaxPrice: credits(10)}}, totals: core.BulkTotals{Waiting: 1, Price: 7}, want: core.BulkStep{Do: core.BulkDoContinue, MaxPrice: credits(3)}},
		"nothing is left of the price":     {bulk: core.Bulk{Terms: core.BulkTerms{MaxPrice: credits(10)}}, totals: core.BulkTotals{Waiting: 1, Price: 10}, want: core.BulkStep{Do: core.BulkDoContinue, MaxPrice: credits(0)}},
		"the speed limit":                  {bulk: core.Bulk{Terms: core.BulkTerms{RunsPerMinute: 6}}, last: bulkNow.Add(-9 * time.Second), totals: core.BulkTotals{Waiting: 1}, want: core.BulkStep{Do: core.BulkDoWait, At: bulkNow.Add(time.Second)}},
		"a clock that was ahead":           {bulk: core.Bulk{Terms: core.BulkTerms{RunsPerMinute: 6}}, last: bulkNow.Add(time.Hour), totals: core.BulkTotals{Waiting: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"the speed limit is kept":          {bulk: core.Bulk{Terms: core.BulkTerms{RunsPerMinute: 6}}, last: bulkNow.Add(-10 * time.Second), totals: core.BulkTotals{Waiting: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"the first canary":                 {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"refused runs are no canaries":     {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9, Refused: 5, Continued: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"the canaries are under way":       {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9, Continued: 2, Open: 1}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"the canaries are well":            {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9, Continued: 2, Failures: core.BulkFailures{Closed: 10, Failed: 2}}, want: core.BulkStep{Do: core.BulkDoPass}},
		"the canaries are not well":        {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9, Continued: 2, Failures: core.BulkFailures{Closed: 10, Failed: 3}}, want: core.BulkStep{Do: core.BulkDoPause, Reason: core.BulkReasonCanaryFailed}},
		"after the canaries":               {bulk: core.Bulk{Terms: canary, CanaryPassed: true}, totals: core.BulkTotals{Waiting: 9, Continued: 2, Open: 2}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"few failures":                     {bulk: core.Bulk{Terms: stop}, totals: core.BulkTotals{Waiting: 9, Failures: core.BulkFailures{Closed: 10, Failed: 5}}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"too many failures":                {bulk: core.Bulk{Terms: stop}, totals: core.BulkTotals{Waiting: 9, Failures: core.BulkFailures{Closed: 10, Failed: 6}}, want: core.BulkStep{Do: core.BulkDoPause, Reason: core.BulkReasonFailures}},
		"too few to tell":                  {bulk: core.Bulk{Terms: stop}, totals: core.BulkTotals{Waiting: 9, Failures: core.BulkFailures{Closed: 9, Failed: 9}}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"failures that a resume accepted":  {bulk: core.Bulk{Terms: stop, Before: core.BulkFailures{Closed: 10, Failed: 9}}, totals: core.BulkTotals{Waiting: 9, Failures: core.BulkFailures{Closed: 20, Failed: 14}}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"failures since a resume":          {bulk: core.Bulk{Terms: stop, Before: core.BulkFailures{Closed: 10, Failed: 9}}, totals: core.BulkTotals{Waiting: 9, Failures: core.BulkFailures{Closed: 20, Failed: 15}}, want: core.BulkStep{Do: core.BulkDoPause, Reason: core.BulkReasonFailures}},
		"those that can be asked go on":    {totals: core.BulkTotals{Waiting: 3, Away: 2}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"none of those that wait can be":   {totals: core.BulkTotals{Waiting: 2, Away: 2, Continued: 9}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"it is not known what is left":     {totals: core.BulkTotals{Continued: 3, Unknown: 1}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"others go on beside the unknown":  {totals: core.BulkTotals{Waiting: 1, Unknown: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"not with a limit of the price":    {bulk: core.Bulk{Terms: core.BulkTerms{MaxPrice: credits(10)}}, totals: core.BulkTotals{Waiting: 1, Unknown: 1}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"but with one that is known":       {bulk: core.Bulk{Terms: core.BulkTerms{MaxPrice: credits(10)}}, totals: core.BulkTotals{Waiting: 3, Away: 2, Price: 4}, want: core.BulkStep{Do: core.BulkDoContinue, MaxPrice: credits(6)}},
		"not with a threshold":             {bulk: core.Bulk{Terms: stop, Before: core.BulkFailures{Closed: 10}}, totals: core.BulkTotals{Waiting: 9, Unknown: 1, Failures: core.BulkFailures{Closed: 20, Failed: 9}}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"not before canaries":              {bulk: core.Bulk{Terms: canary}, totals: core.BulkTotals{Waiting: 9, Unknown: 1}, want: core.BulkStep{Do: core.BulkDoWatch}},
		"but after them":                   {bulk: core.Bulk{Terms: canary, CanaryPassed: true}, totals: core.BulkTotals{Waiting: 9, Unknown: 1}, want: core.BulkStep{Do: core.BulkDoContinue}},
		"failures of the very last do not": {bulk: core.Bulk{Terms: core.BulkTerms{}}, totals: core.BulkTotals{Failures: core.BulkFailures{Closed: 10, Failed: 10}}, want: core.BulkStep{Do: core.BulkDoFinish}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.bulk.Status == "" {
				c.bulk.Status = core.BulkRunning
			}
			require.Equal(t, c.want, c.bulk.Next(c.totals, c.last, bulkNow))
		})
	}
}

func TestBulkStates(t *testing.T) {
	t.Parallel()
	by := core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
	running := core.Bulk{ID: "b", Status: core.BulkRunning}.Take("here", bulkNow, time.Second)
	require.True(t, running.HeldBy("here", 1))
	require.False(t, running.Free(bulkNow, time.Minute))
	require.True(t, running.Free(bulkNow.Add(time.Second), time.Minute))
	require.True(t, running.Free(bulkNow.Add(-time.Hour), time.Minute), "a clock that was ahead wrote its lease")
	require.False(t, running.Take("there", bulkNow, time.Second).HeldBy("here", 1))

	paused, err := running.Pause(by, bulkNow)
	require.NoError(t, err)
	require.Equal(t, core.BulkPaused, paused.Status)
	require.Equal(t, core.BulkReasonUser, paused.Reason)
	require.False(t, paused.HeldBy("here", 1), "who drove it stops")
	require.False(t, paused.Free(bulkNow.Add(time.Hour), time.Minute), "nobody drives it")
	again, err := paused.Pause(core.System, bulkNow.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, paused, again)
	resumed, err := paused.Resume(by, nil, core.BulkTotals{}, bulkNow)
	require.NoError(t, err)
	require.True(t, resumed.Free(bulkNow, time.Minute))
	require.Equal(t, int64(1), resumed.Fence, "the next one has a higher fence")

	stopped := running.Stop(core.BulkReasonCanaryFailed, bulkNow)
	totals := core.BulkTotals{Price: 7, Failures: core.BulkFailures{Closed: 4, Failed: 3}}
	resumed, err = stopped.Resume(by, nil, totals, bulkNow)
	require.NoError(t, err)
	require.True(t, resumed.CanaryPassed)
	require.Equal(t, totals.Failures, resumed.Before)

	running.Terms.MaxPrice = credits(10)
	stopped = running.Stop(core.BulkReasonMaxPrice, bulkNow)
	for _, wrong := range []*core.Credits{nil, credits(10), credits(6)} {
		_, err = stopped.Resume(by, wrong, totals, bulkNow)
		require.ErrorIs(t, err, core.ErrInvalidRequest)
	}
	resumed, err = stopped.Resume(by, credits(11), totals, bulkNow)
	require.NoError(t, err)
	require.Equal(t, credits(11), resumed.Terms.MaxPrice)

	aborted, err := stopped.Abort(by, bulkNow)
	require.NoError(t, err)
	_, err = aborted.Abort(by, bulkNow)
	require.NoError(t, err)
	finished := running.Finish(bulkNow)
	_, err = finished.Abort(by, bulkNow)
	require.ErrorIs(t, err, core.ErrBulkEnded)
	for _, ended := range []core.Bulk{aborted, finished} {
		_, err = ended.Pause(by, bulkNow)
		require.ErrorIs(t, err, core.ErrBulkEnded)
		_, err = ended.Resume(by, nil, core.BulkTotals{}, bulkNow)
		require.ErrorIs(t, err, core.ErrBulkEnded)
	}
}

func TestBulkTotals(t *testing.T) {
	t.Parallel()
	waiting := core.BulkRun{Place: 3, Run: "r", State: core.BulkRunWaiting}
	part := core.NewBulkPart("acme", "b", 2, bulkNow)
	plan := core.RetryPlan{
		Run:     core.Run{Tally: core.Tally{Error: 1, Unfinished: 3}},
		Files:   make([]core.File, 3),
		Attempt: core.Attempt{Number: 2, Charge: core.Charge{Amount: core.Split{Monthly: 4}}},
		Charged: 2, Free: 1,
	}
	p, r, err := part.Continued(waiting, plan, bulkNow)
	require.NoError(t, err)
	require.Equal(t, core.BulkRun{Place: 3, Run: "r", State: core.BulkRunContinued, At: bulkNow, Attempt: 2, Price: 4, Files: 3, Free: 1, ErrorsBefore: 1, Open: true}, r)
	require.Equal(t, core.BulkTotals{Waiting: 1, Continued: 1, Open: 1, Files: 3, Free: 1, Price: 4}, p.Totals)
	_, _, err = p.Continued(r, plan, bulkNow)
	require.Error(t, err, "no run is continued twice")
	_, _, err = p.Refuse(r, core.ErrNothingToRetry, bulkNow)
	require.Error(t, err)

	// A dispatch that was undone leaves nothing of it.
	_, _, changed, err := p.Undone(r, 1)
	require.NoError(t, err)
	require.False(t, changed, "that is another attempt")
	undone, again, changed, err := p.Undone(r, 2)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, waiting, again)
	require.Equal(t, part.Totals, undone.Totals)

	// It ends as the run does.
	_, _, changed = p.Closed(r, core.Run{Attempt: 2, Status: core.RunRunning}, nil, bulkNow)
	require.False(t, changed)
	closed, ended, changed := p.Closed(r, core.Run{Attempt: 2, Status: core.RunCompletedWithErrors, Tally: core.Tally{Completed: 1, Failed: 1, Error: 2}}, nil, bulkNow)
	require.True(t, changed)
	require.Equal(t, core.RunCompletedWithErrors, ended.Status)
	require.Equal(t, 2, ended.FailedFiles, "one failed, one error came new")
	require.Equal(t, core.BulkTotals{Waiting: 1, Continued: 1, Files: 3, Free: 1, Price: 4, Failures: core.BulkFailures{Closed: 3, Failed: 2}}, closed.Totals)
	_, _, changed = closed.Closed(ended, core.Run{Attempt: 2, Status: core.RunFailed}, nil, bulkNow)
	require.False(t, changed)
	_, _, changed, err = closed.Undone(ended, 2)
	require.NoError(t, err)
	require.False(t, changed)
	// Or as the next Continue found it.
	_, _, changed = p.Closed(r, core.Run{Attempt: 3, Status: core.RunRunning}, nil, bulkNow)
	require.False(t, changed)
	_, ended, changed = p.Closed(r, core.Run{Attempt: 3, Status: core.RunRunning}, &core.Attempt{Files: make([]core.AttemptFile, 1), Before: core.RunBefore{Status: core.RunFailed}}, bulkNow)
	require.True(t, changed)
	require.Equal(t, core.RunFailed, ended.Status)
	require.Equal(t, 1, ended.FailedFiles)

	refused, r2, err := part.Refuse(waiting, &core.Error{Code: core.CodeNothingToRetry, Message: "no"}, bulkNow)
	require.NoError(t, err)
	require.Equal(t, core.BulkRun{Place: 3, Run: "r", State: core.BulkRunRefused, At: bulkNow, Code: core.CodeNothingToRetry, Message: "no"}, r2)
	require.Equal(t, core.BulkTotals{Waiting: 1, Refused: 1, RefusedBy: map[core.Code]int{core.CodeNothingToRetry: 1}}, refused.Totals)
	require.Nil(t, part.Totals.RefusedBy)
	sum, err := closed.Totals.Plus(refused.Totals)
	require.NoError(t, err)
	sum, err = sum.Plus(refused.Totals)
	require.NoError(t, err)
	require.Equal(t, 3, sum.Waiting)
	require.Equal(t, map[core.Code]int{core.CodeNothingToRetry: 2}, sum.RefusedBy)
}

func TestBulkTerms(t *testing.T) {
	t.Parallel()
	require.Empty(t, core.CheckBulkTerms(core.BulkTerms{}))
	require.Empty(t, core.CheckBulkTerms(core.BulkTerms{MaxPrice: credits(0), RunsPerMinute: core.MaxBulkRunsPerMinute, Canary: &core.BulkCanary{Runs: 1, MaxFailedPercent: 100}, Stop: &core.BulkStop{MinFiles: 1}}))
	wrong := core.CheckBulkTerms(core.BulkTerms{MaxPrice: credits(-1), RunsPerMinute: -1, Canary: &core.BulkCanary{MaxFailedPercent: 101}, Stop: &core.BulkStop{MaxFailedPercent: -1}})
	var fields []string
	for _, w := range wrong {
		fields = append(fields, w.Field)
	}
	require.Equal(t, []string{"maxPrice", "runsPerMinute", "canary.runs", "canary.maxFailedPercent", "stop.minFiles", "stop.maxFailedPercent"}, fields)
}

func TestBulkLeavesOutATenantThatMoves(t *testing.T) {
	t.Parallel()
	parts := []core.BulkPart{
		{Tenant: "a", Totals: core.BulkTotals{Waiting: 2, Continued: 3, Refused: 1, Open: 2, Files: 5, Price: 7, RefusedBy: map[core.Code]int{core.CodeNothingToRetry: 1}}},
		{Tenant: "b", Totals: core.BulkTotals{Waiting: 1, Continued: 1, Open: 1, Files: 1, Price: 1}},
		{Tenant: "c", Totals: core.BulkTotals{Continued: 1}},
	}
	all := core.Bulk{Status: core.BulkRunning}
	sum, err := all.Sum(parts)
	require.NoError(t, err)
	require.Equal(t, 3, sum.Waiting)
	b := all.LeaveOut("c").LeaveOut("a").LeaveOut("a")
	require.Empty(t, all.Moved)
	require.Equal(t, []core.TenantID{"a", "c"}, b.Moved)
	require.True(t, b.LeftOut("a"))
	require.False(t, b.LeftOut("b"))
	sum, err = b.Sum(parts)
	require.NoError(t, err)
	require.Equal(t, core.BulkTotals{
		Waiting: 1, Continued: 5, Refused: 3, Open: 1, Files: 6, Price: 8,
		RefusedBy: map[core.Code]int{core.CodeNothingToRetry: 1, core.CodeTenantMoved: 2},
	}, sum)
	require.Equal(t, map[core.Code]int{core.CodeNothingToRetry: 1}, parts[0].Totals.RefusedBy, "the caller's is not changed")
	require.Equal(t, parts[2].Totals, b.Totals(parts[2]), "nothing of it was left")
	_, err = all.Sum([]core.BulkPart{{Totals: core.BulkTotals{Price: math.MaxInt64}}, {Totals: core.BulkTotals{Price: 1}}})
	require.ErrorIs(t, err, core.ErrCreditsOutOfRange)

	waiting, done := core.BulkRun{Run: "r", State: core.BulkRunWaiting}, core.BulkRun{Run: "r", State: core.BulkRunContinued, Price: 3}
	require.Equal(t, waiting, b.Record("b", waiting))
	require.Equal(t, done, b.Record("a", done))
	left := b.Record("a", waiting)
	require.Equal(t, core.BulkRunRefused, left.State)
	require.Equal(t, core.CodeTenantMoved, left.Code)
	require.NotEmpty(t, left.Message)
}

func TestBulkLetBy(t *testing.T) {
	t.Parallel()
	maker, other := core.Actor{Subject: "maker"}, core.Actor{Subject: "other"}
	b := core.Bulk{By: maker, ChangedBy: maker, Status: core.BulkRunning}
	require.Equal(t, []core.Actor{maker}, b.LetBy())
	limited, err := b.Resume(other, credits(5), core.BulkTotals{}, bulkNow)
	require.NoError(t, err)
	require.True(t, limited.NewLimit(b))
	require.True(t, b.NewLimit(limited))
	require.Equal(t, []core.Actor{maker, other}, limited.LetBy())
	require.Equal(t, bulkNow, limited.ChangedAt)
	same, err := limited.Resume(maker, credits(5), core.BulkTotals{}, bulkNow)
	require.NoError(t, err)
	require.False(t, same.NewLimit(limited))
	require.Equal(t, limited, same, "nothing was changed")
	more, err := limited.Resume(maker, credits(6), core.BulkTotals{}, bulkNow)
	require.NoError(t, err)
	require.True(t, more.NewLimit(limited))
	require.Equal(t, []core.Actor{maker}, more.LetBy())
}
