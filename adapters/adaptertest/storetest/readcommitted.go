package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// redispatches reads the number that these tests use as a counter.
func redispatches(t *testing.T, s ports.Store, run core.RunID) int {
	t.Helper()
	owner, err := s.TenantOf(bounded(t), run)
	require.NoError(t, err)
	for _, r := range MustRead(t, s, owner).Runs {
		if r.ID == run {
			return r.Redispatches
		}
	}
	require.FailNow(t, "no such run")
	return 0
}

// testReadCommitted: a plain read sees what was committed last plus the
// transaction's own writes.
func testReadCommitted(t *testing.T, newStore Factory, _ Options) {
	// Whatever another transaction commits while this one runs is seen by its
	// next read, of every kind.
	for _, write := range writings {
		t.Run("SeesTheLatestCommit/"+write.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				first, err := readAll(ctx, tx, w.keys())
				require.NoError(t, err)
				equal(t, w.contents(), first)
				commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return write.call(ctx, tx, w) })
				second, err := readAll(ctx, tx, w.keys())
				require.NoError(t, err)
				notEqual(t, first, second)
				equal(t, MustRead(t, s, "acme", w.keys()...), second)
				return nil
			})
		})
	}

	t.Run("OwnWritesAndOthersCommitsTogether", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		tenant := w.tenant
		tenant.Name = "renamed"
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.Tenants().Save(ctx, tenant))
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				run := w.running
				run.Redispatches = 50
				return tx.Runs().Save(ctx, ports.RunRows{Run: run})
			})
			same(t, tenant)(tx.Tenants().Get(ctx))
			run, err := tx.Runs().Get(ctx, w.running.ID)
			require.NoError(t, err)
			equal(t, 50, run.Redispatches)
			return nil
		})
		equal(t, "renamed", MustRead(t, s, "acme").Tenant.Name)
		equal(t, 50, redispatches(t, s, w.running.ID), "a commit does not write what the transaction only read")
	})

	// A plain read takes no lock: a caller that forgets …ForUpdate loses an update here
	// as on Postgres, and finds out by a test. A store that hid it would let
	// the mistake through to one that does not.
	t.Run("PlainReadDoesNotProtect", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		increment := func(ctx context.Context, tx ports.Tx, between func()) error {
			run, err := tx.Runs().Get(ctx, w.running.ID)
			if err != nil {
				return err
			}
			if between != nil {
				between()
			}
			run.Redispatches++
			return tx.Runs().Save(ctx, ports.RunRows{Run: run})
		}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			return increment(ctx, tx, func() {
				commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return increment(ctx, tx, nil) })
			})
		})
		equal(t, w.running.Redispatches+1, redispatches(t, s, w.running.ID), "of two increments one is lost")
	})

	// Plain reads wait for no lock.
	t.Run("PlainReadsDoNotWait", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for _, r := range readings {
				if r.locks {
					_, err := r.call(ctx, tx, w)
					require.NoError(t, err, r.name)
				}
			}
			for _, write := range writings {
				require.NoError(t, write.call(ctx, tx, w), write.name)
			}
			other := bounded(t)
			return await(t, "reading beside a transaction that has locked and written everything", async(func() error {
				return s.InTx(other, "acme", func(tx ports.Tx) error {
					for _, r := range readings {
						if r.locks {
							continue
						}
						if _, err := r.call(other, tx, w); err != nil {
							return err
						}
					}
					return nil
				})
			}))
		})
	})
}
