package app

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// DueWebhooks lists endpoints to which something is to be sent, see ports.AllWebhooks.
func (s *Service) DueWebhooks(ctx context.Context, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	if s.sender == nil {
		return nil, errNoSender
	}
	return s.store.DueEndpoints(ctx, s.clock.Now(), after, limit)
}

// WebhookShipment is a delivery that was claimed by this server, to be sent at once.
type WebhookShipment struct {
	Endpoint core.WebhookEndpoint // as it was then
	Delivery core.WebhookDelivery
}

// ClaimWebhooks claims up to limit deliveries that are due to an endpoint, for this server
// alone. There is none if the endpoint is paused or gone, or, with SkipLocked, if another
// transaction has it at that moment. Of an endpoint that fails one is claimed at a time.
func (s *Service) ClaimWebhooks(ctx context.Context, key ports.EndpointKey, limit int, wait ports.Wait) ([]WebhookShipment, error) {
	var claimed []WebhookShipment
	err := s.store.InTx(ctx, key.Tenant, func(tx ports.Tx) error {
		claimed = nil
		e, err := tx.WebhookEndpoints().Lock(ctx, wait, key.Endpoint)
		if errors.Is(err, ports.ErrNotFound) || err == nil && e.Pause != core.NotPaused {
			return nil
		}
		if err != nil {
			return err
		}
		if !e.FailingSince.IsZero() {
			limit = min(limit, 1)
		}
		now := s.clock.Now()
		due, err := tx.WebhookDeliveries().Due(ctx, key.Endpoint, now, limit)
		if err != nil || len(due) == 0 {
			return err
		}
		for i := range due {
			due[i] = core.ClaimDelivery(due[i], s.opts.Webhooks, now)
			claimed = append(claimed, WebhookShipment{Endpoint: e, Delivery: due[i]})
		}
		return tx.WebhookDeliveries().Save(ctx, due...)
	})
	if errors.Is(err, ports.ErrMoved) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// SendWebhook sends what was claimed and records what became of it. It is sent at least
// once: what a crash does not let be recorded is sent again when its lease has run out. An
// error is the store's; what the endpoint does is no error.
func (s *Service) SendWebhook(ctx context.Context, w WebhookShipment) error {
	if s.sender == nil {
		return errNoSender
	}
	began := s.clock.Now()
	try := core.DeliveryTry{Number: w.Delivery.Claim, At: began}
	var answer ports.WebhookAnswer
	signature, err := core.SignWebhook(w.Endpoint.Secrets(began), w.Delivery.Event.ID, began, w.Delivery.Event.Body)
	if err == nil {
		answer, err = s.sender.Send(ctx, ports.WebhookRequest{
			URL: w.Endpoint.URL, ID: w.Delivery.Event.ID, At: began, Signature: signature, Body: w.Delivery.Event.Body,
		})
	}
	if ended(ctx, err) {
		return nil // the server stops: the endpoint is not at fault, and another server will send it
	}
	now := s.clock.Now()
	try.Took, try.Status, try.Answer = now.Sub(began), answer.Status, answer.Body
	if err != nil {
		try.Error = err.Error()
	}
	return s.recordTry(detached(ctx), w, try, answer.RetryAfter, now)
}

func (s *Service) recordTry(ctx context.Context, w WebhookShipment, try core.DeliveryTry, retryAfter time.Duration, now time.Time) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	id, roll := w.Endpoint.ID, s.opts.Roll()
	var was, is core.WebhookEndpoint
	err := s.store.InTx(ctx, w.Endpoint.Tenant, func(tx ports.Tx) error {
		was, is = core.WebhookEndpoint{}, core.WebhookEndpoint{}
		e, err := tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, id)
		if err != nil {
			return err
		}
		d, err := tx.WebhookDeliveries().Get(ctx, id, w.Delivery.Event.ID)
		if err != nil {
			return err
		}
		after, d, ok := s.opts.Webhooks.Tried(e, d, try, retryAfter, roll, now)
		if !ok {
			return nil
		}
		was, is = e, after
		if was.Pause != is.Pause || !was.FailingSince.Equal(is.FailingSince) || !was.SucceededAt.Equal(is.SucceededAt) {
			if err := tx.WebhookEndpoints().Save(ctx, is); err != nil {
				return err
			}
		}
		return tx.WebhookDeliveries().Save(ctx, d)
	})
	if errors.Is(err, ports.ErrNotFound) || errors.Is(err, ports.ErrMoved) {
		return nil // removed meanwhile, or sent again from where the tenant lives by then
	}
	if err != nil {
		return err
	}
	if try.Delivered() {
		s.stats.webhooksDelivered.Add(1)
		return nil
	}
	s.stats.webhookFailures.Add(1)
	if was.Pause == core.NotPaused && is.Pause != core.NotPaused {
		s.stats.webhooksPaused.Add(1)
		s.log.Warn("webhook endpoint paused", "tenant", is.Tenant, "endpoint", is.ID, "why", is.Pause, "failing_since", is.FailingSince, "status", try.Status)
	}
	return nil
}

// sweepDeliveries is how many deliveries one statement removes.
const sweepDeliveries = 1000

// SweepWebhooks removes events that are older than Options.WebhookRetention, with what
// became of them. It may run on every server at once.
func (s *Service) SweepWebhooks(ctx context.Context) (removed int, err error) {
	before := s.clock.Now().Add(-s.opts.WebhookRetention)
	for {
		n, err := s.store.SweepDeliveries(ctx, before, sweepDeliveries)
		removed += n
		if err != nil || n < sweepDeliveries {
			return removed, err
		}
	}
}
