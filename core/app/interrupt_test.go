package app_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// A fault of the operator's, from the first file to the Continue after it was fixed: it
// costs the tenant nothing and uses up no retry, even if it happens often.
func TestInterruptedIsFreeHoweverOften(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"per_file", "batch"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			var opts []worldOption
			if mode == "batch" {
				opts = append(opts, withBatch())
			}
			w := newWorld(t, opts...)
			w.script.set("iii")
			run := w.initiate(3)
			w.workAll()
			for range 12 { // more often than a file may ever be retried
				closed := w.run(run.ID)
				require.Equal(t, core.RunInterrupted, closed.Status)
				require.Equal(t, core.ReasonServiceFault, closed.Reason)
				require.Equal(t, keyRefused, closed.Failure)
				require.Equal(t, "ppp", w.statuses(run.ID))
				preview, err := w.svc.PreviewRetry(w.ctx, admin, run.ID)
				require.NoError(t, err)
				require.Nil(t, preview.Refusal)
				require.Zero(t, preview.Plan.Price())
				require.Equal(t, 3, preview.Plan.Free)
				w.continueRun(run.ID)
				w.workAll()
			}
			w.script.set("fcc")
			w.continueRun(run.ID)
			w.workAll()
			require.Equal(t, "fcc", w.statuses(run.ID))
			file := w.fileRows(run.ID)[0]
			require.Equal(t, 13, file.RetryAttempt)
			require.Equal(t, 13, file.FreeRetries)
			w.requireBalance(70, 50) // the initiation, and nothing else

			w.script.set("")
			w.continueRun(run.ID) // charged: a temporary failure of the provider
			w.workAll()
			require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
			w.requireBalance(60, 50)
			w.requireBooks()

			receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
			require.NoError(t, err)
			require.Equal(t, keyRefused, receipt.Attempts[0].Lines[0].Interrupted)
			require.Equal(t, core.WhyInterrupted, receipt.Attempts[1].Lines[0].Why)
			require.Zero(t, receipt.Attempts[13].Lines[0].Interrupted)
			require.Equal(t, core.WhyFailedBefore, receipt.Attempts[14].Lines[0].Why)
		})
	}
}

// A run with failed and interrupted files closes INTERRUPTED. A Continue charges only the
// failed ones, and recovery does not dispatch the interrupted ones.
func TestInterruptedBesideFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cfie")
	require.Equal(t, core.RunInterrupted, run.Status)
	require.Equal(t, "cfpe", w.statuses(run.ID))
	visited, err := w.svc.Recover(w.ctx, 10)
	require.NoError(t, err)
	require.Zero(t, visited)
	w.script.set("")
	w.continueRun(run.ID)
	w.workAll()
	require.Equal(t, "ccce", w.statuses(run.ID))
	w.requireBalance(50, 50) // 4 × 10 and 1 × 10
	w.requireBooks()
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	key := ports.TemplateKey{Tenant: acme, Template: template}
	t.Run("ClosesWhatWaitsAndLeavesWhatIsWorkedOn", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		worked := w.initiate(2)
		w.workAll()
		again := w.initiate(2)
		held, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(t, err)
		claimed, _, err := w.svc.Claim(w.ctx, held[0].Jobs(), app.WaitForLock)
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		other := w.initiate(1)

		n, err := w.svc.Interrupt(w.ctx, key, keyRefused)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, core.RunRunning, w.run(again.ID).Status, "a worker is processing a file of it")
		require.Equal(t, core.RunInterrupted, w.run(other.ID).Status)
		require.Equal(t, keyRefused, w.run(other.ID).Failure)
		require.Equal(t, core.RunCompleted, w.run(worked.ID).Status)

		require.NoError(t, w.svc.HandBack(w.ctx, []core.Job{claimed[0].Job}))
		n, err = w.svc.Interrupt(w.ctx, key, keyRefused)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		w.script.set("")
		for _, id := range []core.RunID{again.ID, other.ID} {
			w.continueRun(id)
			w.workAll()
			require.Equal(t, core.RunCompleted, w.run(id).Status)
		}
		w.requireBooks()
	})
	t.Run("OtherTemplatesGoOn", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(1)
		n, err := w.svc.Interrupt(w.ctx, ports.TemplateKey{Tenant: acme, Template: "another"}, keyRefused)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, core.RunRunning, w.run(run.ID).Status)
	})
	t.Run("OnlyWhatKeepsOtherFilesBack", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(1)
		_, err := w.svc.Interrupt(w.ctx, key, core.Failure{Code: core.FailurePanic})
		require.ErrorContains(t, err, "executor_panicked")
		require.Equal(t, core.RunRunning, w.run(run.ID).Status)
	})
	t.Run("MoreRunsThanAPage", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(0))
		req := w.request(1)
		const runs = 1003
		for range runs {
			_, err := w.svc.Initiate(w.ctx, admin, req)
			require.NoError(t, err)
		}
		n, err := w.svc.Interrupt(w.ctx, key, keyRefused)
		require.NoError(t, err)
		require.Equal(t, runs, n)
	})
	t.Run("AFailingRunDoesNotKeepTheOthersFromIt", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for range 3 {
			w.initiate(1)
		}
		calls := 0
		w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			if calls++; calls == 2 {
				return errStore
			}
			return w.store.InTx(ctx, tenant, fn)
		})
		n, err := w.svc.Interrupt(w.ctx, key, keyRefused)
		require.ErrorIs(t, err, errStore)
		require.Equal(t, 2, n)
	})
}

