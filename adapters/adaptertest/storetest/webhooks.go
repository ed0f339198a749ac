package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testWebhooks has what is particular about events and their deliveries.
func testWebhooks(t *testing.T, newStore Factory, o Options) {
	t.Run("TellReachesWhoIsSubscribed", func(t *testing.T) { testTell(t, newStore) })
	t.Run("TellWaitsForNobody", func(t *testing.T) { testTellWaitsForNobody(t, newStore) })
	t.Run("LockPassesOverWhatIsHeld", func(t *testing.T) { testEndpointLock(t, newStore) })
	t.Run("DueByTheirTime", func(t *testing.T) { testDueDeliveries(t, newStore) })
	t.Run("DueEndpoints", func(t *testing.T) { testDueEndpoints(t, newStore, o) })
	t.Run("ListByPages", func(t *testing.T) { testDeliveryPages(t, newStore) })
	t.Run("Sweep", func(t *testing.T) { testSweepDeliveries(t, newStore) })
	t.Run("LowCreditsUnderTheLock", func(t *testing.T) { testLowCredits(t, newStore) })
}

// endpoint stores an endpoint of a tenant.
func endpoint(t *testing.T, s ports.Store, tenant core.TenantID, id core.WebhookEndpointID, pause core.EndpointPause, types ...core.WebhookEventType) core.WebhookEndpoint {
	t.Helper()
	e := core.WebhookEndpoint{
		ID: id, Tenant: tenant, URL: "https://example.com/", Types: types, Pause: pause, Secret: "whsec_s",
		CreatedBy: core.System, CreatedAt: at(1), UpdatedAt: at(1),
	}
	if pause != core.NotPaused {
		e.PausedAt = at(2)
	}
	commit(t, s, tenant, func(ctx context.Context, tx ports.Tx) error { return tx.WebhookEndpoints().Insert(ctx, e) })
	return e
}

// event is the end of a run that is told of.
func event(tenant core.TenantID, run string, status core.RunStatus, minute int) core.WebhookEvent {
	return core.ClosingEvent(core.Run{Tenant: tenant, ID: core.RunID(run), Status: status}, false, at(minute))
}

func tell(t *testing.T, s ports.Store, tenant core.TenantID, events ...core.WebhookEvent) {
	t.Helper()
	commit(t, s, tenant, func(ctx context.Context, tx ports.Tx) error { return tx.WebhookEvents().Tell(ctx, events...) })
}

func deliveries(t *testing.T, s ports.Store, tenant core.TenantID, to core.WebhookEndpointID) (list []core.WebhookDelivery) {
	t.Helper()
	view(t, s, tenant, func(ctx context.Context, tx ports.Tx) (err error) {
		list, err = tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: to, Limit: 1000})
		return err
	})
	return orNil(list)
}

func testTell(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	bare(t, s, "beta")
	all := core.WebhookEventTypes()
	endpoint(t, s, "acme", "all", core.NotPaused, all...)
	endpoint(t, s, "acme", "closed", core.NotPaused, core.EventRunClosed)
	endpoint(t, s, "acme", "by-hand", core.PausedByHand, core.EventRunClosed, core.EventRunInterrupted)
	endpoint(t, s, "acme", "failing", core.PausedFails, all...)
	endpoint(t, s, "acme", "gone", core.PausedGone, all...)
	endpoint(t, s, "beta", "all", core.NotPaused, all...)

	closed, interrupted := event("acme", "run-1", core.RunFailed, 10), event("acme", "run-2", core.RunInterrupted, 11)
	without := core.WebhookEvent{ID: "evt_1", Type: core.EventCreditsLow, At: at(12), Body: awkward}
	tell(t, s, "acme")
	tell(t, s, "acme", closed, interrupted)
	tell(t, s, "acme", without)
	tell(t, s, "nobody", closed)
	want := func(to core.WebhookEndpointID, events ...core.WebhookEvent) {
		t.Helper()
		var list []core.WebhookDelivery
		for _, e := range events {
			list = append(list, core.NewDelivery("acme", to, e))
		}
		equal(t, list, deliveries(t, s, "acme", to), to)
	}
	want("all", without, interrupted, closed)
	want("closed", closed)
	want("by-hand", interrupted, closed)
	want("failing")
	want("gone")
	require.Empty(t, deliveries(t, s, "beta", "all"))

	// What is told twice is there once, whatever became of it.
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		d, err := tx.WebhookDeliveries().Get(ctx, "closed", closed.ID)
		require.NoError(t, err)
		d.Status, d.DueAt, d.Claim = core.DeliveryDelivered, time.Time{}, 1
		return tx.WebhookDeliveries().Save(ctx, d)
	})
	tell(t, s, "acme", closed, closed)
	want("all", without, interrupted, closed)
	equal(t, core.DeliveryDelivered, deliveries(t, s, "acme", "closed")[0].Status)

	// What is rolled back is not told.
	ctx := bounded(t)
	require.ErrorIs(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, tx.WebhookEvents().Tell(ctx, event("acme", "run-3", core.RunFailed, 13)))
		return errRollback
	}), errRollback)
	want("all", without, interrupted, closed)

	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.WebhookEndpoints().Delete(ctx, "all") })
	tell(t, s, "acme", event("acme", "run-4", core.RunInterrupted, 14))
	want("all", without, interrupted, closed) // they stay until they are swept
	equal(t, 3, len(deliveries(t, s, "acme", "by-hand")))
}

