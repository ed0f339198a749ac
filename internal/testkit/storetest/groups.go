package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testGroups has what is particular about several runs at once.
func testGroups(t *testing.T, newStore Factory, _ Options) {
	t.Run("InTheOrderOfTheRequest", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, []ports.RunRows{
				{Run: w.running, Files: []core.File{w.files[4], w.files[0]}},
				{Run: w.closed, Files: []core.File{w.files[1]}},
			})(tx.Groups().LockFree(ctx, []ports.FilesOf{
				{Run: w.running.ID, Indexes: []int{4, 99, 0, -1}},
				{Run: "nobody's", Indexes: []int{0}},
				{Run: "\x00", Indexes: []int{0}},
				{Run: w.closed.ID, Indexes: []int{1}},
			}))
			none, err := tx.Groups().LockFree(ctx, nil)
			require.NoError(t, err)
			require.Empty(t, none)
			rows, err := tx.Groups().LockFree(ctx, []ports.FilesOf{{Run: w.running.ID}})
			require.NoError(t, err)
			require.Len(t, rows, 1, "a lock of its own is no obstacle")
			require.Empty(t, rows[0].Files)
			return nil
		})
	})

	t.Run("PassesOverWhatIsHeld", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		want := []ports.FilesOf{{Run: w.running.ID, Indexes: []int{0}}, {Run: w.closed.ID, Indexes: []int{0}}}
		commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
			_, err := tx.Runs().GetForUpdate(ctx, w.running.ID)
			require.NoError(t, err)
			return await(t, "LockFree beside a transaction that holds one of the runs", async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					rows, err := tx.Groups().LockFree(ctx, want)
					if err == nil {
						equal(t, []ports.RunRows{{Run: w.closed, Files: w.files[:1]}}, rows)
					}
					return err
				})
			}))
		})
	})

	t.Run("HoldsWhatItGives", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		var second <-chan error
		commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
			rows, err := tx.Groups().LockFree(ctx, []ports.FilesOf{{Run: w.running.ID, Indexes: []int{1}}})
			require.NoError(t, err)
			require.Len(t, rows, 1)
			second = async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					run, err := tx.Runs().GetForUpdate(ctx, w.running.ID)
					equal(t, 77, run.Redispatches, "it waits for the first and then reads afresh")
					return err
				})
			})
			time.Sleep(grace)
			rows[0].Run.Redispatches = 77
			return tx.Groups().Save(ctx, rows)
		})
		require.NoError(t, await(t, "the second transaction", second))
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
			require.NoError(t, tx.Groups().Save(ctx, nil))
			return tx.Groups().Save(ctx, []ports.RunRows{
				{Run: running, Files: []core.File{first, second}},
				{Run: closed, Files: []core.File{second}, FilesOnly: true},
			})
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
				require.ErrorIs(t, tx.Groups().Save(ctx, rows), ports.ErrNotFound)
				return nil // as a caller that looks away
			})
			require.Error(t, err)
			equal(t, before, MustRead(t, s, "acme", w.keys()...))
		}
	})
}