// Reported results of a batch are kept for every way in which it can end.
func TestReportedResultsAreKept(t *testing.T) {
	t.Parallel()
	t.Run("Cancelled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		var run core.Run
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for _, i := range []int{0, 1, 2} {
				require.NoError(t, task.Report(ctx, resultOf(i, "cec"[i])))
			}
			_, err := w.svc.Cancel(w.ctx, admin, run.ID)
			require.NoError(t, err)
			lost, err := w.svc.Lost(w.ctx, []core.Job{task.Job})
			require.NoError(t, err)
			require.Equal(t, []core.Job{task.Job}, lost)
			return []core.FileResult{resultOf(3, 'c')}, nil // too late
		})
		run = w.initiate(4)
		w.workAll()
		require.Equal(t, "cecp", w.statuses(run.ID), "every result that was reported in time is kept")
		require.Equal(t, core.ReasonCancelled, w.run(run.ID).Reason)
		w.script.handle(nil)
		w.continueRun(run.ID)
		w.workAll()
		require.Equal(t, "cecc", w.statuses(run.ID))
		w.requireBalance(60, 50)
		w.requireBooks()
	})
	t.Run("WithTheRest", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			require.NoError(t, task.Report(ctx, resultOf(2, 'c')))
			require.ErrorContains(t, task.Report(ctx, resultOf(2, 'c')), "twice")
			require.ErrorContains(t, task.Report(ctx, resultOf(7, 'c')), "not of this job")
			require.ErrorContains(t, task.Report(ctx, resultOf(1, 'f')), "only completed and permanent")
			require.NoError(t, task.Report(ctx, resultOf(0, 'e')))
			return []core.FileResult{resultOf(1, 'f')}, nil
		})
		run := w.initiate(3)
		w.workAll()
		require.Equal(t, "efc", w.statuses(run.ID))
		closed := w.run(run.ID)
		require.Equal(t, core.RunCompletedWithErrors, closed.Status)
		require.Equal(t, 1, closed.FailedJobs)
		w.requireBooks()
	})
	t.Run("AllOfThem", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch())
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for _, f := range task.Files {
				require.NoError(t, task.Report(ctx, resultOf(f.Index, 'c')))
			}
			return nil, nil
		})
		run := w.initiate(3)
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	})
	t.Run("InTryAfterTry", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withBatch(), withOptions(func(o *app.Options) { o.Retry = core.RetryPolicy{MaxTries: 3, Budget: 1 << 40} }))
		seen := map[int]int{}
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for _, f := range task.Files {
				seen[f.Index]++
			}
			first := task.Files[0].Index
			require.NoError(t, task.Report(ctx, resultOf(first, 'c')))
			var rest []core.FileResult
			for _, f := range task.Files[1:] {
				rest = append(rest, resultOf(f.Index, 'f'))
			}
			return rest, nil
		})
		run := w.initiate(3)
		w.workAll()
		require.Equal(t, "ccc", w.statuses(run.ID))
		require.Equal(t, map[int]int{0: 1, 1: 2, 2: 3}, seen, "a reported file is not executed again")
	})
}

// An output above the limit fails its file, is not retried within the job, and does not
// affect the results of other files.
func TestOutputTooLarge(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		w := newWorld(t, withBatch(), withOptions(func(o *app.Options) {
			o.MaxOutputBytes = 20
			o.Retry = core.RetryPolicy{MaxTries: 3, Budget: 1 << 40}
		}))
		calls := 0
		w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			calls++
			results := []core.FileResult{resultOf(0, 'c'), resultOf(1, 'c')}
			results[0].Output = "more than twenty bytes of it"
			if early {
				for _, r := range results {
					require.NoError(t, task.Report(ctx, r))
				}
				return nil, nil
			}
			return results, nil
		})
		run := w.initiate(2)
		w.workAll()
		require.Equal(t, "fc", w.statuses(run.ID))
		require.Equal(t, core.FailureOutputTooLarge, w.fileRows(run.ID)[0].Failure.Code)
		require.Equal(t, 1, calls)
	}
}
