package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testAPIKeys: keys as those find them who come with one, and what changes of them.
func testAPIKeys(t *testing.T, newStore Factory, _ Options) {
	save := func(t *testing.T, s ports.Store, tenant core.TenantID, k core.APIKey) {
		t.Helper()
		commit(t, s, tenant, func(ctx context.Context, tx ports.Tx) error { return tx.APIKeys().Save(ctx, k) })
	}

	t.Run("FoundByThoseWhoUseThem", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w, other := build(t, s, "acme"), build(t, s, "globex")
		ctx := bounded(t)
		for _, k := range append(w.apiKeys, other.apiKeys...) {
			same(t, k)(s.APIKey(ctx, k.Tenant, k.ID))
		}
		for _, q := range []struct {
			tenant core.TenantID
			id     core.APIKeyID
		}{{"acme", "key-2"}, {"nobody", "key-0"}, {"", "key-0"}, {"acme", ""}, {"acme", "\x00"}, {"\xff", "key-0"}, {"acme", "KEY-0"}} {
			_, err := s.APIKey(ctx, q.tenant, q.id)
			require.ErrorIs(t, err, ports.ErrNotFound, q)
			require.ErrorIs(t, s.TouchAPIKey(ctx, q.tenant, q.id, at(1)), ports.ErrNotFound, q)
		}
		// What is committed is seen at once, and what is not, is not.
		k := w.apiKeys[1]
		k.RevokedAt = at(60)
		require.ErrorIs(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
			require.NoError(t, tx.APIKeys().Save(ctx, k))
			same(t, k)(tx.APIKeys().Get(ctx, k.ID))
			same(t, w.apiKeys[1])(s.APIKey(ctx, "acme", k.ID))
			return errRollback
		}), errRollback)
		same(t, w.apiKeys[1])(s.APIKey(ctx, "acme", k.ID))
		save(t, s, "acme", k)
		same(t, k)(s.APIKey(ctx, "acme", k.ID))
	})

	t.Run("SaveChangesNameAndRevocation", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		want := w.apiKeys[0]
		want.Name, want.RevokedAt = awkward, at(70)
		k := want
		k.Role, k.Hash, k.CreatedBy = core.RolePlatformAdmin, core.APIKeyHash("x"), core.System
		k.CreatedAt, k.ExpiresAt, k.LastUsedAt = at(2), at(3), at(4)
		save(t, s, "acme", k)
		same(t, want)(s.APIKey(bounded(t), "acme", k.ID))
		want.RevokedAt = time.Time{}
		save(t, s, "acme", want)
		same(t, want)(s.APIKey(bounded(t), "acme", k.ID))
		require.ErrorIs(t, s.InTx(bounded(t), "acme", func(tx ports.Tx) error {
			k.ID = "unknown"
			return tx.APIKeys().Save(bounded(t), k)
		}), ports.ErrNotFound)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.ErrorIs(t, tx.APIKeys().Insert(ctx, want), ports.ErrExists)
			return nil
		})
	})

	t.Run("TouchNeverGoesBack", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		k := w.apiKeys[1]
		ctx := bounded(t)
		for _, c := range []struct{ used, want int }{{10, 10}, {9, 10}, {11, 11}} {
			require.NoError(t, s.TouchAPIKey(ctx, "acme", k.ID, at(c.used)))
			k.LastUsedAt = at(c.want)
			same(t, k)(s.APIKey(ctx, "acme", k.ID))
		}
		for _, err := range together(t, 20, func(i int) error { return s.TouchAPIKey(ctx, "acme", k.ID, at(20+i)) }) {
			require.NoError(t, err)
		}
		k.LastUsedAt = at(39)
		same(t, k)(s.APIKey(ctx, "acme", k.ID))
		// A key that is revoked by who read it before its last use keeps that.
		revoked := w.apiKeys[1]
		revoked.RevokedAt = at(40)
		save(t, s, "acme", revoked)
		k.RevokedAt = at(40)
		same(t, k)(s.APIKey(ctx, "acme", k.ID))
	})

	t.Run("SweepsWhatHasEnded", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w, other := build(t, s, "acme"), build(t, s, "globex")
		ctx := bounded(t)
		expired := w.apiKeys[1]
		expired.ID, expired.ExpiresAt = "expired", at(40)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.APIKeys().Insert(ctx, expired) })
		same(t, 0)(s.SweepAPIKeys(ctx, "acme", at(40)))
		same(t, 1)(s.SweepAPIKeys(ctx, "acme", at(41)))
		same(t, 0)(s.SweepAPIKeys(ctx, "nobody", at(1000)))
		same(t, 1)(s.SweepAPIKeys(ctx, "acme", at(51))) // revoked before it would expire
		same(t, 0)(s.SweepAPIKeys(ctx, "acme", at(1_000_000)))
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, w.apiKeys[1:])(tx.APIKeys().List(ctx))
			return nil
		})
		view(t, s, "globex", func(ctx context.Context, tx ports.Tx) error {
			same(t, other.apiKeys)(tx.APIKeys().List(ctx))
			return nil
		})
	})

	t.Run("EndedContext", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.APIKey(ctx, "acme", "key-0")
		require.Error(t, err)
		require.Error(t, s.TouchAPIKey(ctx, "acme", "key-0", at(90)))
		_, err = s.SweepAPIKeys(ctx, "acme", at(1000))
		require.Error(t, err)
		same(t, w.apiKeys[0])(s.APIKey(bounded(t), "acme", "key-0"))
	})
}

// testMoveAPIKeys: the keys of a tenant that is closed can be used, and are not changed;
// those of one that lives elsewhere cannot be used here, where nobody can revoke them.
func testMoveAPIKeys(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	setMove(t, s, "acme", ports.Move{}, move(ports.MoveLeaving))
	same(t, w.apiKeys[0])(s.APIKey(ctx, "acme", "key-0"))
	require.ErrorIs(t, s.TouchAPIKey(ctx, "acme", "key-0", at(90)), ports.ErrMoved)
	require.ErrorIs(t, s.InTx(ctx, "acme", func(tx ports.Tx) error { return tx.APIKeys().Save(ctx, w.apiKeys[0]) }), ports.ErrMoved)
	same(t, w.apiKeys[0])(s.APIKey(ctx, "acme", "key-0"))
	setMove(t, s, "acme", move(ports.MoveLeaving), move(ports.MoveGone))
	_, err := s.APIKey(ctx, "acme", "key-0")
	require.ErrorIs(t, err, ports.ErrMoved)
}
