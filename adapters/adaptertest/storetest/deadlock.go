package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testDeadlocks: transactions that wait for each other do not hang. One gets
// ErrDeadlock (or ErrLockTimeout) and has had no effect, or the store runs it
// again by itself; in the end it is as if one had come after the other.
func testDeadlocks(t *testing.T, newStore Factory, _ Options) {
	run := lockables[0]
	another := runLock("another run", func(w *world) core.RunID { return w.closed.ID })
	for _, cycle := range [][]lockable{
		{run, another},
		{run, creditsLock},
		{run, templateLock},
		{templateLock, creditsLock},
		{run, another, creditsLock},
		{run, creditsLock, templateLock, another},
	} {
		name := ""
		for _, l := range cycle {
			name += l.name + ","
		}
		t.Run("ByLocks/"+name, func(t *testing.T) { testCycle(t, newStore, cycle, true) })
		t.Run("ByWrites/"+name, func(t *testing.T) { testCycle(t, newStore, cycle, false) })
	}
	t.Run("BySameKeys", func(t *testing.T) { testKeyDeadlock(t, newStore) })
	t.Run("CannotBeIgnored", func(t *testing.T) { testIgnoredDeadlock(t, newStore) })
}

// testCycle: the i-th goroutine takes row i, waits for all others to have
// theirs, and then takes row i+1. It adds 1 to both.
func testCycle(t *testing.T, newStore Factory, cycle []lockable, byLocks bool) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	before := make([]int, len(cycle))
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) {
		for i, l := range cycle {
			if before[i], err = l.peek(ctx, tx, w); err != nil {
				return err
			}
		}
		return nil
	})
	all := newRendezvous(len(cycle))
	add := func(tx ports.Tx, l lockable) error {
		read := l.lock
		if !byLocks {
			read = l.peek // the row is locked by writing it: what was read may be old
		}
		n, err := read(ctx, tx, w)
		if err != nil {
			return err
		}
		return l.add(ctx, tx, w, n, 1)
	}
	for i, err := range together(t, len(cycle), func(i int) error {
		_, err := insist(ctx, s, "acme", func(tx ports.Tx) error {
			if err := add(tx, cycle[i]); err != nil {
				return err
			}
			if err := all.meet(ctx); err != nil {
				return err
			}
			return add(tx, cycle[(i+1)%len(cycle)])
		})
		return err
	}) {
		require.NoError(t, err, "goroutine %d", i)
	}
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for i, l := range cycle {
			n, err := l.peek(ctx, tx, w)
			require.NoError(t, err)
			if byLocks {
				equal(t, before[i]+2, n, "%s: both have added 1, one after the other", l.name)
			} else {
				require.Contains(t, []int{before[i] + 1, before[i] + 2}, n, l.name)
			}
		}
		return nil
	})
	// No transaction has left a lock behind.
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for _, l := range cycle {
			if _, err := l.lock(ctx, tx, w); err != nil {
				return err
			}
		}
		return nil
	})
}

// testKeyDeadlock: two insert the same two answers in opposite order.
func testKeyDeadlock(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	both := newRendezvous(2)
	errs := together(t, 2, func(i int) error {
		_, err := insist(ctx, s, "acme", func(tx ports.Tx) error {
			for step := range 2 {
				answer := w.answer
				answer.Key = core.Key(fmt.Sprintf("key-%d", (i+step)%2))
				answer.Fingerprint = fmt.Sprint(i)
				if err := tx.Answers().Insert(ctx, answer); err != nil {
					return err
				}
				if err := both.meet(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, ports.ErrExists)
	}
	equal(t, 1, won, "one has both keys, the other has none: %v", errs)
	answers := MustRead(t, s, "acme", "key-0", "key-1").Answers
	require.Len(t, answers, 2)
	equal(t, answers["key-0"].Fingerprint, answers["key-1"].Fingerprint)
}

// testIgnoredDeadlock: a transaction that had to give way has no effect, also
// if its fn goes on as if nothing had happened.
func testIgnoredDeadlock(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	cycle := []lockable{lockables[0], creditsLock}
	both := newRendezvous(2)
	ignored := make([]bool, 2)
	errs := together(t, 2, func(i int) error {
		return s.InTx(ctx, "acme", func(tx ports.Tx) error {
			ignored[i] = false
			tenant := w.tenant
			if _, err := cycle[i].lock(ctx, tx, w); err != nil {
				return err
			}
			if err := both.meet(ctx); err != nil {
				return err
			}
			if _, err := cycle[1-i].lock(ctx, tx, w); err != nil {
				ignored[i] = true
				tenant.Name = "written after giving way"
				_ = tx.Tenants().Save(ctx, tenant) // the mistake that the store has to catch
				return nil                         //nolint:nilerr // the mistake goes on
			}
			return nil
		})
	})
	for i, err := range errs {
		if ignored[i] {
			require.Error(t, err, "a transaction that gave way cannot commit")
			require.True(t, mayGiveWay(err), "%v", err)
		} else {
			require.NoError(t, err)
		}
	}
	equal(t, w.tenant, *MustRead(t, s, "acme").Tenant)
}
