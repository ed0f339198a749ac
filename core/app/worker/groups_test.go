package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// Claims, renewals and results of all runs of a tenant share transactions.
func TestRunsShareTransactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		b := newBench(t, g, withSystemClock)
		var ids []core.RunID
		for range 20 {
			ids = append(ids, b.initiate(2), b.initiateFor(globex, template, 2))
		}
		_, err := b.svc.Recover(context.Background(), 100) // which looks at every new run once, under its lock
		require.NoError(t, err)
		w, cancel, wait := b.launch(worker.Options{Concurrency: 80, RecoverEvery: 24 * time.Hour, RefillEvery: 24 * time.Hour})
		synctest.Wait()
		require.Equal(t, 80, g.running(""))
		require.EqualValues(t, 2, w.Stats().ClaimGroups, "one a tenant")
		time.Sleep(b.svc.Options().Recovery.Lease / 3)
		synctest.Wait()
		require.EqualValues(t, 2, w.Stats().RenewGroups)
		before := b.store.begun.Load()
		g.letAll() // while results linger, the others come
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 2, w.Stats().SettleGroups)
		require.EqualValues(t, 2, b.store.begun.Load()-before)
		for _, id := range ids {
			require.Equal(t, core.RunCompleted, b.run(id).Status)
		}
		cancel()
		require.NoError(t, wait())
	})
}

// No more transactions are open at once than the options say, and half as many
// that wait for locked runs.
func TestTransactionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, completes)
	var open, most atomic.Int64
	wrap := func(tx ports.Tx) ports.Tx {
		n := open.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		time.Sleep(time.Millisecond) // so that they would meet
		return tx
	}
	ending := func() { open.Add(-1) }
	var ids []core.RunID
	for range 20 {
		ids = append(ids, b.initiate(3), b.initiateFor(globex, template, 3))
	}
	_, err := b.svc.Recover(context.Background(), 100) // which looks at every new run once, in transactions of its own
	require.NoError(t, err)
	b.store.ending.Store(&ending)
	b.store.wrap.Store(&wrap)
	b.start(worker.Options{Concurrency: 6, Transactions: 2, Linger: -1, RecoverEvery: 24 * time.Hour, RefillEvery: 24 * time.Hour})
	for _, id := range ids {
		b.eventuallyClosed(id, core.RunCompleted)
	}
	require.LessOrEqual(t, most.Load(), int64(2+1))
	require.Greater(t, most.Load(), int64(1))
}

var errPoison = errors.New("this run cannot be saved")

// poison makes every write of one run fail, as a row would that violates a constraint.
type poison struct {
	ports.Tx
	run core.RunID
}

func (p poison) Runs() ports.Runs { return poisonRuns{p.Tx.Runs(), p.run} }

type poisonRuns struct {
	ports.Runs
	run core.RunID
}

func (g poisonRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	if slices.ContainsFunc(rows, func(r ports.RunRows) bool { return r.Run.ID == g.run }) {
		return errPoison
	}
	return g.Runs.Save(ctx, rows...)
}

// A group that fails by one of its members is split: a bad one takes no others
// with it, and is tried again until it works.
func TestABadRunTakesNoOthersWithIt(t *testing.T) {
	t.Parallel()
	bad := core.RunID("run-2")
	wrap := func(tx ports.Tx) ports.Tx { return poison{tx, bad} }

	t.Run("WhenClaiming", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, completes)
		good, ill, alsoGood := b.initiate(3), b.initiate(3), b.initiate(3)
		require.Equal(t, bad, ill)
		b.store.wrap.Store(&wrap)
		w, _, _ := b.launch(worker.Options{Concurrency: 9, RecoverEvery: 24 * time.Hour})
		b.eventuallyClosed(good, core.RunCompleted)
		b.eventuallyClosed(alsoGood, core.RunCompleted)
		require.Equal(t, map[core.FileStatus]int{core.FilePending: 3}, tally(b.files(ill)))
		b.store.wrap.Store(nil)
		b.eventually("it heals", func() bool {
			b.clock.Advance(time.Second)
			return b.run(ill).Status == core.RunCompleted
		})
		require.Positive(t, w.Stats().Nacked)
	})

	t.Run("WhenSettling", func(t *testing.T) {
		t.Parallel()
		g := newGate()
		b := newBench(t, g)
		good, ill, alsoGood := b.initiate(3), b.initiate(3), b.initiate(3)
		require.Equal(t, bad, ill)
		b.start(worker.Options{Concurrency: 9, RecoverEvery: 24 * time.Hour})
		b.eventually("all are executing", func() bool { return g.running("") == 9 })
		b.store.wrap.Store(&wrap)
		g.letAll()
		b.eventuallyClosed(good, core.RunCompleted)
		b.eventuallyClosed(alsoGood, core.RunCompleted)
		require.Equal(t, map[core.FileStatus]int{core.FileProcessing: 3}, tally(b.files(ill)))
		b.store.wrap.Store(nil)
		b.eventually("it heals", func() bool {
			b.clock.Advance(time.Second)
			return b.run(ill).Status == core.RunCompleted
		})
		_, most := g.executions()
		require.Equal(t, 1, most, "what was worked for was kept")
	})
}

