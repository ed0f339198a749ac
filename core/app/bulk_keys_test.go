package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// asked makes a bulk continue and says whether the answer is a repeat's, and is kept.
func (w *world) asked(actor core.Actor, req app.BulkRequest) (v app.BulkView, replayed, kept bool, err error) {
	ctx := app.WithIdempotency(w.ctx, app.Idempotency{Kept: func() { kept = true }})
	v, replayed, err = w.svc.CreateBulk(ctx, actor, req)
	return v, replayed, kept, err
}

// overOneOrAll runs a test of a bulk continue of one tenant, and of one over all.
func overOneOrAll(t *testing.T, test func(t *testing.T, w *world, actor core.Actor, tenant core.TenantID)) {
	t.Helper()
	for name, tenant := range map[string]core.TenantID{"OfATenant": acme, "OverAll": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			actor := admin
			if tenant == "" {
				actor = platform
			}
			test(t, newWorld(t), actor, tenant)
		})
	}
}

// However late a repeat comes, nothing more is made.
func TestBulkKeyIsKeptForEver(t *testing.T) {
	t.Parallel()
	overOneOrAll(t, func(t *testing.T, w *world, actor core.Actor, tenant core.TenantID) {
		ids := w.failedRuns(2)
		req := app.BulkRequest{Tenant: tenant, Runs: ids[:1], IdempotencyKey: "key"}
		first, replayed, _, err := w.asked(actor, req)
		require.NoError(t, err)
		require.False(t, replayed)
		second, replayed, _, err := w.asked(actor, req)
		require.NoError(t, err)
		require.True(t, replayed)
		require.Equal(t, first, second)
		other := req
		other.Runs = ids
		w.requireRefused(core.ErrIdempotencyKeyReused, func() error { _, _, _, err := w.asked(actor, other); return err })

		d := w.svc.NewBulkDriver("test")
		for range 20 {
			w.drive(d)
			w.workAll()
			w.clock.Advance(time.Second)
		}
		w.script.set("f") // what it continues once more fails
		w.clock.Advance(w.svc.Options().BulkKeep + time.Hour)
		require.NoError(t, w.svc.ForgetKeys(w.ctx))
		require.NoError(t, w.svc.SweepBulk(w.ctx))
		_, err = w.svc.Bulk(w.ctx, actor, first.Bulk.ID)
		require.ErrorIs(t, err, core.ErrBulkNotFound)
		before := w.balance()
		for range 2 {
			_, replayed, kept, err := w.asked(actor, req)
			require.ErrorIs(t, err, core.ErrBulkNotFound)
			require.Equal(t, []bool{true, true}, []bool{replayed, kept})
		}
		w.requireRefused(core.ErrIdempotencyKeyReused, func() error { _, _, _, err := w.asked(actor, other); return err })
		left, err := w.svc.Bulks(w.ctx, platform, ports.BulkFilter{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, left)
		require.Equal(t, before, w.balance())
	})
}

// What was refused under a key stays so until it is forgotten, also when it would be accepted.
func TestBulkRefusalUnderAKey(t *testing.T) {
	t.Parallel()
	overOneOrAll(t, func(t *testing.T, w *world, actor core.Actor, tenant core.TenantID) {
		most := core.Credits(10)
		ids := w.failedRuns(2)
		req := app.BulkRequest{Tenant: tenant, Runs: ids, Terms: core.BulkTerms{MaxPrice: &most}}
		_, replayed, kept, err := w.asked(actor, req)
		require.ErrorIs(t, err, core.ErrPriceChanged)
		require.Equal(t, []bool{false, false}, []bool{replayed, kept}, "without a key nothing is kept")
		req.IdempotencyKey = "key"
		refused := func(want bool) {
			t.Helper()
			_, replayed, kept, err := w.asked(actor, req)
			require.ErrorIs(t, err, core.ErrPriceChanged)
			require.Equal(t, []bool{want, true}, []bool{replayed, kept})
		}
		refused(false)
		refused(true)
		w.continueRun(ids[0]) // it would cost 10 now
		w.workAll()
		refused(true)
		other := req
		other.IdempotencyKey = "other"
		_, _, _, err = w.asked(actor, other)
		require.NoError(t, err)
		w.clock.Advance(25 * time.Hour)
		require.NoError(t, w.svc.ForgetKeys(w.ctx))
		req.IdempotencyKey = "key"
		_, _, _, err = w.asked(actor, req)
		require.NoError(t, err, "it is forgotten")

		// What was never decided is not kept.
		req.IdempotencyKey, req.Runs = "typo", []core.RunID{"unknown"}
		_, _, _, err = w.asked(actor, req)
		require.ErrorIs(t, err, core.ErrRunNotFound)
	})
}

// A request that is refused because of what was done meanwhile gets what another one under
// its key has made.
func TestBulkRefusedWhileAnotherIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	most := core.Credits(10)
	ids := w.failedRuns(2)
	req := app.BulkRequest{Tenant: acme, Runs: ids, Terms: core.BulkTerms{MaxPrice: &most}, IdempotencyKey: "key"}
	var made app.BulkView
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		w.faultyStore.heal()
		w.continueRun(ids[0]) // the sum is 10 from here on
		w.workAll()
		var err error
		made, _, _, err = w.asked(admin, req)
		require.NoError(t, err)
		return w.store.InTx(ctx, tenant, fn)
	})
	v, replayed, kept, err := w.asked(admin, req)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, []bool{replayed, kept})
	require.Equal(t, made, v)
}

