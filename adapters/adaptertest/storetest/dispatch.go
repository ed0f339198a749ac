package storetest

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testDispatch: enqueueing fails after the commit, with some or none of the jobs
// out, while workers claim what got out. The tenant ends with the work or with
// the refund, never with both and never with neither.
func testDispatch(t *testing.T, newStore Factory, o Options) {
	t.Run("NothingGotOut", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		ctx := bounded(t)
		run := s.initiate(t, "acme", 4)
		require.NoError(t, s.work(ctx, s.servers[0]))
		before := MustRead(t, s.store, "acme")
		s.fail(func(int) int { return 0 })

		_, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: "key"})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		require.ErrorIs(t, err, errBroker, "the original error")
		after := MustRead(t, s.store, "acme")
		equal(t, before.Balances, after.Balances)
		closed, want := after.Runs[0], before.Runs[0]
		want.Epoch, want.Attempt = closed.Epoch, closed.Attempt // stay used
		want.Dispatch, want.DispatchedAt, want.Redispatches = closed.Dispatch, closed.DispatchedAt, closed.Redispatches
		equal(t, want, closed)
		for i, f := range after.Files[run.ID] {
			want := before.Files[run.ID][i]
			require.Greater(t, f.Epoch, after.Attempts[run.ID][1].Epoch, "what may have got out nevertheless is fenced")
			want.Epoch = f.Epoch
			equal(t, want, f)
		}
		s.check(t)
		replayed, err := s.servers[1].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: "key"})
		require.ErrorIs(t, err, core.ErrEnqueueFailed, "a repeat gets the first answer")
		require.Equal(t, closed, replayed)
		equal(t, after, MustRead(t, s.store, "acme"))

		req := s.request("acme", 3)
		req.IdempotencyKey = "initiate"
		failed, err := s.servers[0].Initiate(ctx, admin("acme"), req)
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		require.Equal(t, core.RunFailed, failed.Status)
		require.Equal(t, core.ReasonDispatchFailed, failed.Reason)
		replayed, err = s.servers[1].Initiate(ctx, admin("acme"), req)
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		require.Equal(t, failed, replayed)
		equal(t, before.Balances, MustRead(t, s.store, "acme").Balances)
		s.check(t)

		// Refunded, so its files are charged when they are continued.
		s.queue.out.Store(nil)
		continued, err := s.servers[0].RetryFailed(ctx, admin("acme"), failed.ID, app.RetryRequest{})
		require.NoError(t, err)
		require.Equal(t, 3*price, continued.CreditsConsumed)
		s.check(t)
		s.settleDown(t)
		s.check(t)
	})

	t.Run("SomeGotOut", func(t *testing.T) { testSomeGotOut(t, newStore, o) })
	t.Run("SomeSwallowed", func(t *testing.T) {
		t.Parallel()
		s, run := failedRun(t, newStore)
		before := MustRead(t, s.store, "acme").Balances
		s.queue.silent.Store(true)
		s.fail(func(n int) int { return n - 1 })
		_, err := s.servers[0].RetryFailed(bounded(t), admin("acme"), run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed, "fewer taken than asked is an error")
		equal(t, before, MustRead(t, s.store, "acme").Balances)
		require.NoError(t, s.work(bounded(t), s.servers[0]))
		s.check(t)
	})
	t.Run("CallerGoesAway", func(t *testing.T) {
		t.Parallel()
		s, run := failedRun(t, newStore)
		before := MustRead(t, s.store, "acme").Balances
		ctx, cancel := context.WithCancel(bounded(t))
		s.fail(func(int) int { cancel(); return 0 })
		_, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		equal(t, before, MustRead(t, s.store, "acme").Balances, "it is undone nevertheless")
		s.check(t)
	})
	t.Run("ProcessDies", func(t *testing.T) { testProcessDies(t, newStore) })

	t.Run("MonthEndsBeforeTheRefund", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		ctx := bounded(t)
		run := s.initiate(t, "acme", 4)
		require.NoError(t, s.work(ctx, s.servers[0]))
		require.NoError(t, s.servers[0].Refill(ctx))
		before := MustRead(t, s.store, "acme").Balances
		require.Equal(t, april, before[1].Period)
		s.fail(func(int) int {
			s.clock.Advance(lease * 20) // the enqueueing takes until April
			return 0
		})
		_, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrEnqueueFailed)
		equal(t, before, MustRead(t, s.store, "acme").Balances)
		s.check(t)
	})
}

// fail makes every Enqueue from now on fail after some jobs got out.
func (s *service) fail(out func(n int) int) { s.queue.out.Store(&out) }

// failedRun makes a run of 4 files that have failed.
func failedRun(t *testing.T, newStore Factory) (*service, core.Run) {
	t.Helper()
	s := newService(t, newStore, "acme")
	s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
	run := s.initiate(t, "acme", 4)
	require.NoError(t, s.work(bounded(t), s.servers[0]))
	s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeCompleted })
	return s, run
}

