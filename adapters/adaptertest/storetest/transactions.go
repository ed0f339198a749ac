package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testTransactions: each method that writes is seen by its own transaction at
// once, by others after the commit alone, and never if it is rolled back.
func testTransactions(t *testing.T, newStore Factory, _ Options) {
	for _, write := range writings {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			before := MustRead(t, s, "acme", w.keys()...)
			testTransaction(t, s, w, before, func(ctx context.Context, tx ports.Tx) error { return write.call(ctx, tx, w) })
		})
	}
	t.Run("Tenants.Insert", func(t *testing.T) { testTenantInsert(t, newStore) })
	t.Run("AllAtOnce", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		testTransaction(t, s, w, before, func(ctx context.Context, tx ports.Tx) error {
			for _, write := range writings {
				if err := write.call(ctx, tx, w); err != nil {
					return err
				}
			}
			return nil
		})
	})
	t.Run("FnErrorIsGivenBack", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		ctx := bounded(t)
		refusal := &core.Error{Code: core.CodeNothingToRetry, Files: []int{1}}
		for _, in := range []func(context.Context, core.TenantID, func(ports.Tx) error) error{s.InTx, s.View} {
			var got *core.Error
			require.ErrorAs(t, in(ctx, "acme", func(ports.Tx) error { return refusal }), &got)
			require.Same(t, refusal, got)
			require.ErrorIs(t, in(ctx, "acme", func(ports.Tx) error { return errRollback }), errRollback)
			require.NoError(t, in(ctx, "acme", func(ports.Tx) error { return nil }), "nothing to do is a success")
		}
	})
	t.Run("ViewPanics", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		require.PanicsWithError(t, errRollback.Error(), func() {
			_ = s.View(ctx, "acme", func(ports.Tx) error { panic(errRollback) })
		})
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return writings[1].call(ctx, tx, w) })
	})
}

func testTransaction(t *testing.T, s ports.Store, w *world, before Contents, write func(context.Context, ports.Tx) error) {
	t.Helper()
	ctx, tenant := bounded(t), w.tenant.ID
	read := func() Contents { return MustRead(t, s, tenant, w.keys()...) }

	err := s.InTx(ctx, tenant, func(tx ports.Tx) error {
		require.NoError(t, write(ctx, tx))
		return errRollback
	})
	require.ErrorIs(t, err, errRollback)
	equal(t, before, read(), "rolled back by an error")

	require.PanicsWithError(t, errRollback.Error(), func() {
		_ = s.InTx(ctx, tenant, func(tx ports.Tx) error {
			require.NoError(t, write(ctx, tx))
			panic(errRollback)
		})
	}, "a panic goes on to the caller")
	equal(t, before, read(), "rolled back by a panic")

	// Neither left a lock behind, or this would wait for it.
	var own Contents
	require.NoError(t, s.InTx(ctx, tenant, func(tx ports.Tx) error {
		if err := write(ctx, tx); err != nil {
			return err
		}
		var err error
		if own, err = readAll(ctx, tx, w.keys()); err != nil {
			return err
		}
		notEqual(t, before, own, "a transaction sees its own writes")
		equal(t, before, read(), "others do not see them before the commit")
		require.NoError(t, s.InTx(ctx, tenant, func(other ports.Tx) error {
			seen, err := readAll(ctx, other, w.keys())
			equal(t, before, seen, "others' transactions do not see them before the commit")
			return err
		}))
		return nil
	}))
	equal(t, own, read(), "what was committed is what the transaction saw")
}

// testTenantInsert does for Tenants.Insert what testTransaction does for the rest.
func testTenantInsert(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := newWorld("acme")
	nothing := MustRead(t, s, "acme")
	require.Nil(t, nothing.Tenant)
	testTransaction(t, s, w, nothing, func(ctx context.Context, tx ports.Tx) error { return tx.Tenants().Insert(ctx, w.tenant) })

	// A whole new world in one transaction, rolled back: nothing of it is there.
	other := newWorld("beta")
	ctx := bounded(t)
	err := s.InTx(ctx, "beta", func(tx ports.Tx) error {
		require.NoError(t, other.insert(ctx, tx))
		seen, err := readAll(ctx, tx, other.keys())
		equal(t, other.contents(), seen)
		return errors.Join(err, errRollback)
	})
	require.ErrorIs(t, err, errRollback)
	equal(t, nothing, MustRead(t, s, "beta", other.keys()...))
	_, err = s.TenantOf(ctx, other.running.ID)
	require.ErrorIs(t, err, ports.ErrNotFound)
	empty(t)(s.DueRuns(ctx, at(100_000), horizon, 10))
}