// The lost answer of its making is found out.
func TestBulkMadeAndNotTold(t *testing.T) {
	t.Parallel()
	for _, key := range []core.Key{"", "key"} {
		t.Run(fmt.Sprintf("Key%q", key), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			req := app.BulkRequest{Tenant: acme, Runs: w.failedRuns(1), IdempotencyKey: key}
			w.faultyStore.loseAnswer()
			v, replayed, _, err := w.asked(admin, req)
			require.NoError(t, err)
			require.False(t, replayed)
			require.Equal(t, 1, v.Totals.Waiting)
		})
	}
}

// A repeat of a resume after a pause does not let it go on again.
func TestBulkChangesUnderAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.createBulk(core.BulkTerms{}, w.failedRuns(1)...)
	replays := 0
	change := func(key core.Key, do func(ctx context.Context) (app.BulkView, error)) (core.BulkStatus, error) {
		v, err := do(app.WithIdempotency(w.ctx, app.Idempotency{Key: key, Replayed: func() { replays++ }}))
		return v.Bulk.Status, err
	}
	pause := func(ctx context.Context) (app.BulkView, error) { return w.svc.PauseBulk(ctx, admin, id) }
	resume := func(ctx context.Context) (app.BulkView, error) { return w.svc.ResumeBulk(ctx, admin, id, nil) }
	abort := func(ctx context.Context) (app.BulkView, error) { return w.svc.AbortBulk(ctx, admin, id) }
	is := func(want core.BulkStatus, key core.Key, do func(ctx context.Context) (app.BulkView, error)) {
		t.Helper()
		got, err := change(key, do)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, want, w.bulk(id).Bulk.Status)
	}
	is(core.BulkPaused, "p1", pause)
	is(core.BulkRunning, "r1", resume)
	is(core.BulkPaused, "p2", pause)
	require.Zero(t, replays)
	is(core.BulkPaused, "r1", resume)
	is(core.BulkPaused, "p1", pause)
	require.Equal(t, 2, replays)
	most := core.Credits(100)
	for _, other := range []func(ctx context.Context) (app.BulkView, error){
		pause, abort, func(ctx context.Context) (app.BulkView, error) { return w.svc.ResumeBulk(ctx, admin, id, &most) },
	} {
		_, err := change("r1", other)
		require.ErrorIs(t, err, core.ErrIdempotencyKeyReused)
	}
	_, err := change("no spaces", resume)
	require.ErrorIs(t, err, core.ErrInvalidRequest)
	is(core.BulkRunning, "", resume)
	is(core.BulkRunning, "p2", pause)
	// As many as are kept: then the oldest is forgotten.
	for i := range core.MaxBulkChanges {
		is(core.BulkPaused, core.Key(fmt.Sprint("more", i)), pause)
	}
	require.Len(t, w.bulk(id).Bulk.Changes, core.MaxBulkChanges)
	is(core.BulkRunning, "r1", resume)
	is(core.BulkAborted, "a", abort)
	is(core.BulkAborted, "a", abort)
}
