package app_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// hold keeps a run's row locked until free is called.
func (w *world) hold(t *testing.T, id core.RunID) (free func()) {
	t.Helper()
	locked, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
			_, err := ports.LockRun(w.ctx, tx, id)
			close(locked)
			<-end
			return err
		})
	}()
	<-locked
	free = sync.OnceFunc(func() {
		close(end)
		require.NoError(t, <-ended)
	})
	t.Cleanup(free)
	return free
}

// take receives every job that waits, and acks it.
func (w *world) take(t *testing.T) []core.Job {
	t.Helper()
	var jobs []core.Job
	for w.queue.Len() > 0 {
		deliveries, err := w.queue.Receive(w.ctx, 100, ports.Skip{})
		require.NoError(t, err)
		for _, d := range deliveries {
			require.NoError(t, d.Ack(w.ctx))
			jobs = append(jobs, d.Jobs()...)
		}
	}
	return jobs
}

// runTwice makes every transaction run, be rolled back and run again, as after a
// serialization failure.
func (w *world) runTwice() {
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		err := w.store.InTx(ctx, tenant, func(tx ports.Tx) error { return errors.Join(fn(tx), errStore) })
		if !errors.Is(err, errStore) {
			return err
		}
		return w.store.InTx(ctx, tenant, fn)
	})
}

func completedOf(claimed []app.Claimed) []core.Settlement {
	list := make([]core.Settlement, len(claimed))
	for i, c := range claimed {
		list[i] = core.Settlement{Job: c.Job}
		for _, index := range c.Job.Files {
			list[i].Results = append(list[i].Results, core.FileResult{Index: index, Outcome: core.OutcomeCompleted, Output: "done"})
		}
	}
	return list
}

// Jobs of several runs are claimed, renewed and settled in one transaction each;
// those of a run that somebody holds come back and hold up nobody.
func TestJobsOfSeveralRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second, third := w.initiate(2), w.initiate(1), w.initiate(3)
	jobs := w.take(t)
	require.Len(t, jobs, 6)
	stale := jobs[0]
	stale.Epoch += 100
	unknown := core.Job{Tenant: acme, Run: "nobody's", Epoch: 1, ID: core.FileJobID("nobody's", 0), Files: []int{0}}

	free := w.hold(t, second.ID)
	claimed, held, err := w.svc.Claim(w.ctx, append([]core.Job{stale, unknown}, jobs...), app.SkipLocked)
	require.NoError(t, err)
	require.ElementsMatch(t, []core.Job{unknown, jobs[2]}, held, "a run that is not there is told apart by Claim")
	require.Len(t, claimed, 5, "the stale one had no effect")
	for _, c := range claimed {
		require.Equal(t, template, c.Template.ID)
		require.Len(t, c.Files, 1)
		require.Equal(t, c.Job.Files[0], c.Files[0].Index)
		require.Equal(t, core.FileProcessing, c.Files[0].Status)
	}
	free()
	rest, _, err := w.svc.Claim(w.ctx, []core.Job{jobs[2]}, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, rest, 1)
	claimed = append(claimed, rest...)
	none, _, err := w.svc.Claim(w.ctx, []core.Job{unknown}, app.WaitForLock)
	require.NoError(t, err)
	require.Empty(t, none)
	again, held, err := w.svc.Claim(w.ctx, jobs, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, held)
	require.Empty(t, again, "a second delivery has no effect")

	free = w.hold(t, third.ID)
	before := w.fileRows(first.ID)[0].LeaseUntil
	w.clock.Advance(time.Second)
	lost, held, err := w.svc.Renew(w.ctx, append([]core.Job{stale}, jobs...), app.SkipLocked)
	require.NoError(t, err)
	require.Equal(t, []core.Job{stale}, lost)
	require.ElementsMatch(t, jobs[3:], held)
	require.Equal(t, before.Add(time.Second), w.fileRows(first.ID)[0].LeaseUntil)

	settlements := completedOf(claimed)
	left, err := w.svc.Settle(w.ctx, settlements, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, left, 3)
	require.Equal(t, core.RunCompleted, w.run(first.ID).Status)
	require.Equal(t, core.RunCompleted, w.run(second.ID).Status)
	require.Equal(t, core.RunRunning, w.run(third.ID).Status)
	free()
	require.NoError(t, settle(w.ctx, w.svc, left))
	require.Equal(t, core.RunCompleted, w.run(third.ID).Status)
	left, err = w.svc.Settle(w.ctx, settlements, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, left, "settled before: no effect")
}

// A transaction that is run again starts from nothing.
func TestJobsOfSeveralRunsAreDecidedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initiate(2)
	w.initiate(1)
	jobs := w.take(t)
	w.runTwice()
	claimed, held, err := w.svc.Claim(w.ctx, jobs, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, held)
	require.Len(t, claimed, 3)
	left, err := w.svc.Settle(w.ctx, completedOf(claimed), app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNoJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claimed, held, err := w.svc.Claim(context.Background(), nil, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, claimed)
	require.Empty(t, held)
	lost, held, err := w.svc.Renew(context.Background(), nil, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, lost)
	require.Empty(t, held)
	left, err := w.svc.Settle(context.Background(), nil, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, left)
}
