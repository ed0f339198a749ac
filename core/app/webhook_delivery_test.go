package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// A failure is tried again, a success ends it, and by hand it is sent again.
func TestDeliveryIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint()
	w.inbox.set(func(ports.WebhookRequest) (ports.WebhookAnswer, error) {
		return ports.WebhookAnswer{Status: 503, Body: "later"}, nil
	})
	w.closedRun("c")
	w.deliver()
	first := w.inbox.take()
	require.Len(t, first, 1)
	d := w.delivery(e)
	require.Equal(t, core.DeliveryPending, d.Status)
	require.Equal(t, w.clock.Now().Add(6*time.Second), d.DueAt, "5 s and all of the jitter")
	require.Equal(t, []core.DeliveryTry{{Number: 1, At: w.clock.Now(), Status: 503, Answer: "later"}}, d.Log)

	w.inbox.set(nil)
	w.deliver()
	require.Empty(t, w.inbox.take(), "not before its time")
	w.clock.Advance(6 * time.Second)
	w.deliver()
	second := w.inbox.take()
	require.Len(t, second, 1)
	require.Equal(t, first[0].Body, second[0].Body)
	require.Equal(t, first[0].ID, second[0].ID)
	require.NotEqual(t, first[0].Signature, second[0].Signature, "the time is signed")
	d = w.delivery(e)
	require.Equal(t, core.DeliveryDelivered, d.Status)
	require.Len(t, d.Log, 2)

	_, err := w.svc.Redeliver(w.ctx, admin, acme, e.ID, d.Event.ID)
	require.NoError(t, err)
	w.deliver()
	require.Equal(t, first[0].Body, w.inbox.take()[0].Body)

	rotated, err := w.svc.RotateWebhookSecret(w.ctx, admin, acme, e.ID)
	require.NoError(t, err)
	ping, err := w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)
	require.NoError(t, err)
	w.deliver()
	sent := w.inbox.take()
	require.Len(t, sent, 1)
	require.Equal(t, ping.Event.ID, sent[0].ID)
	want, err := core.SignWebhook([]string{rotated.Secret, e.Secret}, sent[0].ID, sent[0].At, sent[0].Body)
	require.NoError(t, err)
	require.Equal(t, want, sent[0].Signature)
	w.clock.Advance(24 * time.Hour)
	_, err = w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)
	require.NoError(t, err)
	w.deliver()
	require.NotContains(t, w.inbox.take()[0].Signature, " ", "the previous secret has ended")
	require.Equal(t, int64(4), w.svc.Stats().WebhooksDelivered)
	require.Equal(t, int64(1), w.svc.Stats().WebhookFailures)
}

// A claim is one server's until its lease has run out, and its late result has no effect.
func TestDeliveryIsClaimedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint()
	w.closedRun("c")
	key := ports.EndpointKey{Tenant: acme, Endpoint: e.ID}
	first, err := w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, first, 1)
	none, err := w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
	require.NoError(t, err)
	require.Empty(t, none)
	w.clock.Advance(time.Minute)
	second, err := w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.NoError(t, w.svc.SendWebhook(w.ctx, second[0]))
	w.inbox.set(func(ports.WebhookRequest) (ports.WebhookAnswer, error) {
		return ports.WebhookAnswer{}, errors.New("no answer")
	})
	require.NoError(t, w.svc.SendWebhook(w.ctx, first[0]))
	d := w.delivery(e)
	require.Equal(t, core.DeliveryDelivered, d.Status)
	require.Len(t, d.Log, 1)

	// A server that stops in the middle leaves it to others.
	w.inbox.set(nil)
	_, err = w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)
	require.NoError(t, err)
	claimed, err := w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
	require.NoError(t, err)
	stopped, stop := context.WithCancel(w.ctx)
	stop()
	require.NoError(t, w.svc.SendWebhook(stopped, claimed[0]))
	require.Empty(t, w.delivery(e).Log)

	// What was removed meanwhile is sent to nobody's harm.
	require.NoError(t, w.svc.DeleteWebhookEndpoint(w.ctx, admin, acme, e.ID))
	require.NoError(t, w.svc.SendWebhook(w.ctx, claimed[0]))
}

