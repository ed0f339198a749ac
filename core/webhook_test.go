package core_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

var hookTime = time.Date(2026, 11, 27, 3, 0, 0, 123_000, time.UTC)

func closedRun(status core.RunStatus) core.Run {
	return core.Run{
		ID: "run-1", Tenant: "acme", Template: "summarize", Status: status, Attempt: 2, Epoch: 7, CreditsConsumed: 12,
		Tally: core.Tally{Completed: 3, Failed: 2, Error: 1, Unfinished: 4}, CreatedAt: hookTime.Add(-time.Hour), ClosedAt: hookTime,
	}
}

func TestWebhookEventsOfRuns(t *testing.T) {
	t.Parallel()
	for status, want := range map[core.RunStatus]core.WebhookEventType{
		core.RunCompleted: core.EventRunClosed, core.RunCompletedWithErrors: core.EventRunClosed, core.RunFailed: core.EventRunClosed,
		core.RunInterrupted: core.EventRunInterrupted,
	} {
		require.Equal(t, want, core.ClosingEvent(closedRun(status), false, hookTime).Type)
	}
	e := core.ClosingEvent(closedRun(core.RunFailed), true, hookTime)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(e.Body), &body))
	require.Equal(t, map[string]any{
		"id": string(e.ID), "type": "run.closed", "version": 1.0, "timestamp": "2026-11-27T03:00:00.000123Z",
		"data": map[string]any{
			"tenantId": "acme", "runId": "run-1", "templateId": "summarize", "attempt": 2.0, "epoch": 7.0, "status": "FAILED", "compensated": true,
			"files":           map[string]any{"total": 10.0, "completed": 3.0, "failed": 2.0, "error": 1.0, "unfinished": 4.0},
			"creditsConsumed": 12.0, "createdAt": "2026-11-27T02:00:00.000123Z", "closedAt": "2026-11-27T03:00:00.000123Z",
		},
	}, body)
	require.Equal(t, core.RunID("run-1"), e.Run)
	require.Equal(t, hookTime, e.At)

	continued := closedRun(core.RunRunning)
	continued.ClosedAt = time.Time{}
	begun := core.ContinuedEvent(continued, core.Attempt{
		Tenant: "acme", Run: "run-1", Number: 2, RequestedAt: hookTime, Files: make([]core.AttemptFile, 3),
		Charge: core.Charge{Amount: core.Split{Monthly: 4, Purchased: 1}},
	})
	require.NoError(t, json.Unmarshal([]byte(begun.Body), &body))
	data := body["data"].(map[string]any)
	require.Equal(t, 5.0, data["creditsCharged"])
	require.Equal(t, 3.0, data["filesRetried"])
	require.NotContains(t, data, "closedAt")
}

// An attempt ends once, and is told once: the ID says of which run's which attempt.
func TestWebhookEventIDs(t *testing.T) {
	t.Parallel()
	first := closedRun(core.RunFailed)
	ids := map[core.WebhookEventID]bool{core.ClosingEvent(first, false, hookTime).ID: true}
	require.Contains(t, ids, core.ClosingEvent(closedRun(core.RunInterrupted), true, hookTime.Add(time.Hour)).ID)
	for _, other := range []core.WebhookEvent{
		core.ClosingEvent(change(first, func(r *core.Run) { r.Attempt = 3 }), false, hookTime),
		core.ClosingEvent(change(first, func(r *core.Run) { r.ID = "run-2" }), false, hookTime),
		core.ClosingEvent(change(first, func(r *core.Run) { r.Tenant = "beta" }), false, hookTime),
		core.ContinuedEvent(first, core.Attempt{Number: 2}),
		core.LowCreditsEvent(core.LowCredits{}, core.Entry{Tenant: "acme", Key: "charge/run-1/2"}, core.Balance{}),
	} {
		require.NotContains(t, ids, other.ID)
		require.Regexp(t, `^evt_[0-9a-f]{32}$`, string(other.ID))
		ids[other.ID] = true
	}
}

func change(r core.Run, by func(*core.Run)) core.Run {
	by(&r)
	return r
}

// Each crossing is told, and not each charge.
func TestLowCredits(t *testing.T) {
	t.Parallel()
	balance := func(n core.Credits) core.Balance { return core.Balance{Split: core.Split{Purchased: n}} }
	for name, c := range map[string]struct {
		low           core.LowCredits
		before, after core.Credits
		told, tell    bool
	}{
		"off":                           {core.LowCredits{}, 10, 0, false, false},
		"above":                         {core.LowCredits{Threshold: 10}, 20, 10, false, false},
		"crossed":                       {core.LowCredits{Threshold: 10}, 10, 9, true, true},
		"below already":                 {core.LowCredits{Threshold: 10, Told: true}, 9, 8, true, false},
		"below untold, as after months": {core.LowCredits{Threshold: 10}, 9, 8, true, true},
		"crossed again after a refill":  {core.LowCredits{Threshold: 10, Told: true}, 30, 5, true, true},
		"above again":                   {core.LowCredits{Threshold: 10, Told: true}, 30, 25, false, false},
		"never higher":                  {core.LowCredits{Threshold: math.MaxInt64}, math.MaxInt64, math.MaxInt64 - 1, true, true},
	} {
		is, tell := c.low.After(balance(c.before), balance(c.after))
		require.Equal(t, c.tell, tell, name)
		require.Equal(t, core.LowCredits{Threshold: c.low.Threshold, Told: c.told}, is, name)
	}
}

