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

// failedRunOf gives a tenant, and makes it if it is not there, a run whose only file failed.
func (w *world) failedRunOf(tenant core.TenantID) core.RunID {
	w.t.Helper()
	if _, err := w.svc.Tenant(w.ctx, platform, tenant); err != nil {
		_, err := w.svc.CreateTenant(w.ctx, platform, tenant, string(tenant), 0)
		require.NoError(w.t, err)
	}
	if _, err := w.svc.Template(w.ctx, platform, tenant, template); err != nil {
		_, err = w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: template, Tenant: tenant, Name: "T", Instructions: "T", CreditsPerRun: 1, Mode: core.ModePerFile})
		require.NoError(w.t, err)
		_, err = w.svc.PublishTemplate(w.ctx, platform, tenant, template)
		require.NoError(w.t, err)
		_, err = w.svc.PurchaseCredits(w.ctx, platform, tenant, "start", 10)
		require.NoError(w.t, err)
	}
	w.script.set("f")
	who := core.Actor{Subject: "who", Tenant: tenant, Role: core.RoleCustomerAdmin}
	run, err := w.svc.Initiate(w.ctx, who, app.InitiateRequest{Tenant: tenant, Template: template, Files: []core.NewFile{{Name: "x", Ref: "x"}}})
	require.NoError(w.t, err)
	w.workAll()
	w.script.set("")
	return run.ID
}

// close closes a tenant, as its move to another database does.
func (w *world) close(tenant core.TenantID) {
	w.t.Helper()
	require.NoError(w.t, w.store.SetMove(w.ctx, tenant, ports.Move{}, ports.Move{ID: "move-" + string(tenant), State: ports.MoveLeaving, At: w.clock.Now()}))
}

func (w *world) createBulkOfAll(terms core.BulkTerms) core.BulkID {
	w.t.Helper()
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{Terms: terms})
	require.NoError(w.t, err)
	return v.Bulk.ID
}

// bulkOfAll drives one over all tenants to its end.
func (w *world) bulkOfAll(d *app.BulkDriver, id core.BulkID) app.BulkView {
	w.t.Helper()
	for range 100 {
		w.drive(d)
		w.workAll()
		v, err := w.svc.Bulk(w.ctx, platform, id)
		require.NoError(w.t, err)
		if v.Bulk.Status != core.BulkRunning {
			return v
		}
		w.clock.Advance(time.Second)
	}
	require.FailNow(w.t, "it does not end")
	return app.BulkView{}
}

func TestBulkOfAllTenantsIsNotAboutThoseThatAreMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	w.failedRunOf(globex)
	w.close(acme)
	preview, err := w.svc.PreviewBulk(w.ctx, platform, app.BulkRequest{})
	require.NoError(t, err)
	require.Equal(t, 1, preview.Runs)
	id := w.createBulkOfAll(core.BulkTerms{})
	v := w.bulkOfAll(w.svc.NewBulkDriver("test"), id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 1, v.Bulk.Runs)
	require.Len(t, v.Parts, 1)
	require.Equal(t, globex, v.Parts[0].Tenant)
}

// A tenant that is closed between the selection and the insertion of its part has none.
func TestBulkOfAllTenantsIsMadeWithoutOneThatCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	w.failedRunOf(globex)
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if tenant == acme {
			w.faultyStore.heal()
			w.close(acme)
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	id := w.createBulkOfAll(core.BulkTerms{})
	v := w.bulkOfAll(w.svc.NewBulkDriver("test"), id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 1, v.Bulk.Runs)
	require.Equal(t, core.Credits(1), v.Bulk.Expected)
	require.Equal(t, core.BulkTotals{Continued: 1, Files: 1, Price: 1, Failures: core.BulkFailures{Closed: 1}}, v.Totals)
}

