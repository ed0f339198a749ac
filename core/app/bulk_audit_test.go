package app_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// bulkEvents are what the audit log of a tenant has about bulk continues, the oldest first.
func (w *world) bulkEvents(tenant core.TenantID) (events []core.AuditEvent) {
	w.t.Helper()
	page, err := w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Tenant: tenant, Page: ports.AuditPage{Limit: 100}})
	require.NoError(w.t, err)
	for _, e := range page.Events {
		if strings.HasPrefix(string(e.Action), "bulk_continue.") {
			events = append(events, e)
		}
	}
	slices.Reverse(events)
	return events
}

func actionsOf(events []core.AuditEvent) (actions []core.AuditAction) {
	for _, e := range events {
		actions = append(actions, e.Action)
	}
	return actions
}

func TestBulkIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	w.failedRunOf(globex)
	most := core.Credits(10)
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{IdempotencyKey: "k", Terms: core.BulkTerms{MaxPrice: &most}})
	require.NoError(t, err)
	id := v.Bulk.ID
	_, replayed, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{IdempotencyKey: "k", Terms: core.BulkTerms{MaxPrice: &most}})
	require.NoError(t, err)
	require.True(t, replayed)
	tick := func() { w.clock.Advance(time.Second) }
	change := func(do func(context.Context, core.Actor, core.BulkID) (app.BulkView, error)) {
		t.Helper()
		tick()
		for range 2 { // the second one changes nothing
			_, err := do(w.ctx, platform, id)
			require.NoError(t, err)
		}
	}
	change(w.svc.PauseBulk)
	resume := func(most *core.Credits) func(context.Context, core.Actor, core.BulkID) (app.BulkView, error) {
		return func(ctx context.Context, a core.Actor, id core.BulkID) (app.BulkView, error) {
			return w.svc.ResumeBulk(ctx, a, id, most)
		}
	}
	change(resume(nil))
	more := core.Credits(20)
	change(resume(&more))
	change(w.svc.AbortBulk)
	_, err = w.svc.ResumeBulk(w.ctx, platform, id, nil)
	require.ErrorIs(t, err, core.ErrBulkEnded)
	for _, tenant := range []core.TenantID{acme, globex} {
		events := w.bulkEvents(tenant)
		require.Equal(t, []core.AuditAction{
			core.AuditBulkCreated, core.AuditBulkPaused, core.AuditBulkResumed, core.AuditBulkResumed, core.AuditBulkAborted,
		}, actionsOf(events), tenant)
		for _, e := range events {
			require.Equal(t, string(id), e.Target)
			require.Equal(t, platform, e.Actor)
		}
		require.Equal(t, "10", events[0].Facts["maxPrice"])
		require.Equal(t, core.AuditFacts{"waiting": events[0].Facts["runs"], "maxPriceFrom": "10", "maxPriceTo": "20"}, events[3].Facts)
		require.Equal(t, "user", events[2].Facts["reason"])
	}
}

// What lets more be charged is not done if it cannot be recorded; what stops it is done all
// the same, and said to have failed.
func TestBulkIsNotResumedUnrecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	id := w.createBulk(core.BulkTerms{})
	w.faultyStore.failFrom(0)
	_, err := w.svc.PauseBulk(w.ctx, admin, id)
	require.ErrorIs(t, err, errStore)
	require.Equal(t, core.BulkPaused, w.bulk(id).Bulk.Status)
	_, err = w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.ErrorIs(t, err, errStore)
	require.Equal(t, core.BulkPaused, w.bulk(id).Bulk.Status)
	_, _, err = w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme})
	require.ErrorIs(t, err, errStore)
}

// An API key that let it go on, or raised its limit, counts like the one that made it.
func TestBulkThatARevokedAPIKeyLetGoOn(t *testing.T) {
	t.Parallel()
	more := core.Credits(50)
	for name, does := range map[string]func(w *world, key core.Actor, id core.BulkID) error{
		"Resumed": func(w *world, key core.Actor, id core.BulkID) error {
			_, err := w.svc.PauseBulk(w.ctx, admin, id)
			_, err2 := w.svc.ResumeBulk(w.ctx, key, id, nil)
			return errors.Join(err, err2)
		},
		"LimitRaised": func(w *world, key core.Actor, id core.BulkID) error {
			_, err := w.svc.ResumeBulk(w.ctx, key, id, &more)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPrice(1))
			w.failedRuns(3)
			key, _, err := w.svc.MakeAPIKey(w.ctx, platform, core.APIKeyRequest{Tenant: acme, Name: "k", Role: core.RoleCustomerAdmin})
			require.NoError(t, err)
			most := core.Credits(40)
			id := w.createBulk(core.BulkTerms{RunsPerMinute: 60, MaxPrice: &most})
			require.NoError(t, does(w, key.Actor(), id))
			require.Equal(t, key.Actor(), w.bulk(id).Bulk.ChangedBy)
			d := w.svc.NewBulkDriver("test")
			w.drive(d)
			require.Equal(t, 1, w.bulk(id).Totals.Continued)
			_, err = w.svc.RevokeAPIKey(w.ctx, platform, acme, key.ID)
			require.NoError(t, err)
			w.clock.Advance(time.Minute)
			w.drive(d)
			v := w.bulk(id)
			require.Equal(t, 1, v.Totals.Continued)
			require.Equal(t, core.BulkReasonNotAllowed, v.Bulk.Reason)
			// Somebody who may says that it goes on.
			_, err = w.svc.ResumeBulk(w.ctx, admin, id, nil)
			require.NoError(t, err)
			require.Equal(t, core.BulkFinished, w.driveToTheEnd(id).Bulk.Status)
		})
	}
}
