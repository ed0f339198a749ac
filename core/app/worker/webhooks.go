package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// What is sent at once. One endpoint that does not answer holds its own places and no
// others, and one that fails a single one (app.Service.ClaimWebhooks).
const (
	webhookPlaces      = 128
	webhookPerEndpoint = 4
	// webhookPage is how many endpoints are looked at with one statement.
	webhookPage = 100
	// webhookEvery is how often what is due is looked for if nothing says that there is
	// something: what is tried again, and what other servers left.
	webhookEvery = 5 * time.Second
	// webhookPause is the least time between two looks, so that a server under load, which
	// closes runs all the time, asks no more often.
	webhookPause = 200 * time.Millisecond
	// webhookGrace is how long sends may go on after the stop.
	webhookGrace = 5 * time.Second
	// webhookChain is how many events are sent to an endpoint by one goroutine, one after
	// the other, before others have their turn.
	webhookChain = 50
)

// webhooks sends events to tenants' endpoints, until ctx ends. Any number of servers may do
// so on one store.
type webhooks struct {
	w *Worker

	mu     sync.Mutex
	atWork map[ports.EndpointKey]int
	total  int
	full   bool // an endpoint waits for a place

	freed   chan struct{} // has one if a place was given back since it was read
	cursor  ports.EndpointKey
	sending sync.WaitGroup
}

func (w *Worker) sendWebhooks(ctx context.Context) {
	h := &webhooks{w: w, atWork: map[ports.EndpointKey]int{}, freed: make(chan struct{}, 1)}
	sends, stop := context.WithCancel(w.base)
	defer stop()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(webhookGrace, stop)
	})()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := w.guard(func() error { return h.look(ctx, sends) }); err != nil && ctx.Err() == nil {
			w.log.Warn("looking for webhooks to send failed, will try again", "error", err)
		}
		if w.clock.Sleep(ctx, webhookPause) != nil {
			break
		}
		timer.Reset(webhookEvery)
		select {
		case <-ctx.Done():
		case <-w.svc.Told():
		case <-h.freed:
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
		keys, missing := h.w.svc.DueWebhooks(ctx, h.cursor, webhookPage)
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

// begin claims up to n deliveries, for which places were taken, and sends them.
func (h *webhooks) begin(ctx, sends context.Context, key ports.EndpointKey, n int) (err error) {
	var claimed []app.WebhookShipment
	defer func() { h.giveBack(key, n-len(claimed)) }()
	if claimed, err = h.w.svc.ClaimWebhooks(ctx, key, n); err != nil {
		return err
	}
	for _, first := range claimed {
		h.sending.Go(func() {
			defer h.giveBack(key, 1)
			h.send(ctx, sends, key, first)
		})
	}
	return nil
}

// send sends one delivery, and then the next of the same endpoint unless others wait.
func (h *webhooks) send(ctx, sends context.Context, key ports.EndpointKey, next app.WebhookShipment) {
	for range webhookChain {
		if err := h.w.guard(func() error { return h.w.svc.SendWebhook(sends, next) }); err != nil {
			h.w.log.Warn("what became of a webhook was not recorded, it will be sent again", "tenant", key.Tenant, "endpoint", key.Endpoint, "event", next.Delivery.Event.ID, "error", err)
			return
		}
		if ctx.Err() != nil || h.isFull() {
			return
		}
		claimed, err := h.w.svc.ClaimWebhooks(ctx, key, 1)
		if err != nil || len(claimed) == 0 {
			return // the next look meets the error again
		}
		next = claimed[0]
	}
}

// take takes as many places as an endpoint may have; places is false if there are none left.
func (h *webhooks) take(key ports.EndpointKey) (n int, places bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= webhookPlaces {
		return 0, false
	}
	n = min(webhookPerEndpoint-h.atWork[key], webhookPlaces-h.total)
	h.atWork[key] += n
	h.total += n
	return n, true
}

func (h *webhooks) giveBack(key ports.EndpointKey, n int) {
	if n == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total -= n
	if h.atWork[key] -= n; h.atWork[key] == 0 {
		delete(h.atWork, key)
	}
	if h.full {
		select {
		case h.freed <- struct{}{}:
		default:
		}
	}
}

func (h *webhooks) setFull(full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = full
}

func (h *webhooks) isFull() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.full
}

// sweepWebhooks removes events that are old enough.
func (w *Worker) sweepWebhooks(ctx context.Context) error {
	removed, err := w.svc.SweepWebhooks(ctx)
	if removed > 0 {
		w.log.Info("old webhook events removed", "events", removed)
	}
	return err
}
