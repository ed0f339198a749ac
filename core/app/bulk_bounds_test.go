package app_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// However many bulk continues of one tenant wait for their speed, those of others go on.
func TestBulkOfOneTenantKeepsNoOthersWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(1)
	var all []core.BulkID
	for range core.MaxBulkUnended {
		all = append(all, w.createBulk(core.BulkTerms{RunsPerMinute: 1}))
	}
	_, _, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme})
	require.ErrorIs(t, err, core.ErrBulkTooManyNow)
	w.failedRunOf(globex)
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{Tenant: globex})
	require.NoError(t, err)
	d := w.svc.NewBulkDriver("test")
	w.drive(d)
	for _, id := range append(all, v.Bulk.ID) {
		b, err := w.svc.Bulk(w.ctx, platform, id)
		require.NoError(t, err)
		require.Zero(t, b.Totals.Waiting, id)
	}
}

// Selections read much, so few are made at once, and fewer of one tenant.
func TestBulkSelectionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(1)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	w.faultyStore.setView(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		entered <- struct{}{}
		<-leave
		return w.store.View(ctx, tenant, fn)
	})
	done := make(chan error, 10)
	preview := func(tenant core.TenantID) error {
		_, err := w.svc.PreviewBulk(w.ctx, platform, app.BulkRequest{Tenant: tenant})
		return err
	}
	begin := func(tenant core.TenantID) {
		go func() { done <- preview(tenant) }()
		<-entered
	}
	begin(acme)
	begin(acme)
	require.ErrorIs(t, preview(acme), core.ErrBulkTooManyNow)
	_, _, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme})
	require.ErrorIs(t, err, core.ErrBulkTooManyNow)
	begin(globex)
	begin(globex)
	require.ErrorIs(t, preview("third"), core.ErrBulkTooManyNow, "four in all")
	w.faultyStore.setView(nil)
	close(leave)
	for range 4 {
		if err := <-done; err != nil {
			require.ErrorIs(t, err, core.ErrBulkEmpty) // globex has no runs
		}
	}
	require.NoError(t, preview(acme))
}

// endless is a search that finds nothing, and never comes to its end.
type endless struct{ ports.Tx }

func (e endless) Find() ports.Finder { return endlessFind{e.Tx.Find()} }

type endlessFind struct{ ports.Finder }

func (endlessFind) Runs(context.Context, ports.RunFilter, ports.Look) (ports.RunPage, error) {
	return ports.RunPage{Next: ports.RunCursor{CreatedAt: began, ID: "run"}}, nil
}

func TestBulkLooksAtSoManyRuns(t *testing.T) {
	t.Parallel()
	for name, tenant := range map[string]core.TenantID{"OfATenant": acme, "OfAll": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPrice(1))
			looks := 0
			w.faultyStore.setView(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
				if looks++; looks > 1000 {
					return errors.New("it looks for ever")
				}
				return w.store.View(ctx, tenant, func(tx ports.Tx) error { return fn(endless{tx}) })
			})
			_, err := w.svc.PreviewBulk(w.ctx, platform, app.BulkRequest{Tenant: tenant})
			require.ErrorIs(t, err, core.ErrBulkTooLarge)
			require.ErrorContains(t, err, "100000 runs")
			require.LessOrEqual(t, looks, 20, "of 5,000 runs each")
		})
	}
}

// With more than so many the oldest go, but for those that a repeat may still ask for.
func TestBulksThatAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(1)
	make1 := func(i int) (app.BulkView, error) {
		v, _, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, IdempotencyKey: core.Key(fmt.Sprint("key-", i))})
		if err == nil {
			_, err = w.svc.AbortBulk(w.ctx, admin, v.Bulk.ID)
		}
		return v, err
	}
	first, err := make1(0)
	require.NoError(t, err)
	open := w.createBulk(core.BulkTerms{}) // has not ended, and is never removed
	for i := range core.MaxBulksKept - 2 {
		w.clock.Advance(time.Second)
		_, err := make1(i + 1)
		require.NoError(t, err)
	}
	_, err = make1(1000)
	require.ErrorIs(t, err, core.ErrBulkTooManyNow)
	_, replayed, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, IdempotencyKey: "key-0"})
	require.NoError(t, err)
	require.True(t, replayed)
	w.clock.Advance(app.DefaultOptions().IdempotencyTTL)
	_, _, err = w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, Runs: []core.RunID{"unknown"}})
	require.ErrorIs(t, err, core.ErrRunNotFound)
	_, err = w.svc.Bulk(w.ctx, admin, first.Bulk.ID)
	require.NoError(t, err, "what is not made takes no place")
	_, err = make1(1001)
	require.NoError(t, err)
	_, err = w.svc.Bulk(w.ctx, admin, first.Bulk.ID)
	require.ErrorIs(t, err, core.ErrBulkNotFound)
	parts, err := w.store.BulkContinues().Parts(w.ctx, ports.BulkKey{ID: first.Bulk.ID})
	require.NoError(t, err)
	require.Empty(t, parts)
	list, err := w.svc.Bulks(w.ctx, admin, ports.BulkFilter{Tenant: acme, Limit: 1000})
	require.NoError(t, err)
	require.Len(t, list, core.MaxBulksKept)
	require.Equal(t, open, list[len(list)-1].Bulk.ID)
}

// However many parts are left of what was not made, they are gone after one sweep.
func TestBulkPartsAreAllSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(1)
	const many = 250
	for i := range many {
		require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
			id := core.BulkID(fmt.Sprint("cut-off-", i))
			return tx.BulkParts().Insert(w.ctx, core.NewBulkPart(acme, id, 1, w.clock.Now()), []core.BulkRun{{Run: ids[0], State: core.BulkRunWaiting}})
		}))
	}
	w.clock.Advance(2 * time.Hour)
	require.NoError(t, w.svc.SweepBulk(w.ctx))
	left, err := w.store.BulkContinues().Orphans(w.ctx, w.clock.Now(), many)
	require.NoError(t, err)
	require.Empty(t, left)
}

// Parts that were written leave nothing if the bulk continue is not made.
func TestBulkThatIsNotMadeLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(1)
	w.failedRunOf(globex)
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if tenant == globex {
			w.faultyStore.heal()
			return errStore
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	_, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.ErrorIs(t, err, errStore)
	left, err := w.store.BulkContinues().Orphans(w.ctx, w.clock.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, left)
}
