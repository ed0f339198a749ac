package app_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func (w *world) recover() int {
	w.t.Helper()
	acted, err := w.svc.Recover(w.ctx, 100)
	require.NoError(w.t, err)
	return acted
}

// claimNext claims the next job of the queue for a worker that then may die.
func (w *world) claimNext() app.Claimed {
	w.t.Helper()
	deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
	require.NoError(w.t, err)
	claimed, _, err := w.svc.Claim(w.ctx, deliveries[0].Jobs(), app.WaitForLock)
	require.NoError(w.t, err)
	require.Len(w.t, claimed, 1)
	require.NoError(w.t, deliveries[0].Ack(w.ctx))
	return claimed[0]
}

func (w *world) settle(c app.Claimed, letter byte) {
	w.t.Helper()
	var results []core.FileResult
	for _, f := range c.Files {
		results = append(results, resultOf(f.Index, letter))
	}
	require.NoError(w.t, settle(w.ctx, w.svc, []core.Settlement{{Job: c.Job, Results: results}}))
}

func TestRecoverExpiredLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(2)
	dead := w.claimNext()
	w.workAll()
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	require.Equal(t, 1, w.recover())
	require.Equal(t, "pc", w.statuses(run.ID))
	jobs := w.queue.Waiting()
	require.Len(t, jobs, 1)
	require.Equal(t, dead.Job.ID, jobs[0].ID)
	require.Greater(t, jobs[0].Epoch, dead.Job.Epoch, "a queue that remembers the lost job would swallow this one")

	// The worker was only slow: its late result is fenced.
	state := w.state()
	w.settle(dead, 'e')
	require.Equal(t, state, w.state(), "the result of a worker that outlived its lease had an effect")
	lost, _, err := w.svc.Renew(w.ctx, []core.Job{dead.Job}, app.WaitForLock)
	require.NoError(t, err)
	require.Equal(t, []core.Job{dead.Job}, lost)

	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	w.requireBalance(80, 50)
}

// A renewed lease is not recovered (River 1258 in reverse), and one that is
// renewed no more is.
func TestRenewKeepsTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(1)
	held := w.claimNext()
	lease := w.svc.Options().Recovery.Lease
	for range 5 {
		w.clock.Advance(lease * 2 / 3)
		lost, _, err := w.svc.Renew(w.ctx, []core.Job{held.Job}, app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, lost)
		w.recover()
		require.Equal(t, "r", w.statuses(run.ID))
	}
	w.clock.Advance(lease)
	w.recover()
	require.Equal(t, "p", w.statuses(run.ID))
}

func TestRecoverGivesUp(t *testing.T) {
	t.Parallel()

	t.Run("InterruptedAndContinueIsFree", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.initiate(2)
		w.claimNext()
		w.workAll() // the other file completes
		policy := w.svc.Options().Recovery
		for i := range policy.MaxRedeliveries {
			w.clock.Advance(policy.Lease)
			w.recover()
			require.Equal(t, core.RunRunning, w.run(run.ID).Status, "redelivery %d", i+1)
			w.claimNext()
		}
		w.clock.Advance(policy.Lease)
		w.recover()
		closed := w.run(run.ID)
		require.Equal(t, core.RunInterrupted, closed.Status)
		require.Equal(t, core.ReasonRedeliveriesExhausted, closed.Reason)
		require.Equal(t, "pc", w.statuses(run.ID))
		require.Zero(t, w.queue.Len())
		require.Equal(t, int64(1), w.svc.Stats().GivenUp)

		w.continueRun(run.ID)
		w.requireBalance(80, 50)
		w.workAll()
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
		w.requireBooks()
	})

	t.Run("NotBeforeTheOthersAreDone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOptions(func(o *app.Options) { o.Recovery.MaxRedeliveries = 0 }))
		run := w.initiate(2)
		w.claimNext()
		w.clock.Advance(w.svc.Options().Recovery.Lease / 2)
		alive := w.claimNext()
		w.clock.Advance(w.svc.Options().Recovery.Lease / 2)
		w.recover()
		require.Equal(t, core.RunRunning, w.run(run.ID).Status, "the work of a live worker was thrown away")
		w.settle(alive, 'c')
		require.Equal(t, core.RunRunning, w.run(run.ID).Status)
		w.clock.Advance(w.svc.Options().Recovery.Lease)
		w.recover()
		require.Equal(t, core.RunInterrupted, w.run(run.ID).Status)
		require.Equal(t, "pc", w.statuses(run.ID))
	})
}

