package app_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Zero(t, w.svc.Outcomes().Initiated)

	first := w.closedRun("cfe") // 30 credits
	got := w.svc.Outcomes()
	require.Equal(t, int64(1), got.Initiated)
	require.Equal(t, int64(3), got.ClaimedFiles)
	require.Equal(t, int64(30), got.CreditsCharged)
	require.Equal(t, map[app.RunOutcome]int64{{Status: core.RunCompletedWithErrors}: 1}, got.Runs)
	byStatus := map[core.FileStatus]int64{}
	for is, n := range got.Files {
		require.Equal(t, is.Status == core.FileCompleted, is.Reason == "", is)
		byStatus[is.Status] += n
	}
	require.Equal(t, map[core.FileStatus]int64{core.FileCompleted: 1, core.FileFailed: 1, core.FileError: 1}, byStatus)

	w.script.set("")
	w.continueRun(first.ID)
	w.workAll()
	got = w.svc.Outcomes()
	require.Equal(t, int64(1), got.Continued)
	require.Equal(t, int64(40), got.CreditsCharged)
	require.Equal(t, int64(2), got.Runs[app.RunOutcome{Status: core.RunCompletedWithErrors}])

	w.script.set("i")
	w.initiate(1)
	w.workAll()
	require.Equal(t, int64(1), w.svc.Outcomes().Runs[app.RunOutcome{Status: core.RunInterrupted, Reason: core.ReasonServiceFault}])
	require.Equal(t, int64(1), w.svc.Outcomes().Files[app.FileOutcome{Status: core.FilePending, Reason: keyRefused.Code}])

	cancelled := w.initiate(1)
	_, err := w.svc.Cancel(w.ctx, admin, cancelled.ID)
	require.NoError(t, err)
	require.Equal(t, int64(1), w.svc.Outcomes().Runs[app.RunOutcome{Status: core.RunInterrupted, Reason: core.ReasonCancelled}])

	// A closing is counted by the request that did it, and by no other under the same key.
	cancelled = w.initiate(1)
	under := app.WithIdempotency(w.ctx, app.Idempotency{Key: "key"})
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		w.faultyStore.heal()
		err := w.store.InTx(ctx, tenant, func(tx ports.Tx) error { return errors.Join(fn(tx), errStore) })
		require.ErrorIs(t, err, errStore)
		_, err = w.svc.Cancel(under, admin, cancelled.ID)
		require.NoError(t, err)
		return w.store.InTx(ctx, tenant, fn) // as after a deadlock
	})
	_, err = w.svc.Cancel(under, admin, cancelled.ID)
	require.NoError(t, err)
	require.Equal(t, int64(2), w.svc.Outcomes().Runs[app.RunOutcome{Status: core.RunInterrupted, Reason: core.ReasonCancelled}])

	// A bulk continue's Continues are counted as others are.
	w.script.set("f")
	failing := w.initiate(1)
	w.workAll()
	were := w.svc.Outcomes()
	w.script.set("")
	w.driveToTheEnd(w.createBulk(core.BulkTerms{}, failing.ID))
	require.Equal(t, were.Continued+1, w.svc.Outcomes().Continued)
	require.Equal(t, were.CreditsCharged+10, w.svc.Outcomes().CreditsCharged)

	// What is refused begins nothing, and what is undone goes back.
	before := w.svc.Outcomes()
	_, err = w.svc.RetryFailed(w.ctx, admin, "unknown", app.RetryRequest{})
	require.Error(t, err)
	require.Equal(t, before, w.svc.Outcomes())
	w.faultyQueue.fail(0)
	_, err = w.svc.Initiate(w.ctx, user, w.request(2))
	require.ErrorIs(t, err, errQueue)
	got = w.svc.Outcomes()
	require.Equal(t, before.CreditsCharged+20, got.CreditsCharged)
	require.Equal(t, before.CreditsRefunded+20, got.CreditsRefunded)
	require.Equal(t, int64(1), got.Runs[app.RunOutcome{Status: core.RunFailed, Reason: core.ReasonDispatchFailed}])

	charged, refunded := int64(0), int64(0)
	for _, e := range w.entries() {
		switch e.Kind {
		case core.EntryCharge:
			charged += int64(e.Amount.Total())
		case core.EntryRefund:
			refunded += int64(e.Amount.Total())
		default:
		}
	}
	require.Equal(t, []int64{charged, refunded}, []int64{got.CreditsCharged, got.CreditsRefunded}, "as the ledger says")
}

// Executors make up their codes; the number of those that are told apart is bounded.
func TestOutcomesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(0))
	w.script.handle(func(_ context.Context, task ports.Task) (results []core.FileResult, _ error) {
		for _, f := range task.Files {
			failure := core.Failure{Code: fmt.Sprintf("code_%d", f.Index), Message: "made up"}
			results = append(results, core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: failure})
		}
		return results, nil
	})
	w.initiate(150)
	w.workAll()
	files := w.svc.Outcomes().Files
	require.Len(t, files, 101)
	require.Equal(t, int64(50), files[app.FileOutcome{Status: core.FileFailed, Reason: "other"}])
}
