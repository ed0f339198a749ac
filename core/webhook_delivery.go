package core

import (
	"errors"
	"slices"
	"time"
)

// DeliveryStatus is how far the delivery of an event to an endpoint is.
type DeliveryStatus string

const (
	DeliveryPending   DeliveryStatus = "pending"   // it is tried at DueAt, or being tried
	DeliveryDelivered DeliveryStatus = "delivered" // the endpoint has answered 2xx
	DeliveryGivenUp   DeliveryStatus = "given_up"  // it was tried often enough; by hand it can be sent again
)

// MaxDeliveryLog is how many tries of a delivery are kept, the latest.
const MaxDeliveryLog = 20

// WebhookDelivery is one event on its way to one endpoint. All of it changes under the
// endpoint's lock.
type WebhookDelivery struct {
	Tenant   TenantID
	Endpoint WebhookEndpointID
	Event    WebhookEvent
	Status   DeliveryStatus
	// Claim counts how often a server took it to try it. The result of an older claim has
	// no effect.
	Claim int
	Tries int       // that failed since it was written, or sent again by hand
	DueAt time.Time // of one that is pending; while it is being tried, when that is taken for lost
	Log   []DeliveryTry
}

// DeliveryTry is what became of one try. Stores keep it as JSON, under these names.
type DeliveryTry struct {
	Number int // of the claim
	At     time.Time
	Took   time.Duration
	Status int    // of HTTP; 0 if there was no answer
	Error  string // why there was none; empty if there was
	Answer string // its first bytes
}

// Delivered reports whether the endpoint has taken the event.
func (t DeliveryTry) Delivered() bool { return t.Error == "" && t.Status >= 200 && t.Status <= 299 }

// statusGone says that the endpoint wants nothing more, ever.
const statusGone = 410

// successEvery is how exact the time of the last success is, so that an endpoint's row is
// not written with each delivery.
const successEvery = time.Minute

// NewDelivery is the delivery of an event that was written just now.
func NewDelivery(tenant TenantID, to WebhookEndpointID, e WebhookEvent) WebhookDelivery {
	return WebhookDelivery{Tenant: tenant, Endpoint: to, Event: e, Status: DeliveryPending, DueAt: e.At}
}

// DeliveryPolicy says when deliveries are tried, and when an endpoint is paused.
type DeliveryPolicy struct {
	// Waits are how long to wait after the first failure, the second and so on. After as
	// many failures and one more a delivery is given up.
	Waits []time.Duration
	// Jitter is by what part of itself a wait is prolonged at most, so that what failed at
	// the same time does not come back at the same time.
	Jitter float64
	// MaxWait bounds the wait that an endpoint asks for by Retry-After.
	MaxWait time.Duration
	// Lease is how long a try may take before it is taken for lost.
	Lease time.Duration
	// PauseAfter is after how long without a success an endpoint that fails is paused.
	PauseAfter time.Duration
}

// DefaultDeliveryPolicy has the waits that Standard Webhooks recommend: three days in all.
func DefaultDeliveryPolicy() DeliveryPolicy {
	return DeliveryPolicy{
		Waits: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		Jitter:     0.2,
		MaxWait:    24 * time.Hour,
		Lease:      time.Minute,
		PauseAfter: 3 * 24 * time.Hour,
	}
}

// Validate refuses a policy that never sends, or for ever.
func (p DeliveryPolicy) Validate() error {
	if p.Jitter < 0 || p.MaxWait < 0 || p.Lease <= 0 || p.PauseAfter <= 0 || len(p.Waits) > MaxDeliveryLog ||
		slices.ContainsFunc(p.Waits, func(w time.Duration) bool { return w < 0 }) {
		return errors.New("delivery policy: Lease and PauseAfter must be above 0, nothing below, and Waits at most 20")
	}
	return nil
}

// ClaimDelivery takes a due delivery for a try. Who does not come back with a result in
// time has lost it.
func ClaimDelivery(d WebhookDelivery, p DeliveryPolicy, now time.Time) WebhookDelivery {
	d.Claim++
	d.DueAt = now.Add(p.Lease)
	return d
}

// Tried is what a try ends with: the endpoint and the delivery as they are then. roll is a
// random number in [0, 1) that the caller draws; retryAfter the wait that the endpoint asks
// for. ok is false if the delivery is not that of this claim any more: nothing changes.
func (p DeliveryPolicy) Tried(e WebhookEndpoint, d WebhookDelivery, try DeliveryTry, retryAfter time.Duration, roll float64, now time.Time) (WebhookEndpoint, WebhookDelivery, bool) {
	if d.Status != DeliveryPending || d.Claim != try.Number {
		return e, d, false
	}
	d.Log = append(slices.Clone(d.Log), try)
	d.Log = d.Log[max(0, len(d.Log)-MaxDeliveryLog):]
	if try.Delivered() {
		d.Status, d.DueAt = DeliveryDelivered, time.Time{}
		if !e.FailingSince.IsZero() || now.Sub(e.SucceededAt) >= successEvery {
			e.FailingSince, e.SucceededAt = time.Time{}, now
		}
		return e, d, true
	}
	d.Tries++
	if e.FailingSince.IsZero() {
		e.FailingSince = now
	}
	switch {
	case try.Status == statusGone:
		d.Status, d.DueAt = DeliveryGivenUp, time.Time{}
		e = e.fails(PausedGone, now)
	case d.Tries > len(p.Waits):
		d.Status, d.DueAt = DeliveryGivenUp, time.Time{}
	default:
		wait := p.Waits[d.Tries-1]
		wait += time.Duration(p.Jitter * roll * float64(wait))
		d.DueAt = now.Add(max(wait, min(retryAfter, p.MaxWait)))
	}
	if now.Sub(e.FailingSince) >= p.PauseAfter {
		e = e.fails(PausedFails, now)
	}
	return e, d, true
}

// fails pauses an endpoint that is not paused.
func (e WebhookEndpoint) fails(why EndpointPause, now time.Time) WebhookEndpoint {
	if e.Pause == NotPaused {
		e.Pause, e.PausedAt, e.UpdatedAt = why, now, now
	}
	return e
}

// SendAgain lets a delivery begin anew, by hand, whatever became of it. One that is being
// tried at the moment is tried again beside that.
func (d WebhookDelivery) SendAgain(now time.Time) WebhookDelivery {
	d.Status, d.Tries, d.DueAt = DeliveryPending, 0, now
	d.Claim++ // so that the result of a try under way does not end it
	return d
}