// testTellWaitsForNobody: an endpoint that another transaction changes or removes keeps no
// run from closing.
func testTellWaitsForNobody(t *testing.T, newStore Factory) {
	t.Parallel()
	for name, change := range map[string]func(context.Context, ports.Tx, core.WebhookEndpoint) error{
		"Lock": func(context.Context, ports.Tx, core.WebhookEndpoint) error { return nil },
		"Save": func(ctx context.Context, tx ports.Tx, e core.WebhookEndpoint) error {
			e.Description = "other"
			return tx.WebhookEndpoints().Save(ctx, e)
		},
		"Delete": func(ctx context.Context, tx ports.Tx, e core.WebhookEndpoint) error {
			return tx.WebhookEndpoints().Delete(ctx, e.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			bare(t, s, "acme")
			endpoint(t, s, "acme", "a", core.NotPaused, core.EventRunClosed)
			closed := event("acme", "run-1", core.RunFailed, 10)
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				e, err := tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, "a")
				require.NoError(t, err)
				require.NoError(t, change(ctx, tx, e))
				other := bounded(t)
				return await(t, "telling beside a transaction that changes the endpoint", async(func() error {
					return s.InTx(other, "acme", func(tx ports.Tx) error { return tx.WebhookEvents().Tell(other, closed) })
				}))
			})
			equal(t, []core.WebhookDelivery{core.NewDelivery("acme", "a", closed)}, deliveries(t, s, "acme", "a"))
		})
	}
}

func testEndpointLock(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	a := endpoint(t, s, "acme", "a", core.NotPaused, core.EventRunClosed)
	b := endpoint(t, s, "acme", "b", core.NotPaused, core.EventRunClosed)
	ctx := bounded(t)
	var waiter <-chan error
	var seen core.WebhookEndpoint
	commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
		same(t, a)(tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, "a"))
		same(t, a)(tx.WebhookEndpoints().Lock(ctx, ports.SkipLocked, "a"))
		require.NoError(t, s.InTx(ctx, "acme", func(other ports.Tx) error {
			_, err := other.WebhookEndpoints().Lock(ctx, ports.SkipLocked, "a")
			require.ErrorIs(t, err, ports.ErrNotFound)
			_, err = other.WebhookEndpoints().Lock(ctx, ports.SkipLocked, "ghost")
			require.ErrorIs(t, err, ports.ErrNotFound)
			same(t, b)(other.WebhookEndpoints().Lock(ctx, ports.SkipLocked, "b"))
			return nil
		}))
		waiter = async(func() error {
			return s.InTx(ctx, "acme", func(other ports.Tx) (err error) {
				seen, err = other.WebhookEndpoints().Lock(ctx, ports.WaitForLock, "a")
				return err
			})
		})
		time.Sleep(grace)
		a.Description = "changed"
		return tx.WebhookEndpoints().Save(ctx, a)
	})
	require.NoError(t, await(t, "who waits for the endpoint", waiter))
	equal(t, a, seen, "it is read under the lock")
}