// A message that the queue lost is sent again, at growing distances, because it
// may just as well be waiting in a long line.
func TestRecoverLostMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOptions(func(o *app.Options) {
		o.Recovery.RedispatchAfter, o.Recovery.MaxRedispatchAfter = 5*time.Minute, 20*time.Minute
	}))
	run := w.initiate(1)
	var sent []time.Duration
	for w.clock.Now().Before(began.Add(90 * time.Minute)) {
		for w.queue.Len() > 0 {
			deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, deliveries[0].Ack(w.ctx)) // and that was that
			sent = append(sent, w.clock.Now().Sub(began))
		}
		w.clock.Advance(time.Minute)
		w.recover()
	}
	require.Equal(t, []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 35 * time.Minute, 55 * time.Minute, 75 * time.Minute}, sent)
	w.clock.Advance(20 * time.Minute)
	w.recover()
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
}

// What recovery could not enqueue is due again at once, not after the distance
// that it keeps between repeats.
func TestRecoverWhenTheQueueIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(1)
	w.claimNext()
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	w.faultyQueue.fail(0)
	for range 3 {
		_, err := w.svc.Recover(w.ctx, 10)
		require.ErrorIs(t, err, errQueue)
	}
	w.faultyQueue.heal()
	require.Equal(t, 1, w.recover())
	require.Equal(t, 1, w.queue.Len())
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
}

// A clock that was ahead and is corrected does not put recovery off until then.
func TestRecoverAfterAClockWasAhead(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"AYear": 365 * 24 * time.Hour, "AnHour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPrice(0))
			w.clock.Advance(ahead)
			lost, dead := w.initiate(1), w.initiate(1)
			deliveries, err := w.queue.Receive(w.ctx, 2, ports.Skip{})
			require.NoError(t, err)
			_, _, err = w.svc.Claim(w.ctx, deliveries[1].Jobs(), app.WaitForLock) // by a worker that dies
			require.NoError(t, err)
			for _, d := range deliveries {
				require.NoError(t, d.Ack(w.ctx))
			}
			w.clock.Advance(-ahead)
			for range int(min(ahead, time.Hour)/time.Minute) + 10 {
				w.clock.Advance(time.Minute)
				w.recover()
				w.workAll()
			}
			require.Equal(t, core.RunCompleted, w.run(lost.ID).Status)
			require.Equal(t, core.RunCompleted, w.run(dead.ID).Status)
		})
	}
}

// However many runs cannot be recovered, the others get their turn.
func TestRecoverIsNotStarvedByFailingRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(0))
	failing := map[core.RunID]bool{}
	for range 25 {
		failing[w.initiate(1).ID] = true
	}
	run := w.initiate(1)
	for range 26 {
		w.claimNext()
	}
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		return w.store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(failingTx{tx, failing}) })
	})
	acted, err := w.svc.Recover(w.ctx, 10)
	require.ErrorIs(t, err, errStore)
	require.ErrorContains(t, err, "and 15 more runs")
	require.Equal(t, 1, acted)
	require.Equal(t, "p", w.statuses(run.ID))
}

// A run that somebody holds, another instance's recovery say, is not waited for;
// it stays due.
func TestRecoverPassesOverWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held, other := w.initiate(1), w.initiate(1)
	for range 2 {
		w.claimNext()
	}
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	free := w.hold(t, held.ID)
	acted, err := w.svc.Recover(w.ctx, 1)
	require.NoError(t, err)
	require.Equal(t, 1, acted)
	require.Equal(t, "p", w.statuses(other.ID))
	require.Equal(t, "r", w.statuses(held.ID))
	free()
	acted, err = w.svc.Recover(w.ctx, 1)
	require.NoError(t, err)
	require.Equal(t, 1, acted)
	require.Equal(t, "p", w.statuses(held.ID))
}

