package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// lose takes a bulk continue away and leaves its part, as a crash does between the commits of
// two servers.
func (w *world) lose(id core.BulkID) {
	w.t.Helper()
	b, err := w.store.BulkContinues().Get(w.ctx, id)
	require.NoError(w.t, err)
	b.Status = core.BulkAborted
	require.NoError(w.t, w.store.BulkContinues().Save(w.ctx, b))
	require.NoError(w.t, w.store.BulkContinues().Delete(w.ctx, id))
}

// A bulk continue that the database lost as it was made is made again by a repeat under its
// key, under its ID and on its terms, once.
func TestBulkThatWasLostIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(3)
	before := w.balance().Total()
	most := core.Credits(5)
	req := app.BulkRequest{Tenant: acme, IdempotencyKey: "k", Terms: core.BulkTerms{MaxPrice: &most, RunsPerMinute: 60}}
	first, _, err := w.svc.CreateBulk(w.ctx, admin, req)
	require.NoError(t, err)
	w.lose(first.Bulk.ID)
	w.clock.Advance(time.Minute)
	again, replayed, err := w.svc.CreateBulk(w.ctx, admin, req)
	require.NoError(t, err)
	require.True(t, replayed)
	want := first.Bulk
	want.Version = again.Bulk.Version
	require.Equal(t, want, again.Bulk)
	require.Equal(t, first.Parts, again.Parts)
	_, err = w.svc.Bulk(w.ctx, admin, first.Bulk.ID)
	require.NoError(t, err)
	v := w.driveToTheEnd(first.Bulk.ID)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 3, v.Totals.Continued)
	require.Equal(t, before-3, w.balance().Total())
	again, _, err = w.svc.CreateBulk(w.ctx, admin, req)
	require.NoError(t, err)
	require.Equal(t, core.BulkFinished, again.Bulk.Status)
	w.requireBooks()
}

// What was driven, or may have been removed since it ended, is not made again: it would charge
// what was stopped.
func TestBulkThatWasRemovedIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, core.BulkID){
		"Driven": func(w *world, id core.BulkID) {
			d := w.svc.NewBulkDriver("test")
			w.drive(d)
			w.lose(id)
		},
		"Old": func(w *world, id core.BulkID) {
			w.clock.Advance(time.Hour)
			w.lose(id)
		},
		"WithoutItsPart": func(w *world, id core.BulkID) {
			w.lose(id)
			require.NoError(w.t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error { return tx.BulkParts().Delete(w.ctx, id) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPrice(1))
			w.failedRuns(3)
			req := app.BulkRequest{Tenant: acme, IdempotencyKey: "k", Terms: core.BulkTerms{RunsPerMinute: 1}}
			first, _, err := w.svc.CreateBulk(w.ctx, admin, req)
			require.NoError(t, err)
			change(w, first.Bulk.ID)
			_, _, err = w.svc.CreateBulk(w.ctx, admin, req)
			require.ErrorIs(t, err, core.ErrBulkNotFound)
			_, err = w.store.BulkContinues().Get(w.ctx, first.Bulk.ID)
			require.ErrorIs(t, err, ports.ErrNotFound)
		})
	}
}