// A tenant that is moved while one goes on is left out, and the others go on: whether it is
// found when a run is continued, when it is looked what became of some, or at a takeover.
func TestBulkOfAllTenantsGoesOnWithoutOneThatMoves(t *testing.T) {
	t.Parallel()
	leftOut := func(t *testing.T, w *world, d *app.BulkDriver, id core.BulkID, continued int) {
		t.Helper()
		v := w.bulkOfAll(d, id)
		require.Equal(t, core.BulkFinished, v.Bulk.Status)
		require.Equal(t, []core.TenantID{acme}, v.Bulk.Moved)
		require.Equal(t, continued, v.Totals.Continued)
		require.Equal(t, 3-continued, v.Totals.Refused)
		if continued < 3 {
			require.Equal(t, map[core.Code]int{core.CodeTenantMoved: 3 - continued}, v.Totals.RefusedBy)
		}
		require.Zero(t, v.Totals.Waiting+v.Totals.Open)
		// The record of each run says the same, page by page and by state.
		states := map[core.BulkRunState]int{}
		for from := (app.BulkRunCursor{}); ; {
			page, next, err := w.svc.BulkRuns(w.ctx, platform, id, from, "", 1)
			require.NoError(t, err)
			for _, r := range page {
				states[r.State]++
				if r.State == core.BulkRunRefused {
					require.Equal(t, core.CodeTenantMoved, r.Code)
					require.NotEmpty(t, r.Message)
				}
			}
			if next == nil {
				break
			}
			from = *next
		}
		require.Equal(t, continued, states[core.BulkRunContinued])
		require.Zero(t, states[core.BulkRunWaiting])
		refused, next, err := w.svc.BulkRuns(w.ctx, platform, id, app.BulkRunCursor{}, core.BulkRunRefused, 10)
		require.NoError(t, err)
		require.Nil(t, next)
		require.Len(t, refused, 3-continued)
		waiting, _, err := w.svc.BulkRuns(w.ctx, platform, id, app.BulkRunCursor{}, core.BulkRunWaiting, 10)
		require.NoError(t, err)
		require.Empty(t, waiting)
	}
	begin := func(t *testing.T, terms core.BulkTerms) (*world, *app.BulkDriver, core.BulkID) {
		t.Helper()
		w := newWorld(t, withPrice(1))
		w.failedRuns(2)
		w.failedRunOf(globex)
		return w, w.svc.NewBulkDriver("test"), w.createBulkOfAll(terms)
	}
	t.Run("BeforeItIsTaken", func(t *testing.T) {
		t.Parallel()
		w, d, id := begin(t, core.BulkTerms{})
		w.close(acme)
		leftOut(t, w, d, id, 1)
	})
	t.Run("WhileItWaits", func(t *testing.T) {
		t.Parallel()
		w, d, id := begin(t, core.BulkTerms{RunsPerMinute: 60})
		w.drive(d)
		w.workAll()
		w.clock.Advance(100 * time.Millisecond)
		w.close(acme)
		leftOut(t, w, d, id, 2)
	})
	t.Run("WhileRunsAreOpen", func(t *testing.T) {
		t.Parallel()
		w, d, id := begin(t, core.BulkTerms{})
		w.drive(d)
		w.workAll()
		w.close(acme)
		leftOut(t, w, d, id, 3)
	})
	t.Run("AfterItsPartWasDone", func(t *testing.T) {
		t.Parallel()
		w, d, id := begin(t, core.BulkTerms{RunsPerMinute: 20})
		for range 5 { // those of acme, and that they have closed
			w.drive(d)
			w.workAll()
			w.clock.Advance(time.Second)
		}
		v, err := w.svc.Bulk(w.ctx, platform, id)
		require.NoError(t, err)
		require.Equal(t, core.BulkTotals{Continued: 2, Files: 2, Price: 2, Failures: core.BulkFailures{Closed: 2}}, v.Parts[0].Totals)
		require.NoError(t, d.Release(w.ctx))
		w.close(acme)
		v = w.bulkOfAll(w.svc.NewBulkDriver("other"), id)
		require.Equal(t, core.BulkFinished, v.Bulk.Status)
		require.Empty(t, v.Bulk.Moved, "nothing of it was left")
		require.Equal(t, 3, v.Totals.Continued)
	})
}

// That of one tenant waits until it is known where the tenant lives.
func TestBulkOfATenantThatMovesPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	id := w.createBulk(core.BulkTerms{})
	w.close(acme)
	w.drive(w.svc.NewBulkDriver("test"))
	v := w.bulk(id)
	require.Equal(t, core.BulkPaused, v.Bulk.Status)
	require.Equal(t, core.BulkReasonTenantMoved, v.Bulk.Reason)
	require.Equal(t, core.BulkTotals{Waiting: 2}, v.Totals)
}

// Of many tenants some are looked at a time, and the lease lasts while it is looked, however
// long that takes. There are steps between the looks.
func TestBulkLooksAtSomeTenantsAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	const tenants = 70
	for i := range tenants {
		w.failedRunOf(core.TenantID(fmt.Sprintf("t%02d", i)))
	}
	id := w.createBulkOfAll(core.BulkTerms{})
	d := w.svc.NewBulkDriver("test")
	for range 20 {
		w.drive(d)
		w.clock.Advance(time.Second)
	}
	v, err := w.svc.Bulk(w.ctx, platform, id)
	require.NoError(t, err)
	require.Equal(t, tenants, v.Totals.Open)
	w.workAll()
	looks := 0
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		looks++
		w.clock.Advance(time.Second)
		return w.store.InTx(ctx, tenant, fn)
	})
	began := w.clock.Now()
	next := w.drive(d)
	require.Equal(t, 50, looks)
	require.True(t, next.After(w.clock.Now()), "the next look is a while after this one")
	v, err = w.svc.Bulk(w.ctx, platform, id)
	require.NoError(t, err)
	require.Equal(t, tenants-50, v.Totals.Open)
	require.Greater(t, w.clock.Now().Sub(began), app.DefaultOptions().BulkLease)
	require.True(t, v.Bulk.LeaseUntil.After(w.clock.Now()), "its lease was extended meanwhile")
	require.Equal(t, int64(1), v.Bulk.Fence)
	w.clock.Advance(next.Sub(w.clock.Now()))
	w.drive(d)
	v, err = w.svc.Bulk(w.ctx, platform, id)
	require.NoError(t, err)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, tenants, looks)
}
