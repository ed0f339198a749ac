package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// What is sent at once. One endpoint that does not answer holds its own places and no
// others, one that fails a single one, and all of a tenant's a part of what there is.
const (
	webhookPlaces      = 128
	webhookPerTenant   = 32
	webhookPerEndpoint = 4
	// webhookSpare is how many places a tenant's endpoints have besides the first of each,
	// which is always there for it: so none of them waits for another one's.
	webhookSpare = webhookPerTenant - core.MaxWebhookEndpoints
	// webhookPage is how many endpoints are looked at with one statement.
	webhookPage = 100
	// webhookEvery is how often what is due is looked for if nothing says that there is
	// something: what is tried again, and what other servers left.
	webhookEvery = 5 * time.Second
	// webhookPause is the least time between two looks, so that a server under load, which
	// closes runs all the time, asks no more often.
	webhookPause = 200 * time.Millisecond
	// webhookRest is the least time between two looks in what the statements of the look
	// before took, up to webhookEvery: with very many endpoints a look is dear, and what a
	// server does all the time may be for none of them.
	webhookRest = 20
	// webhookGrace is how long sends may go on after the stop.
	webhookGrace = 5 * time.Second
)

// webhooks sends events to tenants' endpoints, until ctx ends. Any number of servers may do
// so on one store.
type webhooks struct {
	w *Worker

	mu      sync.Mutex
	atWork  map[ports.EndpointKey]*endpointAtWork
	tenants map[core.TenantID]*tenantAtWork
	total   int
	full    bool // an endpoint waits for a place

	again   chan struct{} // has one if there may be something to begin since it was read
	cursor  ports.EndpointKey
	asked   time.Duration // what the statements of a look took
	sending sync.WaitGroup
}

// endpointAtWork is an endpoint that has places.
type endpointAtWork struct {
	places  int
	failing bool // when something was claimed for it last
}

// tenantAtWork is a tenant whose endpoints have places.
type tenantAtWork struct{ places, endpoints int }

func (w *Worker) sendWebhooks(ctx context.Context) {
	h := &webhooks{
		w: w, atWork: map[ports.EndpointKey]*endpointAtWork{}, tenants: map[core.TenantID]*tenantAtWork{}, again: make(chan struct{}, 1),
	}
	sends, stop := context.WithCancel(w.base)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(webhookGrace, stop)
	})()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		h.asked = 0
		if err := w.guard(func() error { return h.look(ctx, sends) }); err != nil && ctx.Err() == nil {
			w.log.Warn("looking for webhooks to send failed, will try again", "error", err)
		}
		if w.clock.Sleep(ctx, min(max(webhookPause, webhookRest*h.asked), webhookEvery)) != nil {
			break
		}
		timer.Reset(webhookEvery)
		select {
		case <-ctx.Done():
		case <-w.svc.Told():
		case <-h.again:
		case <-timer.C:
		}
	}
	h.sending.Wait()
}

// look begins to send what is due, as far as there are places, once around all endpoints
// from where the last look ended.
func (h *webhooks) look(ctx, sends context.Context) error {
	h.setFull(false)
	begun := h.cursor
	for wrapped := begun == (ports.EndpointKey{}); ; {
		keys, missing := h.due(ctx)
		if missing != nil && !errors.Is(missing, ports.ErrIncomplete) {
			return missing
		}
		for _, key := range keys {
			n, places := h.take(key)
			if !places {
				h.setFull(true)
				return missing
			}
			h.cursor = key
			if n == 0 {
				continue
			}
			if err := h.begin(ctx, sends, key, n); err != nil {
				return err
			}
		}
		if len(keys) == webhookPage {
			continue
		}
		h.cursor = ports.EndpointKey{}
		if wrapped {
			return missing
		}
		wrapped = true
	}
}

func (h *webhooks) due(ctx context.Context) ([]ports.EndpointKey, error) {
	began := h.w.clock.Now()
	defer func() { h.asked += h.w.clock.Now().Sub(began) }()
	return h.w.svc.DueWebhooks(ctx, h.cursor, webhookPage)
}

