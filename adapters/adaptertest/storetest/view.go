package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testView: one snapshot, no locks, no writes.
func testView(t *testing.T, newStore Factory, _ Options) {
	t.Run("IsOneSnapshot", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		writer := bounded(t)
		var done <-chan error
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			_, err := tx.Tenants().Get(ctx) // from the first read on, at the latest
			require.NoError(t, err)
			done = async(func() error {
				return s.InTx(writer, "acme", func(tx ports.Tx) error {
					for _, write := range writings {
						if err := write.call(writer, tx, w); err != nil {
							return err
						}
					}
					return nil
				})
			})
			// A store may let the commit wait until the view has ended.
			select {
			case err := <-done:
				require.NoError(t, err)
				done = nil
			case <-time.After(grace):
			}
			seen, err := readAll(ctx, tx, w.keys())
			equal(t, w.contents(), seen, "a commit meanwhile is not seen, in whatever table")
			return err
		})
		if done != nil {
			require.NoError(t, await(t, "the commit that waited for the view", done))
		}
		notEqual(t, w.contents(), MustRead(t, s, "acme", w.keys()...))
	})

	t.Run("RefusesWritesAndLocks", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		// Each in a View of its own: after the error a transaction may be over.
		refused := func(name string, call func(ctx context.Context, tx ports.Tx) error) {
			ctx := bounded(t)
			err := s.View(ctx, "acme", func(tx ports.Tx) error { return call(ctx, tx) })
			require.ErrorIs(t, err, ports.ErrReadOnly, name)
			err = s.View(ctx, "acme", func(tx ports.Tx) error { // and fn cannot hide it into a commit
				require.ErrorIs(t, call(ctx, tx), ports.ErrReadOnly, name)
				return nil
			})
			require.True(t, err == nil || errors.Is(err, ports.ErrReadOnly), "%s: %v", name, err)
		}
		for _, write := range writings {
			refused(write.name, func(ctx context.Context, tx ports.Tx) error { return write.call(ctx, tx, w) })
		}
		for _, r := range readings {
			if r.locks {
				refused(r.name, func(ctx context.Context, tx ports.Tx) error { _, err := r.call(ctx, tx, w); return err })
			}
		}
		equal(t, before, MustRead(t, s, "acme", w.keys()...))

		ctx := bounded(t)
		err := s.View(ctx, "beta", func(tx ports.Tx) error { return tx.Tenants().Insert(ctx, newWorld("beta").tenant) })
		require.ErrorIs(t, err, ports.ErrReadOnly)
		require.Nil(t, MustRead(t, s, "beta").Tenant)
	})

	t.Run("DoesNotWaitForLocks", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			if _, err := ports.LockRun(ctx, tx, w.running.ID); err != nil {
				return err
			}
			for _, write := range writings {
				require.NoError(t, write.call(ctx, tx, w), write.name)
			}
			var seen Contents
			other := bounded(t)
			err := await(t, "a view beside a transaction that has written everything", async(func() (err error) {
				seen, err = Read(other, s, "acme", w.keys()...)
				return err
			}))
			equal(t, w.contents(), seen)
			return err
		})
	})

	t.Run("SeesWhatWasCommittedBefore", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		for i := range 50 {
			run := w.running
			run.Redispatches = i
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.Runs().Save(ctx, ports.RunRows{Run: run}) })
			view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				same(t, run)(tx.Runs().Get(ctx, run.ID))
				return nil
			})
		}
	})

	// Credits are moved back and forth between balance and runs; a reader that looks
	// sees them add up at every moment.
	t.Run("NeverSeesHalfACommit", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		ctx := bounded(t)
		stop := make(chan struct{})
		mover := async(func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
					run, err := ports.LockRun(ctx, tx, w.running.ID)
					if err != nil {
						return err
					}
					run.Redispatches = i + 1
					if err := tx.Runs().Save(ctx, ports.RunRows{Run: run}); err != nil {
						return err
					}
					_, err = tx.Ledger().Post(ctx, purchase("acme", core.Key(time.Duration(i).String()), 1))
					return err
				})
				if err != nil {
					return err
				}
			}
		})
		var first error
		for range 200 {
			first = s.View(ctx, "acme", func(tx ports.Tx) error {
				run, err := tx.Runs().Get(ctx, w.running.ID)
				if err != nil {
					return err
				}
				b, err := tx.Ledger().Balance(ctx, march)
				if err != nil {
					return err
				}
				if b.Purchased != 0 && int64(b.Purchased) != int64(run.Redispatches) {
					return fmt.Errorf("%d commits by the run, %d by the balance", run.Redispatches, b.Purchased)
				}
				return nil
			})
			if first != nil {
				break
			}
		}
		close(stop)
		require.NoError(t, first)
		require.NoError(t, await(t, "the mover", mover))
	})
}