func testDueDeliveries(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	e := endpoint(t, s, "acme", "a", core.NotPaused, core.EventRunClosed)
	endpoint(t, s, "acme", "b", core.NotPaused, core.EventRunClosed)
	ping := func(id core.WebhookEventID, due int, status core.DeliveryStatus) core.WebhookDelivery {
		d := core.NewDelivery("acme", e.ID, core.PingEvent(id, e, at(5)))
		if d.Status = status; status == core.DeliveryPending {
			d.DueAt = at(due)
		} else {
			d.DueAt = time.Time{}
		}
		return d
	}
	list := []core.WebhookDelivery{
		ping("e", 20, core.DeliveryPending), ping("d", 20, core.DeliveryPending), ping("c", 30, core.DeliveryPending),
		ping("b", 10, core.DeliveryPending), ping("a", 0, core.DeliveryDelivered), ping("f", 0, core.DeliveryGivenUp),
	}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.WebhookDeliveries().Insert(ctx, list...) })
	due := func(minute, limit int) (ids []core.WebhookEventID) {
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			found, err := tx.WebhookDeliveries().Due(ctx, e.ID, at(minute), limit)
			for _, d := range found {
				ids = append(ids, d.Event.ID)
			}
			empty(t)(tx.WebhookDeliveries().Due(ctx, "b", at(minute), limit))
			return err
		})
		return ids
	}
	require.Empty(t, due(9, 10))
	equal(t, []core.WebhookEventID{"b"}, due(10, 10))
	equal(t, []core.WebhookEventID{"b", "d", "e"}, due(29, 10))
	equal(t, []core.WebhookEventID{"b", "d", "e", "c"}, due(30, 10))
	equal(t, []core.WebhookEventID{"b", "d"}, due(30, 2))
	require.Empty(t, due(30, 0))
}

func testDueEndpoints(t *testing.T, newStore Factory, o Options) {
	t.Parallel()
	s := newStore(t)
	for _, tenant := range []core.TenantID{"acme", "beta", "move"} {
		bare(t, s, tenant)
		for _, id := range []core.WebhookEndpointID{"a", "b", "idle"} {
			kind := core.EventRunClosed
			if id == "idle" {
				kind = core.EventCreditsLow
			}
			endpoint(t, s, tenant, id, core.NotPaused, kind)
		}
		endpoint(t, s, tenant, "paused", core.PausedByHand, core.EventRunClosed)
		for i := range 3 {
			tell(t, s, tenant, event(tenant, fmt.Sprint("run-", i), core.RunFailed, 10+i))
		}
	}
	if !o.NoMoves {
		setMove(t, s, "move", ports.Move{}, move(ports.MoveLeaving))
	} else {
		commit(t, s, "move", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.WebhookEndpoints().Delete(ctx, "a"))
			return tx.WebhookEndpoints().Delete(ctx, "b")
		})
	}
	key := func(tenant core.TenantID, id core.WebhookEndpointID) ports.EndpointKey {
		return ports.EndpointKey{Tenant: tenant, Endpoint: id}
	}
	ctx := bounded(t)
	all := []ports.EndpointKey{key("acme", "a"), key("acme", "b"), key("beta", "a"), key("beta", "b")}
	empty(t)(s.DueEndpoints(ctx, at(9), ports.EndpointKey{}, 10))
	same(t, all)(s.DueEndpoints(ctx, at(10), ports.EndpointKey{}, 10))
	same(t, all[:3])(s.DueEndpoints(ctx, at(10), ports.EndpointKey{}, 3))
	same(t, all[2:])(s.DueEndpoints(ctx, at(10), key("acme", "b"), 10))
	same(t, all[1:2])(s.DueEndpoints(ctx, at(10), key("acme", "a"), 1))
	empty(t)(s.DueEndpoints(ctx, at(10), key("beta", "b"), 10))
	empty(t)(s.DueEndpoints(ctx, at(10), ports.EndpointKey{}, 0))

	// What is claimed is due no more until then, and what is delivered never.
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		list, err := tx.WebhookDeliveries().Due(ctx, "a", at(20), 10)
		require.NoError(t, err)
		require.Len(t, list, 3)
		for i := range list {
			list[i] = core.ClaimDelivery(list[i], core.DeliveryPolicy{Lease: time.Hour}, at(20))
		}
		list[0].Status, list[0].DueAt = core.DeliveryDelivered, time.Time{}
		return tx.WebhookDeliveries().Save(ctx, list...)
	})
	same(t, all[1:])(s.DueEndpoints(ctx, at(20), ports.EndpointKey{}, 10))
	same(t, all)(s.DueEndpoints(ctx, at(90), ports.EndpointKey{}, 10))
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.WebhookEndpoints().Delete(ctx, "b") })
	same(t, all[2:])(s.DueEndpoints(ctx, at(20), ports.EndpointKey{}, 10))
}

