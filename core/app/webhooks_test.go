package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// inbox is every endpoint of the tests: it keeps what it is sent and answers as it is told.
type inbox struct {
	mu     sync.Mutex
	got    []ports.WebhookRequest
	answer func(ports.WebhookRequest) (ports.WebhookAnswer, error) // nil: 200
}

func (i *inbox) Check(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("must begin with https://")
	}
	return nil
}

func (i *inbox) Send(ctx context.Context, r ports.WebhookRequest) (ports.WebhookAnswer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if ctx.Err() != nil {
		return ports.WebhookAnswer{}, ctx.Err()
	}
	i.got = append(i.got, r)
	if i.answer == nil {
		return ports.WebhookAnswer{Status: 200, Body: "ok"}, nil
	}
	return i.answer(r)
}

func (i *inbox) set(answer func(ports.WebhookRequest) (ports.WebhookAnswer, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// take gives what came since the last call.
func (i *inbox) take() []ports.WebhookRequest {
	i.mu.Lock()
	defer i.mu.Unlock()
	got := i.got
	i.got = nil
	return got
}

func (w *world) endpoint(types ...core.WebhookEventType) core.WebhookEndpoint {
	w.t.Helper()
	if len(types) == 0 {
		types = core.WebhookEventTypes()
	}
	e, err := w.svc.CreateWebhookEndpoint(w.ctx, admin, acme, core.WebhookSpec{URL: "https://example.com/hooks", Types: types})
	require.NoError(w.t, err)
	return e
}

// deliver sends all that is due.
func (w *world) deliver() {
	w.t.Helper()
	for range 100 {
		keys, err := w.svc.DueWebhooks(w.ctx, ports.EndpointKey{}, 100)
		require.NoError(w.t, err)
		if len(keys) == 0 {
			return
		}
		for _, key := range keys {
			claimed, err := w.svc.ClaimWebhooks(w.ctx, key, 10, app.SkipLocked)
			require.NoError(w.t, err)
			for _, c := range claimed {
				require.NoError(w.t, w.svc.SendWebhook(w.ctx, c))
			}
		}
	}
	require.Fail(w.t, "something is due again and again")
}

// told gives the types and statuses of what was sent, in order.
func (w *world) told() (list []string) {
	w.t.Helper()
	w.deliver()
	for _, r := range w.inbox.take() {
		var body struct {
			Type string
			Data struct {
				Status      string
				Attempt     int
				Compensated bool
			}
		}
		require.NoError(w.t, json.Unmarshal([]byte(r.Body), &body))
		line := body.Type + " " + body.Data.Status
		if body.Data.Compensated {
			line += " compensated"
		}
		list = append(list, strings.TrimSpace(line))
	}
	return list
}

func (w *world) delivery(e core.WebhookEndpoint) core.WebhookDelivery {
	w.t.Helper()
	list, err := w.svc.WebhookDeliveries(w.ctx, admin, acme, ports.DeliveryFilter{Endpoint: e.ID, Limit: 10})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, list)
	return list[0]
}

// Whatever ends an attempt tells it, once, and so does what begins one.
func TestRunsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(1000)
	w.endpoint()
	run := w.closedRun("cf")
	require.Equal(t, []string{"run.closed COMPLETED_WITH_ERRORS"}, w.told())
	w.script.set("cc")
	w.clock.Advance(time.Second)
	w.continueRun(run.ID)
	require.Equal(t, []string{"run.continued RUNNING"}, w.told())
	w.workAll()
	require.Equal(t, []string{"run.closed COMPLETED"}, w.told())

	w.mixedRun("cp")
	require.Equal(t, []string{"run.interrupted INTERRUPTED"}, w.told())
	w.closedRun("ci")
	require.Equal(t, []string{"run.interrupted INTERRUPTED"}, w.told())

	failed := w.closedRun("ff")
	require.Equal(t, []string{"run.closed FAILED"}, w.told())
	w.faultyQueue.fail(0)
	_, err := w.svc.RetryFailed(w.ctx, admin, failed.ID, app.RetryRequest{})
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.ElementsMatch(t, []string{"run.continued RUNNING", "run.closed FAILED compensated"}, w.told(), "in whatever order")
	_, err = w.svc.Initiate(w.ctx, admin, w.request(1))
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	require.Equal(t, []string{"run.closed FAILED compensated"}, w.told())
	w.faultyQueue.heal()

	// A repeat under the same key continues nothing and tells nothing.
	_, err = w.svc.RetryFailed(w.ctx, admin, failed.ID, app.RetryRequest{IdempotencyKey: "k"})
	require.NoError(t, err)
	_, err = w.svc.RetryFailed(w.ctx, admin, failed.ID, app.RetryRequest{IdempotencyKey: "k"})
	require.NoError(t, err)
	require.Equal(t, []string{"run.continued RUNNING"}, w.told())
}