// begin claims up to n deliveries, for which places were taken, and sends them. Who holds
// the endpoint is passed over, since others wait for the look, which comes again soon.
func (h *webhooks) begin(ctx, sends context.Context, key ports.EndpointKey, n int) (err error) {
	var claimed []app.WebhookShipment
	defer func() { h.giveBack(key, n-len(claimed)) }()
	if claimed, err = h.w.svc.ClaimWebhooks(ctx, key, n, app.SkipLocked); err != nil {
		return err
	}
	if len(claimed) == 0 {
		h.lookAgain()
		return nil
	}
	h.note(key, claimed[0])
	for _, first := range claimed {
		h.sending.Go(func() { h.send(ctx, sends, key, first) })
	}
	return nil
}

// send sends one delivery, and then the next of the same endpoint until there is none or
// others wait. For the endpoint's row it waits: those who hold it are mostly the endpoint's
// other senders, which record what they have sent.
func (h *webhooks) send(ctx, sends context.Context, key ports.EndpointKey, next app.WebhookShipment) {
	left := false
	defer func() {
		if !left {
			h.giveBack(key, 1)
		}
	}()
	for {
		if err := h.w.guard(func() error { return h.w.svc.SendWebhook(sends, next) }); err != nil {
			h.w.log.Warn("what became of a webhook was not recorded, it will be sent again", "tenant", key.Tenant, "endpoint", key.Endpoint, "event", next.Delivery.Event.ID, "error", err)
			h.lookAgain()
			return
		}
		if ctx.Err() != nil {
			return
		}
		if left = h.leave(key); left {
			return
		}
		claimed, err := h.w.svc.ClaimWebhooks(ctx, key, 1, app.WaitForLock)
		if err != nil {
			h.lookAgain() // which meets the error again
			return
		}
		if len(claimed) == 0 {
			return
		}
		next = claimed[0]
		h.note(key, next)
	}
}

// take takes as many places as an endpoint may have; places is false if there are none left.
func (h *webhooks) take(key ports.EndpointKey) (n int, places bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= webhookPlaces {
		return 0, false
	}
	e, t := h.atWork[key], h.tenants[key.Tenant]
	if t == nil {
		t = &tenantAtWork{}
	}
	spare := webhookSpare - (t.places - t.endpoints)
	switch {
	case e == nil:
		e = &endpointAtWork{}
		n = 1 + min(webhookPerEndpoint-1, max(spare, 0))
	case e.failing:
		return 0, true
	default:
		n = min(webhookPerEndpoint-e.places, max(spare, 0))
	}
	n = min(n, webhookPerTenant-t.places, webhookPlaces-h.total)
	if n == 0 {
		return 0, true
	}
	if e.places == 0 {
		h.atWork[key], h.tenants[key.Tenant] = e, t
		t.endpoints++
	}
	e.places += n
	t.places += n
	h.total += n
	return n, true
}

// leave gives a sender's place back if others wait for one, or if the endpoint fails, which
// has one sender.
func (h *webhooks) leave(key ports.EndpointKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.atWork[key]
	if !h.full && (!e.failing || e.places <= 1) {
		return false
	}
	h.free(key, 1)
	return true
}

func (h *webhooks) giveBack(key ports.EndpointKey, n int) {
	if n == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free(key, n)
}

// free gives places back. The caller holds mu.
func (h *webhooks) free(key ports.EndpointKey, n int) {
	e, t := h.atWork[key], h.tenants[key.Tenant]
	h.total -= n
	t.places -= n
	if e.places -= n; e.places == 0 {
		delete(h.atWork, key)
		if t.endpoints--; t.endpoints == 0 {
			delete(h.tenants, key.Tenant)
		}
	}
	if h.full {
		h.lookAgain()
	}
}

// note keeps whether an endpoint failed when something was claimed for it. One that fails
// no more may have more senders.
func (h *webhooks) note(key ports.EndpointKey, claimed app.WebhookShipment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, failing := h.atWork[key], !claimed.Endpoint.FailingSince.IsZero()
	if e.failing && !failing {
		h.lookAgain()
	}
	e.failing = failing
}

func (h *webhooks) lookAgain() {
	select {
	case h.again <- struct{}{}:
	default:
	}
}

func (h *webhooks) setFull(full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = full
}

// sweepWebhooks removes events that are old enough.
func (w *Worker) sweepWebhooks(ctx context.Context) error {
	removed, err := w.svc.SweepWebhooks(ctx)
	if removed > 0 {
		w.log.Info("old webhook events removed", "events", removed)
	}
	return err
}