func testDeliveryPages(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	e := endpoint(t, s, "acme", "a", core.NotPaused, core.EventRunClosed)
	var want []core.WebhookDelivery // newest first
	for i := range 9 {
		d := core.NewDelivery("acme", e.ID, core.PingEvent(core.WebhookEventID(fmt.Sprint("ping_", 9-i)), e, at(30-i/3))) // three of each minute
		if i%3 == 1 {
			d.Status, d.DueAt = core.DeliveryGivenUp, time.Time{}
		}
		want = append(want, d)
	}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for i := range want {
			if err := tx.WebhookDeliveries().Insert(ctx, want[(i*4)%len(want)]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, status := range []core.DeliveryStatus{"", core.DeliveryPending, core.DeliveryGivenUp, core.DeliveryDelivered} {
		var left, got []core.WebhookDelivery
		for _, d := range want {
			if status == "" || d.Status == status {
				left = append(left, d)
			}
		}
		filter := ports.DeliveryFilter{Endpoint: e.ID, Status: status, Limit: 2}
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for {
				page, err := tx.WebhookDeliveries().List(ctx, filter)
				require.NoError(t, err)
				if len(page) == 0 {
					return nil
				}
				require.LessOrEqual(t, len(page), 2)
				got = append(got, page...)
				last := page[len(page)-1].Event
				filter.Before = ports.DeliveryCursor{At: last.At, ID: last.ID}
			}
		})
		equal(t, left, got, "status %q", status)
	}
}

func testSweepDeliveries(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	ctx := bounded(t)
	for _, tenant := range []core.TenantID{"acme", "beta"} {
		bare(t, s, tenant)
		endpoint(t, s, tenant, "a", core.NotPaused, core.EventRunClosed)
		for i := range 10 {
			tell(t, s, tenant, event(tenant, fmt.Sprint("run-", i), core.RunFailed, 10+i))
		}
	}
	commit(t, s, "beta", func(ctx context.Context, tx ports.Tx) error { return tx.WebhookEndpoints().Delete(ctx, "a") })
	same(t, 0)(s.SweepDeliveries(ctx, at(10), 100)) // not at that very moment
	same(t, 0)(s.SweepDeliveries(ctx, at(15), 0))
	same(t, 3)(s.SweepDeliveries(ctx, at(15), 3))
	total := make([]int, 4)
	for i, err := range together(t, len(total), func(i int) (err error) {
		total[i], err = s.SweepDeliveries(ctx, at(15), 100)
		return err
	}) {
		require.NoError(t, err, i)
	}
	n, err := s.SweepDeliveries(ctx, at(15), 100) // what the others passed over
	require.NoError(t, err)
	require.Equal(t, 7, total[0]+total[1]+total[2]+total[3]+n)
	for _, tenant := range []core.TenantID{"acme", "beta"} {
		left := deliveries(t, s, tenant, "a")
		require.Len(t, left, 5)
		for _, d := range left {
			require.False(t, d.Event.At.Before(at(15)))
		}
	}
	empty(t)(s.DueEndpoints(ctx, at(9), ports.EndpointKey{}, 10))
	same(t, []ports.EndpointKey{{Tenant: "acme", Endpoint: "a"}})(s.DueEndpoints(ctx, at(90), ports.EndpointKey{}, 10))
	same(t, 10)(s.SweepDeliveries(ctx, at(100), 100))
	empty(t)(s.DueEndpoints(ctx, at(90), ports.EndpointKey{}, 10))
}

func testLowCredits(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	read := func(ctx context.Context, tx ports.Tx, want core.LowCredits) {
		t.Helper()
		same(t, want)(tx.WebhookEvents().LowCredits(ctx))
	}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		read(ctx, tx, core.LowCredits{})
		_, err := tx.Ledger().BalanceForUpdate(ctx, march)
		require.NoError(t, err)
		read(ctx, tx, core.LowCredits{})
		require.NoError(t, tx.WebhookEvents().SaveLowCredits(ctx, core.LowCredits{Threshold: 5}))
		read(ctx, tx, core.LowCredits{Threshold: 5})
		_, err = tx.Ledger().Post(ctx, purchase("acme", "client/p", 7))
		require.NoError(t, err)
		read(ctx, tx, core.LowCredits{Threshold: 5})
		require.NoError(t, tx.WebhookEvents().SaveLowCredits(ctx, core.LowCredits{Threshold: 5, Told: true}))
		return nil
	})
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		balance, err := tx.Ledger().BalanceForUpdate(ctx, march)
		require.NoError(t, err)
		require.EqualValues(t, 7, balance.Purchased)
		read(ctx, tx, core.LowCredits{Threshold: 5, Told: true})
		return nil
	})
}