// Recovery that gives up, and a fault that blocks a template, tell it as well.
func TestInterruptionsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint(core.EventRunInterrupted)
	w.initiate(1)
	for range 200 {
		w.clock.Advance(2 * time.Hour)
		if w.queue.Len() > 0 {
			w.claimNext() // and dies
		}
		_, err := w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"run.interrupted INTERRUPTED"}, w.told())

	w.initiate(1)
	closed, err := w.svc.Interrupt(w.ctx, ports.TemplateKey{Tenant: acme, Template: template}, keyRefused)
	require.NoError(t, err)
	require.Equal(t, 1, closed)
	require.Equal(t, []string{"run.interrupted INTERRUPTED"}, w.told())
}

// Low credits are told once for each crossing.
func TestLowCreditsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // 150 credits, 10 a file
	w.endpoint(core.EventCreditsLow)
	low, err := w.svc.SetLowCredits(w.ctx, admin, acme, 100)
	require.NoError(t, err)
	require.Equal(t, core.LowCredits{Threshold: 100}, low)
	w.initiate(5) // 100 left: not below
	require.Empty(t, w.told())
	w.initiate(1)
	w.deliver()
	got := w.inbox.take()
	require.Len(t, got, 1)
	require.Contains(t, got[0].Body, `"threshold":100,"available":90,"monthly":40,"purchased":50`)
	w.initiate(1)
	require.Empty(t, w.told(), "not for each charge")
	w.purchase(100)
	w.initiate(1)
	require.Empty(t, w.told())
	w.initiate(8)
	require.Equal(t, []string{"credits.low"}, w.told())

	// A month ends with what was left of its allowance: the next charge finds the credits low.
	_, err = w.svc.SetLowCredits(w.ctx, admin, acme, 20)
	require.NoError(t, err)
	w.clock.Advance(40 * 24 * time.Hour)
	w.grant(25)
	w.initiate(1)
	require.Empty(t, w.told())
	_, err = w.svc.SetLowCredits(w.ctx, admin, acme, 0)
	require.NoError(t, err)
	w.initiate(1)
	require.Empty(t, w.told())
	_, err = w.svc.SetLowCredits(w.ctx, admin, acme, -1)
	require.ErrorIs(t, err, core.ErrInvalidRequest)
}

func TestWebhookAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint()
	for who, want := range map[core.Actor]*core.Error{user: core.ErrRoleNotAllowed, stranger: core.ErrWrongTenant} {
		for name, do := range map[string]func() error{
			"create": func() error {
				_, err := w.svc.CreateWebhookEndpoint(w.ctx, who, acme, core.WebhookSpec{URL: "https://example.com", Types: core.WebhookEventTypes()})
				return err
			},
			"list": func() error { _, err := w.svc.WebhookEndpoints(w.ctx, who, acme); return err },
			"get":  func() error { _, err := w.svc.WebhookEndpoint(w.ctx, who, acme, e.ID); return err },
			"update": func() error {
				url := "http://nowhere"
				_, err := w.svc.UpdateWebhookEndpoint(w.ctx, who, acme, e.ID, app.WebhookChange{URL: &url})
				return err
			},
			"rotate": func() error { _, err := w.svc.RotateWebhookSecret(w.ctx, who, acme, e.ID); return err },
			"delete": func() error { return w.svc.DeleteWebhookEndpoint(w.ctx, who, acme, e.ID) },
			"ping":   func() error { _, err := w.svc.PingWebhookEndpoint(w.ctx, who, acme, e.ID); return err },
			"deliveries": func() error {
				_, err := w.svc.WebhookDeliveries(w.ctx, who, acme, ports.DeliveryFilter{Endpoint: e.ID, Limit: 1})
				return err
			},
			"delivery":  func() error { _, err := w.svc.WebhookDelivery(w.ctx, who, acme, e.ID, "x"); return err },
			"redeliver": func() error { _, err := w.svc.Redeliver(w.ctx, who, acme, e.ID, "x"); return err },
			"low":       func() error { _, err := w.svc.LowCredits(w.ctx, who, acme); return err },
			"set low":   func() error { _, err := w.svc.SetLowCredits(w.ctx, who, acme, 1); return err },
		} {
			require.ErrorIs(t, do(), want, "%s by %s", name, who.Subject)
		}
	}
	same, err := w.svc.WebhookEndpoint(w.ctx, platform, acme, e.ID)
	require.NoError(t, err)
	require.Equal(t, e, same)
}

func TestWebhookEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.endpoint(core.EventRunClosed)
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, e.Secret)
	_, err := w.svc.CreateWebhookEndpoint(w.ctx, admin, acme, core.WebhookSpec{URL: "http://example.com", Types: e.Types})
	require.ErrorIs(t, err, core.ErrInvalidRequest)
	require.ErrorContains(t, err, "url: must begin with https://")
	_, err = w.svc.CreateWebhookEndpoint(w.ctx, platform, "nobody", core.WebhookSpec{URL: "https://example.com", Types: e.Types})
	require.ErrorIs(t, err, core.ErrTenantNotFound)

	other, url, description := w.endpoint(), "https://example.com/other", "for the ledger"
	require.NotEqual(t, e.Secret, other.Secret)
	w.clock.Advance(time.Minute)
	changed, err := w.svc.UpdateWebhookEndpoint(w.ctx, admin, acme, e.ID, app.WebhookChange{URL: &url, Description: &description})
	require.NoError(t, err)
	require.Equal(t, url, changed.URL)
	require.Equal(t, e.Types, changed.Types)
	_, err = w.svc.UpdateWebhookEndpoint(w.ctx, admin, acme, e.ID, app.WebhookChange{Types: []core.WebhookEventType{}})
	require.ErrorIs(t, err, core.ErrInvalidRequest)
	list, err := w.svc.WebhookEndpoints(w.ctx, admin, acme)
	require.NoError(t, err)
	require.Equal(t, []core.WebhookEndpoint{changed, other}, list)

	for range core.MaxWebhookEndpoints - 2 {
		w.endpoint()
	}
	_, err = w.svc.CreateWebhookEndpoint(w.ctx, admin, acme, core.WebhookSpec{URL: "https://example.com", Types: e.Types})
	require.ErrorIs(t, err, core.ErrTooManyWebhookEndpoints)
	require.NoError(t, w.svc.DeleteWebhookEndpoint(w.ctx, admin, acme, e.ID))
	w.endpoint()
	for _, err := range []error{
		w.svc.DeleteWebhookEndpoint(w.ctx, admin, acme, e.ID),
		errorOf(w.svc.WebhookEndpoint(w.ctx, admin, acme, e.ID)), errorOf(w.svc.RotateWebhookSecret(w.ctx, admin, acme, e.ID)),
		errorOf(w.svc.PingWebhookEndpoint(w.ctx, admin, acme, e.ID)), errorOf(w.svc.WebhookDelivery(w.ctx, admin, acme, e.ID, "x")),
	} {
		require.ErrorIs(t, err, core.ErrWebhookEndpointNotFound)
	}
	_, err = w.svc.Redeliver(w.ctx, admin, acme, other.ID, "x")
	require.ErrorIs(t, err, core.ErrWebhookDeliveryNotFound)
}

func errorOf[T any](_ T, err error) error { return err }