// An endpoint that fails for days, or is gone, is paused; what it misses then is lost, and
// by hand it goes on.
func TestEndpointIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(1000)
	e := w.endpoint()
	read := func() core.WebhookEndpoint {
		e, err := w.svc.WebhookEndpoint(w.ctx, admin, acme, e.ID)
		require.NoError(t, err)
		return e
	}
	w.inbox.set(func(ports.WebhookRequest) (ports.WebhookAnswer, error) {
		return ports.WebhookAnswer{}, errors.New("no answer")
	})
	w.closedRun("c")
	since := w.clock.Now()
	for read().Pause == core.NotPaused {
		w.deliver()
		w.clock.Advance(time.Hour)
		require.Less(t, w.clock.Now().Sub(since), 5*24*time.Hour)
	}
	require.Equal(t, core.PausedFails, read().Pause)
	require.Equal(t, since, read().FailingSince)
	require.GreaterOrEqual(t, read().PausedAt.Sub(since), 3*24*time.Hour)
	require.Equal(t, int64(1), w.svc.Stats().WebhooksPaused)
	w.inbox.set(nil)
	w.inbox.take()
	w.closedRun("c")
	w.clock.Advance(100 * time.Hour)
	w.deliver()
	require.Empty(t, w.inbox.take())
	_, err := w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)
	require.ErrorIs(t, err, core.ErrWebhookEndpointPaused)
	_, err = w.svc.Redeliver(w.ctx, admin, acme, e.ID, w.delivery(e).Event.ID)
	require.ErrorIs(t, err, core.ErrWebhookEndpointPaused)

	set := func(paused bool) core.WebhookEndpoint {
		e, err := w.svc.UpdateWebhookEndpoint(w.ctx, admin, acme, e.ID, app.WebhookChange{Paused: &paused})
		require.NoError(t, err)
		return e
	}
	require.Zero(t, set(false).FailingSince)
	_, err = w.svc.Redeliver(w.ctx, admin, acme, e.ID, w.delivery(e).Event.ID)
	require.NoError(t, err)
	w.deliver()
	require.Len(t, w.inbox.take(), 1)

	// Paused by hand, it misses nothing.
	require.Equal(t, core.PausedByHand, set(true).Pause)
	w.closedRun("c")
	w.deliver()
	require.Empty(t, w.inbox.take())
	set(false)
	require.Equal(t, []string{"run.closed COMPLETED"}, w.told())

	w.clock.Advance(time.Second)
	w.inbox.set(func(ports.WebhookRequest) (ports.WebhookAnswer, error) { return ports.WebhookAnswer{Status: 410}, nil })
	w.closedRun("c")
	w.deliver()
	require.Equal(t, core.PausedGone, read().Pause)
	require.Equal(t, core.DeliveryGivenUp, w.delivery(e).Status)
}

// An endpoint that fails has one try at a time, whatever waits for it.
func TestFailingEndpointIsTriedOnceAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint()
	key := ports.EndpointKey{Tenant: acme, Endpoint: e.ID}
	w.closedRun("c")
	w.closedRun("c")
	w.closedRun("c")
	claimed, err := w.svc.ClaimWebhooks(w.ctx, key, 2, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, claimed, 2)
	w.inbox.set(func(ports.WebhookRequest) (ports.WebhookAnswer, error) { return ports.WebhookAnswer{Status: 500}, nil })
	require.NoError(t, w.svc.SendWebhook(w.ctx, claimed[0]))
	w.clock.Advance(time.Hour)
	claimed, err = w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
}

// Pings are bounded while they are pending, and no other events are.
func TestPingsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint()
	w.closedRun("c")
	ping := func() error { return errorOf(w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)) }
	for range core.MaxWebhookPings {
		require.NoError(t, ping())
	}
	w.closedRun("c")
	require.ErrorIs(t, ping(), core.ErrTooManyPings)
	w.deliver()
	require.Len(t, w.inbox.take(), core.MaxWebhookPings+2)
	require.NoError(t, ping())
}

func TestWebhooksAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOptions(func(o *app.Options) { o.WebhookRetention = time.Hour }))
	e := w.endpoint()
	w.closedRun("c")
	w.deliver()
	w.clock.Advance(time.Hour)
	n, err := w.svc.SweepWebhooks(w.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	w.clock.Advance(time.Second)
	n, err = w.svc.SweepWebhooks(w.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	list, err := w.svc.WebhookDeliveries(w.ctx, admin, acme, ports.DeliveryFilter{Endpoint: e.ID, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestServerWithoutWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	svc, err := app.New(app.Deps{Store: w.store, Queue: w.queue, Executor: w.script, Files: w.files, Clock: w.clock}, app.Options{})
	require.NoError(t, err)
	require.False(t, svc.WebhooksEnabled())
	_, err = svc.CreateWebhookEndpoint(w.ctx, admin, acme, core.WebhookSpec{URL: "https://example.com", Types: core.WebhookEventTypes()})
	require.ErrorIs(t, err, core.ErrWebhooksDisabled)
	_, err = svc.DueWebhooks(w.ctx, ports.EndpointKey{}, 1)
	require.Error(t, err)
	require.Error(t, svc.SendWebhook(w.ctx, app.WebhookShipment{}))
}