func TestWebhookEndpoint(t *testing.T) {
	t.Parallel()
	spec := core.WebhookSpec{URL: "https://example.com", Types: []core.WebhookEventType{core.EventRunClosed, core.EventCreditsLow, core.EventRunClosed}}
	e, err := core.NewWebhookEndpoint("e", "acme", spec, "whsec_1", core.System, hookTime)
	require.NoError(t, err)
	require.Equal(t, []core.WebhookEventType{core.EventCreditsLow, core.EventRunClosed}, e.Types)
	require.True(t, e.Collects())
	for field, wrong := range map[string]core.WebhookSpec{
		"url":         {Types: spec.Types},
		"description": {URL: spec.URL, Types: spec.Types, Description: strings.Repeat("x", 501)},
		"events":      {URL: spec.URL},
		"no type":     {URL: spec.URL, Types: []core.WebhookEventType{core.EventPing}},
		"NUL":         {URL: "https://e.com/\x00", Types: spec.Types},
		"long":        {URL: "https://e.com/" + strings.Repeat("x", 2048), Types: spec.Types},
	} {
		_, err := core.NewWebhookEndpoint("e", "acme", wrong, "whsec_1", core.System, hookTime)
		require.ErrorIs(t, err, core.ErrInvalidRequest, field)
	}

	require.Equal(t, []string{"whsec_1"}, e.Secrets(hookTime))
	rotated := e.Rotate("whsec_2", hookTime)
	require.Equal(t, []string{"whsec_2", "whsec_1"}, rotated.Secrets(hookTime.Add(24*time.Hour-1)))
	require.Equal(t, []string{"whsec_2"}, rotated.Secrets(hookTime.Add(24*time.Hour)))
	require.Equal(t, []string{"whsec_3", "whsec_2"}, rotated.Rotate("whsec_3", hookTime).Secrets(hookTime))

	paused := e.SetPaused(true, hookTime.Add(time.Minute))
	require.Equal(t, core.PausedByHand, paused.Pause)
	require.True(t, paused.Collects())
	require.Equal(t, paused, paused.SetPaused(true, hookTime.Add(time.Hour)))
	gone := e
	gone.Pause, gone.PausedAt, gone.FailingSince = core.PausedGone, hookTime, hookTime
	require.False(t, gone.Collects())
	require.Equal(t, gone, gone.SetPaused(true, hookTime), "why it was paused stays")
	enabled := gone.SetPaused(false, hookTime)
	require.Equal(t, core.NotPaused, enabled.Pause)
	require.Zero(t, enabled.FailingSince)
	require.Zero(t, enabled.PausedAt)
}

