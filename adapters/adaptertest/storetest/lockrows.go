package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testLockRows has what is particular about locking and saving several runs at once.
func testLockRows(t *testing.T, newStore Factory, _ Options) {
	for wait, name := range map[ports.Wait]string{ports.SkipLocked: "SkipLocked", ports.WaitForLock: "WaitForLock"} {
		t.Run("InTheOrderOfTheRequest/"+name, func(t *testing.T) { testLockOrder(t, newStore, wait) })
		t.Run("HoldsWhatItGives/"+name, func(t *testing.T) { testLockHolds(t, newStore, wait) })
	}

	t.Run("WaitsForEachOfSeveral", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		var released atomic.Bool
		var second <-chan error
		commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
			run, err := ports.LockRun(ctx, tx, w.closed.ID)
			require.NoError(t, err)
			second = async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					rows, err := tx.Runs().Lock(ctx, ports.WaitForLock, ports.FilesOf{Run: w.running.ID}, ports.FilesOf{Run: w.closed.ID, Indexes: []int{0}})
					if err != nil {
						return err
					}
					if !released.Load() {
						return errors.New("the lock was acquired while another transaction held it")
					}
					require.Len(t, rows, 2)
					equal(t, 88, rows[1].Run.Redispatches)
					equal(t, 89, rows[1].Files[0].Redeliveries, "files are read under the lock too")
					return nil
				})
			})
			time.Sleep(grace)
			run.Redispatches = 88
			file := w.files[0]
			file.Redeliveries = 89
			err = tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{file}})
			released.Store(true)
			return err
		})
		require.NoError(t, await(t, "the second transaction", second))
	})

	// The order of the locks is the store's, not the request's.
	t.Run("SharedRunsDoNotDeadlock", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		orders := [][]ports.FilesOf{{{Run: w.running.ID}, {Run: w.closed.ID}}, {{Run: w.closed.ID}, {Run: w.running.ID}}}
		var done []<-chan error
		for i := range 20 {
			done = append(done, async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					rows, err := tx.Runs().Lock(ctx, ports.WaitForLock, orders[i%2]...)
					if err != nil {
						return err
					}
					for j := range rows {
						rows[j].Run.Redispatches++
					}
					return tx.Runs().Save(ctx, rows...)
				})
			}))
		}
		for _, d := range done {
			require.NoError(t, await(t, "one of the transactions", d))
		}
		equal(t, w.running.Redispatches+20, redispatches(t, s, w.running.ID))
		equal(t, w.closed.Redispatches+20, redispatches(t, s, w.closed.ID))
	})

	t.Run("PassesOverWhatIsHeld", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		want := []ports.FilesOf{{Run: w.running.ID, Indexes: []int{0}}, {Run: w.closed.ID, Indexes: []int{0}}}
		commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
			_, err := ports.LockRun(ctx, tx, w.running.ID)
			require.NoError(t, err)
			return await(t, "Lock with SkipLocked beside a transaction that holds one of the runs", async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					rows, err := tx.Runs().Lock(ctx, ports.SkipLocked, want...)
					if err == nil {
						equal(t, []ports.RunRows{{Run: w.closed, Files: w.files[:1]}}, rows)
					}
					return err
				})
			}))
		})
	})

	t.Run("SavesSeveral", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		running, closed := w.running, w.closed
		running.Redispatches, closed.Redispatches = 41, 42
		first, second := w.files[0], w.files[1]
		first.Redeliveries, second.Redeliveries = 51, 52
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.Runs().Save(ctx))
			return tx.Runs().Save(ctx,
				ports.RunRows{Run: running, Files: []core.File{first, second}},
				ports.RunRows{Run: closed, Files: []core.File{second}, FilesOnly: true},
			)
		})
		c := MustRead(t, s, "acme")
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, running)(tx.Runs().Get(ctx, running.ID))
			same(t, w.closed)(tx.Runs().Get(ctx, closed.ID))
			return nil
		})
		equal(t, []core.File{first, second}, c.Files[running.ID][:2])
		equal(t, []core.File{w.files[0], second}, c.Files[closed.ID][:2])
	})

	// What is written of a group whose other part is missing must not stay.
	t.Run("MissingRow", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		changed, unknown, file := w.running, w.closed, w.files[0]
		changed.Redispatches, unknown.ID, file.Index = 99, "nobody's", 99
		for _, rows := range [][]ports.RunRows{
			{{Run: changed}, {Run: unknown}},
			{{Run: changed, Files: []core.File{file}}},
			{{Run: changed}, {Run: unknown, Files: w.files[:1], FilesOnly: true}},
		} {
			ctx := bounded(t)
			err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
				require.ErrorIs(t, tx.Runs().Save(ctx, rows...), ports.ErrNotFound)
				return nil // as a caller that looks away
			})
			require.Error(t, err)
			equal(t, before, MustRead(t, s, "acme", w.keys()...))
		}
	})
}

func testLockOrder(t *testing.T, newStore Factory, wait ports.Wait) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		same(t, []ports.RunRows{
			{Run: w.running, Files: []core.File{w.files[4], w.files[0]}},
			{Run: w.closed, Files: []core.File{w.files[1]}},
		})(tx.Runs().Lock(ctx, wait,
			ports.FilesOf{Run: w.running.ID, Indexes: []int{4, 99, 0, -1}},
			ports.FilesOf{Run: "nobody's", Indexes: []int{0}},
			ports.FilesOf{Run: "\x00", Indexes: []int{0}},
			ports.FilesOf{Run: w.closed.ID, Indexes: []int{1}},
		))
		none, err := tx.Runs().Lock(ctx, wait)
		require.NoError(t, err)
		require.Empty(t, none)
		rows, err := tx.Runs().Lock(ctx, wait, ports.FilesOf{Run: w.running.ID})
		require.NoError(t, err)
		require.Len(t, rows, 1, "a lock of its own is no obstacle")
		require.Empty(t, rows[0].Files)
		return nil
	})
}

func testLockHolds(t *testing.T, newStore Factory, wait ports.Wait) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	var second <-chan error
	commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
		rows, err := tx.Runs().Lock(ctx, wait, ports.FilesOf{Run: w.running.ID, Indexes: []int{1}})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		second = async(func() error {
			return s.InTx(ctx, "acme", func(tx ports.Tx) error {
				run, err := ports.LockRun(ctx, tx, w.running.ID)
				equal(t, 77, run.Redispatches, "it waits for the first and then reads afresh")
				return err
			})
		})
		time.Sleep(grace)
		rows[0].Run.Redispatches = 77
		return tx.Runs().Save(ctx, rows...)
	})
	require.NoError(t, await(t, "the second transaction", second))
}