// A run that stays locked keeps no more than a quarter of the places, and for no
// longer than it takes to notice.
func TestALockedRunDoesNotFillThePool(t *testing.T) {
	t.Parallel()
	b := newBench(t, completes)
	locked := b.initiate(100)
	var others []core.RunID
	for range 10 {
		others = append(others, b.initiate(5))
	}
	free := b.lockRun(locked)
	w, _, _ := b.launch(worker.Options{Concurrency: 8, Parked: 4, RecoverEvery: 24 * time.Hour})
	for _, id := range others {
		b.eventually("the others are worked on", func() bool {
			b.clock.Advance(time.Second)
			require.Zero(t, w.Stats().Parked, "it would have the next places, before those whose turn it is")
			return b.run(id).Status == core.RunCompleted
		})
	}
	require.Equal(t, map[core.FileStatus]int{core.FilePending: 100}, tally(b.files(locked)))
	free()
	b.eventually("and it when it is free", func() bool {
		b.clock.Advance(time.Second)
		return b.run(locked).Status == core.RunCompleted
	})
}

// However many runs are locked at once, those that are not go on: also what is found
// locked only for a moment.
func TestManyLockedRunsDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := newBench(t, g)
	var locked []core.RunID
	var frees []func()
	for range 6 {
		locked = append(locked, b.initiate(1))
	}
	other := b.initiate(6)
	w, _, _ := b.launch(worker.Options{Concurrency: 12, Transactions: 2, RecoverEvery: 24 * time.Hour})
	b.eventually("all are executing", func() bool { return g.running("") == 12 })
	for _, id := range append(locked, other) {
		frees = append(frees, b.lockRun(id))
	}
	g.letAll() // all results wait for locks, more of them than may wait at once
	before := b.store.begun.Load()
	b.eventually("they are tried", func() bool { return b.store.begun.Load() > before+3 })
	frees[6]()
	b.eventuallyClosed(other, core.RunCompleted)
	b.eventually("the worker knows", func() bool { return w.Stats().Settled == 6 })
	for i, id := range locked {
		require.Equal(t, core.RunRunning, b.run(id).Status)
		frees[i]()
	}
	for _, id := range locked {
		b.eventuallyClosed(id, core.RunCompleted)
	}
}

// The leases of a locked run's neighbours are renewed, and its own when it is free.
func TestALockedRunCostsNoOtherItsLease(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := newBench(t, g)
	first, second := b.initiate(2), b.initiate(2)
	b.start(worker.Options{Concurrency: 4, RecoverEvery: 24 * time.Hour})
	t.Cleanup(g.letAll)
	b.eventually("all are executing", func() bool { return g.running("") == 4 })
	free := b.lockRun(first)
	lease := b.svc.Options().Recovery.Lease
	renewed := func(id core.RunID) bool {
		for _, f := range b.files(id) {
			if f.LeaseUntil.Before(b.clock.Now().Add(lease)) {
				return false
			}
		}
		return true
	}
	b.clock.Advance(lease / 3)
	b.eventually("the neighbour is renewed", func() bool { return renewed(second) })
	require.False(t, renewed(first))
	free()
	b.eventually("and the run itself", func() bool { return renewed(first) })
}

// While a claim waits, what comes next is received, claimed and started.
func TestReceivingDoesNotWaitForClaims(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := newBench(t, g)
	held := b.initiate(1)
	free := b.lockRun(held)
	b.start(worker.Options{Concurrency: 4, RecoverEvery: 24 * time.Hour})
	t.Cleanup(g.letAll)
	b.eventually("the first claim waits", func() bool { return b.queue.Len() == 0 })
	for i := range 3 { // one after the other, each received while that claim waits
		id := b.initiate(1)
		b.eventually(fmt.Sprint("job ", i, " starts"), func() bool { return g.running("") == i+1 })
		require.Equal(t, core.RunRunning, b.run(id).Status)
	}
	free()
	b.eventually("it starts too", func() bool { return g.running("") == 4 })
}

// saveGate stops transactions that record results until it is opened.
type saveGate struct {
	ports.Tx
	open <-chan struct{}
}

func (g saveGate) Runs() ports.Runs { return saveGateRuns{g.Tx.Runs(), g.open} }

type saveGateRuns struct {
	ports.Runs
	open <-chan struct{}
}

func (g saveGateRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	for _, r := range rows {
		if slices.ContainsFunc(r.Files, func(f core.File) bool { return f.Status == core.FileCompleted }) {
			<-g.open
		}
	}
	return g.Runs.Save(ctx, rows...)
}

// A store that does not keep up with the results slows everything down: only so many
// wait for it without a place.
func TestResultsThatAreNotRecordedFillThePool(t *testing.T) {
	t.Parallel()
	const places, mostUnsaved = 50, 2000
	b := newBench(t, completes)
	var ids []core.RunID
	for range 120 {
		ids = append(ids, b.initiate(30))
	}
	open := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(open) })
	wrap := func(tx ports.Tx) ports.Tx { return saveGate{tx, open} }
	b.store.wrap.Store(&wrap)
	w, _, _ := b.launch(worker.Options{Concurrency: places, Ahead: -1})
	t.Cleanup(letGo) // before the worker is waited for
	b.eventually("results and places are full", func() bool { return w.Stats().Unsaved+w.Stats().Waiting == mostUnsaved+places })
	require.Never(t, func() bool { return w.Stats().Received > mostUnsaved+places }, 50*time.Millisecond, time.Millisecond)
	letGo()
	for _, id := range ids {
		b.eventuallyClosed(id, core.RunCompleted)
	}
}