func TestDeliveryTried(t *testing.T) {
	t.Parallel()
	p := core.DefaultDeliveryPolicy()
	require.NoError(t, p.Validate())
	e := core.WebhookEndpoint{ID: "e", Tenant: "acme"}
	d := core.NewDelivery("acme", "e", core.WebhookEvent{ID: "evt_1", At: hookTime})
	require.Equal(t, hookTime, d.DueAt)

	// It is tried after 5 s, 5 min, … until it is given up after three days.
	now, waits := hookTime, []time.Duration(nil)
	for d.Status == core.DeliveryPending {
		d = core.ClaimDelivery(d, p, now)
		require.Equal(t, now.Add(time.Minute), d.DueAt)
		var ok bool
		e, d, ok = p.Tried(e, d, core.DeliveryTry{Number: d.Claim, At: now, Status: 500}, 0, 0, now)
		require.True(t, ok)
		if d.Status == core.DeliveryPending {
			waits = append(waits, d.DueAt.Sub(now))
			now = d.DueAt
		}
	}
	require.Equal(t, p.Waits, waits)
	require.Equal(t, core.DeliveryGivenUp, d.Status)
	require.Zero(t, d.DueAt)
	require.Len(t, d.Log, 10)
	require.Equal(t, core.PausedFails, e.Pause, "it has failed for three days")
	require.Equal(t, hookTime, e.FailingSince)
	require.False(t, e.Collects())

	again := d.SendAgain(now)
	require.Equal(t, core.DeliveryPending, again.Status)
	require.Equal(t, now, again.DueAt)
	require.Zero(t, again.Tries)

	fresh := core.ClaimDelivery(core.NewDelivery("acme", "e", core.WebhookEvent{ID: "evt_2", At: hookTime}), p, hookTime)
	tried := func(try core.DeliveryTry, retryAfter time.Duration, roll float64) (core.WebhookEndpoint, core.WebhookDelivery) {
		t.Helper()
		try.Number = fresh.Claim
		e, d, ok := p.Tried(core.WebhookEndpoint{ID: "e", FailingSince: hookTime.Add(-time.Hour)}, fresh, try, retryAfter, roll, hookTime)
		require.True(t, ok)
		return e, d
	}
	delivered, done := tried(core.DeliveryTry{Status: 204}, 0, 0)
	require.Equal(t, core.DeliveryDelivered, done.Status)
	require.Zero(t, delivered.FailingSince)
	require.Equal(t, hookTime, delivered.SucceededAt)
	for _, try := range []core.DeliveryTry{{Status: 199}, {Status: 300}, {Status: 302}, {Status: 404}, {Error: "no answer"}, {Status: 200, Error: "no answer"}} {
		_, d := tried(try, 0, 0)
		require.Equal(t, core.DeliveryPending, d.Status)
		require.Equal(t, hookTime.Add(5*time.Second), d.DueAt)
		require.Equal(t, 1, d.Tries)
	}
	_, d = tried(core.DeliveryTry{Status: 500}, 0, 0.5)
	require.Equal(t, hookTime.Add(5500*time.Millisecond), d.DueAt, "with a part of the jitter")
	_, d = tried(core.DeliveryTry{Status: 503}, time.Hour, 0)
	require.Equal(t, hookTime.Add(time.Hour), d.DueAt)
	_, d = tried(core.DeliveryTry{Status: 503}, 1000*time.Hour, 0)
	require.Equal(t, hookTime.Add(24*time.Hour), d.DueAt, "no longer than a day")
	gone, d := tried(core.DeliveryTry{Status: 410}, 0, 0)
	require.Equal(t, core.PausedGone, gone.Pause)
	require.Equal(t, core.DeliveryGivenUp, d.Status)

	// What another claim finds out has no effect, nor what comes after the end.
	_, _, ok := p.Tried(e, fresh, core.DeliveryTry{Number: fresh.Claim - 1, Status: 200}, 0, 0, hookTime)
	require.False(t, ok)
	_, _, ok = p.Tried(e, fresh.SendAgain(hookTime), core.DeliveryTry{Number: fresh.Claim, Status: 200}, 0, 0, hookTime)
	require.False(t, ok)
	_, _, ok = p.Tried(e, done, core.DeliveryTry{Number: done.Claim, Status: 500}, 0, 0, hookTime)
	require.False(t, ok)

	// A pause by hand keeps its reason, and the log its length.
	byHand := core.WebhookEndpoint{Pause: core.PausedByHand, FailingSince: hookTime.Add(-100 * time.Hour)}
	byHand, _, _ = p.Tried(byHand, fresh, core.DeliveryTry{Number: fresh.Claim, Status: 410}, 0, 0, hookTime)
	require.Equal(t, core.PausedByHand, byHand.Pause)
	long := fresh
	long.Log = make([]core.DeliveryTry, core.MaxDeliveryLog)
	_, d, _ = p.Tried(e, long, core.DeliveryTry{Number: long.Claim, Status: 200}, 0, 0, hookTime)
	require.Len(t, d.Log, core.MaxDeliveryLog)
	require.Equal(t, 200, d.Log[core.MaxDeliveryLog-1].Status)
	require.Zero(t, long.Log[core.MaxDeliveryLog-1].Status, "the caller's own is as it was")

	for _, wrong := range []core.DeliveryPolicy{
		{},
		{Lease: time.Second},
		{Lease: time.Second, PauseAfter: time.Second, Jitter: -1},
		{Lease: time.Second, PauseAfter: time.Second, Waits: make([]time.Duration, 21)},
		{Lease: time.Second, PauseAfter: time.Second, Waits: []time.Duration{-1}},
		{Lease: time.Second, PauseAfter: time.Second, MaxWait: -1},
	} {
		require.Error(t, wrong.Validate())
	}
}

// The example of the specification of Standard Webhooks.
func TestWebhookSignature(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	at := time.Unix(1614265330, 0)
	got, err := core.SignWebhook([]string{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, `{"test": 2432232314}`)
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)

	random, err := core.WebhookSecret([]byte(strings.Repeat("r", 32)))
	require.NoError(t, err)
	both, err := core.SignWebhook([]string{random, secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, `{"test": 2432232314}`)
	require.NoError(t, err)
	require.Regexp(t, `^v1,[A-Za-z0-9+/=]{44} v1,g0hM9SsE\+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=$`, both)

	_, err = core.WebhookSecret(make([]byte, 23))
	require.Error(t, err)
	for _, wrong := range []string{"", "whsec_", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YQ=="} {
		_, err := core.SignWebhook([]string{wrong}, "m", at, "")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "MfKQ", "a secret is not shown")
	}
}
