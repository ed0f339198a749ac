package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A process that has its store for itself starts anew: what the one before it had claimed,
// and what waited in its queue, is worked on at once.
func TestResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	under, done := w.initiate(3), w.initiate(1)
	dead := w.claimNext()
	for range 3 {
		c := w.claimNext()
		if c.Job.Run == done.ID {
			w.settle(c, 'c')
		}
	}
	require.Equal(t, "rrr", w.statuses(under.ID))
	require.Equal(t, core.RunCompleted, w.run(done.ID).Status)
	w.recover()
	require.Equal(t, "rrr", w.statuses(under.ID), "the leases have time left")

	visited, err := w.svc.Resume(w.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, visited)
	require.Equal(t, "ppp", w.statuses(under.ID))
	require.Len(t, w.queue.Waiting(), 3)
	w.settle(dead, 'e') // a result that the dead process still brings is fenced
	require.Equal(t, "ppp", w.statuses(under.ID))
	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(under.ID).Status)

	visited, err = w.svc.Resume(w.ctx)
	require.NoError(t, err)
	require.Zero(t, visited, "no run is under way")
}

// What the queue does not take is due for recovery at once, and the other runs get their turn.
func TestResumeWithoutQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.initiate(1), w.initiate(1)
	w.claimNext()
	w.claimNext()
	w.faultyQueue.fail(0)
	visited, err := w.svc.Resume(w.ctx)
	require.ErrorIs(t, err, errQueue)
	require.Equal(t, 2, visited)
	w.faultyQueue.heal()
	require.Equal(t, 2, w.recover())
	w.workAll()
	for _, run := range []core.Run{first, second} {
		require.Equal(t, core.RunCompleted, w.run(run.ID).Status)
	}
}