// testProcessDies: between the commit and the enqueueing, or in the middle of
// it, or before its bookkeeping. Recovery sends the jobs; the tenant has paid
// once and gets the work.
func testProcessDies(t *testing.T, newStore Factory) {
	for name, out := range map[string]int{"BeforeEnqueueing": 0, "InTheMiddle": 2, "BeforeConfirming": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, run := failedRun(t, newStore)
			ctx := bounded(t)
			s.fail(func(n int) int {
				if _, err := (queuetest.Singly{Queue: s.queue.Queue}).Enqueue(ctx, s.jobsOf(t, run.ID)[:out]); err != nil {
					return 0
				}
				panic("dies")
			})
			require.PanicsWithValue(t, "dies", func() { _, _ = s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{}) })
			s.queue.out.Store(nil)
			s.check(t)
			_, err := s.servers[1].Recover(ctx, 1000)
			require.NoError(t, err)
			require.Equal(t, out, s.queue.Len(), "it may still be on its way")

			s.clock.Advance(30 * time.Second)
			_, err = s.servers[1].Recover(ctx, 1000)
			require.NoError(t, err)
			require.Equal(t, 4, s.queue.Len(), "each job once, whatever had got out")
			sent, _, _ := s.read(t, run.ID)
			require.Equal(t, core.DispatchConfirmed, sent.Dispatch)
			require.NoError(t, s.work(ctx, s.servers[1]))
			s.check(t)
			closed, _, _ := s.read(t, run.ID)
			require.Equal(t, core.RunCompleted, closed.Status)
			require.Equal(t, 8*price, closed.CreditsConsumed)
		})
	}
}

// jobsOf gives the jobs of a run's pending files.
func (s *service) jobsOf(t *testing.T, id core.RunID) []core.Job {
	t.Helper()
	run, files, _ := s.read(t, id)
	pending := slices.DeleteFunc(files, func(f core.File) bool { return f.Status != core.FilePending })
	jobs, err := core.JobsOf(run, pending)
	require.NoError(t, err)
	return jobs
}

// testSomeGotOut: the failure is reported at once, or when what got out has
// been received, or when it has been worked. Compensation and claims race for it.
func testSomeGotOut(t *testing.T, newStore Factory, o Options) {
	t.Parallel()
	s := newService(t, newStore, "acme")
	ctx := bounded(t)
	for round := range o.Rounds {
		out, when := round%6, round%4
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		run := s.initiate(t, "acme", 6)
		require.NoError(t, s.work(ctx, s.servers[0]))

		var executed, answered atomic.Bool
		s.outcomes(func(ports.Task, int) core.Outcome { executed.Store(true); return core.OutcomeCompleted })
		s.fail(func(int) int { return out })
		lag := func() {
			for ctx.Err() == nil && (when == 1 && s.queue.Len() > 0 || when == 2 && !executed.Load()) {
				runtime.Gosched()
			}
		}
		s.queue.lag.Store(&lag)
		errs := together(t, 3, func(i int) error {
			if i == 0 {
				defer answered.Store(true)
				_, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
				return err
			}
			for !answered.Load() {
				if err := s.work(ctx, s.servers[i]); err != nil {
					return err
				}
				runtime.Gosched()
			}
			return s.work(ctx, s.servers[i])
		})
		require.NoError(t, errs[1])
		require.NoError(t, errs[2])

		s.queue.out.Store(nil)
		refused := errs[0] != nil
		after, _, attempts := s.read(t, run.ID)
		require.Equal(t, refused, !attempts[1].CompensatedAt.IsZero(), "refused and undone, or accepted with a job under way")
		if refused {
			require.ErrorIs(t, errs[0], errBroker)
			require.Equal(t, core.RunFailed, after.Status)
			require.False(t, executed.Load(), "the work was done and refunded")
			require.False(t, when == 2 && out > 0, "it had been claimed")
		} else {
			require.Positive(t, out, "nothing got out, and it was accepted")
		}
		s.check(t)
		if !refused { // what is missing is sent at once, without waiting for any time to pass
			_, err := s.servers[1].Recover(ctx, 1000)
			require.NoError(t, err)
			require.NoError(t, s.work(ctx, s.servers[1]))
		}
		s.check(t)
		after, _, _ = s.read(t, run.ID)
		if refused {
			require.Equal(t, core.RunFailed, after.Status, "what got out does nothing")
			require.Equal(t, 6*price, after.CreditsConsumed)
		} else {
			require.Equal(t, core.RunCompleted, after.Status, "recovery sends what is missing")
			require.Zero(t, s.queue.Len())
			require.Equal(t, 12*price, after.CreditsConsumed)
		}
	}
}