// What recovery dispatched again is not waited for as long as what had been sent
// again and again before: the process may have died before it enqueued.
func TestRecoverAfterDyingBeforeItEnqueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initiate(1)
	policy := w.svc.Options().Recovery
	for range 6 { // a long line: the job waits and is sent again, at growing distances
		w.clock.Advance(policy.MaxRedispatchAfter)
		w.recover()
	}
	w.claimNext()
	w.clock.Advance(policy.Lease)
	w.faultyQueue.set(func(context.Context, *memory.Queue, []core.Job) (int, error) { panic("killed") })
	require.Panics(t, func() { w.recover() })
	w.faultyQueue.heal()
	w.clock.Advance(policy.RedispatchAfter)
	w.recover()
	require.Equal(t, 1, w.queue.Len())
}

// A stop between recovery's commit and its enqueueing does not keep the jobs.
func TestRecoverWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initiate(1)
	w.claimNext()
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	ctx, stop := context.WithCancel(w.ctx)
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		defer stop()
		return w.store.InTx(ctx, tenant, fn)
	})
	_, err := w.svc.Recover(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, 1, w.queue.Len())
}

// Recovery runs on every instance: of many looks at one run one acts.
func TestRecoverIsSafeTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initiate(1)
	w.claimNext()
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	var together sync.WaitGroup
	acted := make(chan int, 20)
	for range cap(acted) {
		together.Go(func() {
			n, err := w.svc.Recover(w.ctx, 10)
			if err != nil {
				n = 1000
			}
			acted <- n
		})
	}
	together.Wait()
	close(acted)
	sum := 0
	for n := range acted {
		sum += n
	}
	require.Equal(t, 1, sum)
	require.Equal(t, 1, w.queue.Len())
}

// Trouble with one run keeps recovery from no other run.
func TestRecoverGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.initiate(1), w.initiate(1)
	w.claimNext()
	w.claimNext()
	w.clock.Advance(w.svc.Options().Recovery.Lease)
	failed := false
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if !failed {
			failed = true
			return errStore
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	acted, err := w.svc.Recover(w.ctx, 10)
	require.ErrorIs(t, err, errStore)
	require.Equal(t, 1, acted)
	require.Equal(t, "rp", w.statuses(first.ID)+w.statuses(second.ID))
	require.Equal(t, 1, w.recover())
	require.Equal(t, "pp", w.statuses(first.ID)+w.statuses(second.ID))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.initiate(3)
	held := w.claimNext()
	w.requireRefused(core.ErrRunNotFound, func() error { _, err := w.svc.Cancel(w.ctx, admin, "nothing"); return err })
	w.requireRefused(core.ErrWrongTenant, func() error { _, err := w.svc.Cancel(w.ctx, stranger, run.ID); return err })
	w.requireRefused(core.ErrRoleNotAllowed, func() error { _, err := w.svc.Cancel(w.ctx, user, run.ID); return err })

	closed, err := w.svc.Cancel(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, core.RunInterrupted, closed.Status)
	require.Equal(t, core.ReasonCancelled, closed.Reason)
	require.Equal(t, "ppp", w.statuses(run.ID))
	w.requireRefused(core.ErrRunNotRunning, func() error { _, err := w.svc.Cancel(w.ctx, admin, run.ID); return err })

	// The worker that held a file answers late, before and after the Continue.
	w.settle(held, 'c')
	require.Equal(t, "ppp", w.statuses(run.ID))
	w.continueRun(run.ID)
	w.settle(held, 'c')
	require.Equal(t, "ppp", w.statuses(run.ID))
	w.workAll()
	require.Equal(t, "ccc", w.statuses(run.ID))
	w.requireBalance(70, 50)
}

// settle records results of jobs of one run.
func settle(ctx context.Context, server *app.Service, settlements []core.Settlement) error {
	_, err := server.Settle(ctx, settlements, app.WaitForLock)
	return err
}
