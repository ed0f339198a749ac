package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// WebhooksEnabled reports whether this Service can send webhooks.
func (s *Service) WebhooksEnabled() bool { return s.sender != nil }

func (s *Service) checkTarget(url string) error {
	if s.sender == nil {
		return nil // it is not sent to by this server
	}
	if err := s.sender.Check(url); err != nil {
		return core.InvalidField("url", "%s", err.Error())
	}
	return nil
}

// WebhookEndpoints lists a tenant's endpoints, ascending by ID. They have their secrets,
// which are shown to nobody.
func (s *Service) WebhookEndpoints(ctx context.Context, actor core.Actor, tenant core.TenantID) ([]core.WebhookEndpoint, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return nil, err
	}
	var list []core.WebhookEndpoint
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		list, err = tx.WebhookEndpoints().List(ctx)
		return err
	})
	return list, err
}

// WebhookEndpoint reads one endpoint. CodeWebhookEndpointNotFound.
func (s *Service) WebhookEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.WebhookEndpoint{}, err
	}
	var e core.WebhookEndpoint
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		e, err = tx.WebhookEndpoints().Get(ctx, id)
		return notFound(err, endpointNotFound(id))
	})
	return e, err
}

// WebhookChange is what may be changed of an endpoint; nil leaves it as it is.
type WebhookChange struct {
	URL, Description *string
	Types            []core.WebhookEventType
	Paused           *bool
}

// UpdateWebhookEndpoint changes an endpoint, pauses it or enables it again. What is pending
// then goes to the new address. Refusals: those of CreateWebhookEndpoint, and
// CodeWebhookEndpointNotFound.
func (s *Service) UpdateWebhookEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, change WebhookChange) (core.WebhookEndpoint, error) {
	if change.URL != nil {
		if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
			return core.WebhookEndpoint{}, err
		}
		if err := s.checkTarget(*change.URL); err != nil {
			return core.WebhookEndpoint{}, err
		}
	}
	return s.changeEndpoint(ctx, actor, tenant, id, core.AuditWebhookChanged, func(e core.WebhookEndpoint, now time.Time) (core.WebhookEndpoint, error) {
		spec := core.WebhookSpec{URL: e.URL, Description: e.Description, Types: e.Types}
		if change.URL != nil {
			spec.URL = *change.URL
		}
		if change.Description != nil {
			spec.Description = *change.Description
		}
		if change.Types != nil {
			spec.Types = change.Types
		}
		e, err := e.Change(spec, now)
		if err == nil && change.Paused != nil {
			e = e.SetPaused(*change.Paused, now)
		}
		return e, err
	})
}

func (s *Service) changeEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, deed core.AuditAction, change func(core.WebhookEndpoint, time.Time) (core.WebhookEndpoint, error)) (core.WebhookEndpoint, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.WebhookEndpoint{}, err
	}
	var e core.WebhookEndpoint
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) (err error) {
		e, err = s.saveEndpoint(ctx, tx, actor, tenant, id, deed, change)
		return err
	})
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	s.toldSomething() // it may be enabled again
	return e, nil
}

// saveEndpoint changes an endpoint under its lock, and records who did.
func (s *Service) saveEndpoint(ctx context.Context, tx ports.Tx, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, deed core.AuditAction, change func(core.WebhookEndpoint, time.Time) (core.WebhookEndpoint, error)) (core.WebhookEndpoint, error) {
	before, err := tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, id)
	if err != nil {
		return before, notFound(err, endpointNotFound(id))
	}
	now := s.clock.Now()
	e, err := change(before, now)
	if err != nil {
		return e, err
	}
	if err := tx.WebhookEndpoints().Save(ctx, e); err != nil {
		return e, err
	}
	facts := endpointChange(before, e)
	if len(facts) == 0 && deed == core.AuditWebhookChanged {
		return e, nil // as it was: nothing was done
	}
	return e, s.audit(ctx, tx, tenant, actor, now, deed, string(id), facts)
}

// DeleteWebhookEndpoint removes an endpoint with its secrets; what is pending is not sent
// any more. CodeWebhookEndpointNotFound.
func (s *Service) DeleteWebhookEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID) error {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return err
	}
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		e, err := tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, id)
		if err != nil {
			return notFound(err, endpointNotFound(id))
		}
		if err := tx.WebhookEndpoints().Delete(ctx, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, tenant, actor, s.clock.Now(), core.AuditWebhookRemoved, string(id), endpointFacts(e))
	})
	if err == nil {
		s.log.Info("webhook endpoint removed", "tenant", tenant, "endpoint", id, "by", actor.Subject)
	}
	return err
}

// LowCredits reads when a tenant is warned that its credits are low.
func (s *Service) LowCredits(ctx context.Context, actor core.Actor, tenant core.TenantID) (core.LowCredits, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.LowCredits{}, err
	}
	var low core.LowCredits
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		low, err = tx.WebhookEvents().LowCredits(ctx)
		return notFound(err, tenantNotFound(tenant))
	})
	return low, err
}

// SetLowCredits says below how many credits a tenant is warned, once each time that a charge
// takes them there; 0 never warns.
func (s *Service) SetLowCredits(ctx context.Context, actor core.Actor, tenant core.TenantID, threshold core.Credits) (core.LowCredits, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.LowCredits{}, err
	}
	if threshold < 0 {
		return core.LowCredits{}, core.InvalidField("threshold", "must be 0 or more credits")
	}
	low := core.LowCredits{Threshold: threshold}
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		if _, _, err := s.lockBalance(ctx, tx, tenant); err != nil {
			return err
		}
		before, err := tx.WebhookEvents().LowCredits(ctx)
		if err != nil {
			return err
		}
		if err := tx.WebhookEvents().SaveLowCredits(ctx, low); err != nil {
			return err
		}
		if before.Threshold == threshold {
			return nil // a repeat is no deed
		}
		return s.audit(ctx, tx, tenant, actor, s.clock.Now(), core.AuditLowCreditsChanged, string(tenant), core.AuditFacts{
			"from": creditsText(before.Threshold), "to": creditsText(threshold),
		})
	})
	return low, err
}

// pingsLook is among how many of the latest deliveries that are pending pings are counted.
const pingsLook = 100

// PingWebhookEndpoint sends an event to one endpoint that tells nothing, so that its owner
// sees that it works, once per idempotency key (WithIdempotency).
// CodeWebhookEndpointNotFound, CodeWebhookEndpointPaused, CodeTooManyPings.
func (s *Service) PingWebhookEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID) (core.WebhookDelivery, error) {
	ping, err := newID[core.WebhookEventID](s.ids)
	if err != nil {
		return core.WebhookDelivery{}, err
	}
	d := deed{tenant: tenant, op: core.OperationPingWebhook, request: id}
	return s.toEndpoint(ctx, actor, d, id, func(tx ports.Tx, e core.WebhookEndpoint) (core.WebhookDelivery, error) {
		pending, err := tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: id, Status: core.DeliveryPending, Limit: pingsLook})
		if err != nil {
			return core.WebhookDelivery{}, err
		}
		pings := 0
		for i := range pending {
			if pending[i].Event.Type == core.EventPing {
				pings++
			}
		}
		if pings >= core.MaxWebhookPings {
			return core.WebhookDelivery{}, &core.Error{
				Code:    core.CodeTooManyPings,
				Message: fmt.Sprintf("%d pings to this endpoint are pending; see what becomes of them first", pings),
			}
		}
		d := core.NewDelivery(tenant, id, core.PingEvent("ping_"+ping, e, s.clock.Now()))
		return d, tx.WebhookDeliveries().Insert(ctx, d)
	})
}

// Redeliver sends an event to an endpoint again, whatever became of it, once per idempotency
// key (WithIdempotency).
// CodeWebhookEndpointNotFound, CodeWebhookEndpointPaused, CodeWebhookDeliveryNotFound.
func (s *Service) Redeliver(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, event core.WebhookEventID) (core.WebhookDelivery, error) {
	d := deed{tenant: tenant, op: core.OperationRedeliver, request: struct {
		Endpoint core.WebhookEndpointID
		Event    core.WebhookEventID
	}{id, event}}
	return s.toEndpoint(ctx, actor, d, id, func(tx ports.Tx, _ core.WebhookEndpoint) (core.WebhookDelivery, error) {
		d, err := tx.WebhookDeliveries().Get(ctx, id, event)
		if err != nil {
			return d, notFound(err, deliveryNotFound(event))
		}
		d = d.SendAgain(s.clock.Now())
		return d, tx.WebhookDeliveries().Save(ctx, d)
	})
}

// toEndpoint writes a delivery to an endpoint that is enabled, under its lock.
func (s *Service) toEndpoint(ctx context.Context, actor core.Actor, d deed, id core.WebhookEndpointID, write func(ports.Tx, core.WebhookEndpoint) (core.WebhookDelivery, error)) (core.WebhookDelivery, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, d.tenant); err != nil {
		return core.WebhookDelivery{}, err
	}
	written, err := once(ctx, s, d, func(tx ports.Tx) (core.WebhookDelivery, error) {
		e, err := tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, id)
		if err != nil {
			return core.WebhookDelivery{}, notFound(err, endpointNotFound(id))
		}
		if e.Pause != core.NotPaused {
			return core.WebhookDelivery{}, &core.Error{Code: core.CodeWebhookEndpointPaused, Message: "the endpoint is paused; enable it first"}
		}
		return write(tx, e)
	})
	if err == nil {
		s.toldSomething()
	}
	return written, err
}

// WebhookDeliveries lists what was sent or is to be sent to an endpoint, newest first.
// CodeWebhookEndpointNotFound.
func (s *Service) WebhookDeliveries(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.DeliveryFilter) ([]core.WebhookDelivery, error) {
	var list []core.WebhookDelivery
	err := s.viewEndpoint(ctx, actor, tenant, filter.Endpoint, func(tx ports.Tx) (err error) {
		list, err = tx.WebhookDeliveries().List(ctx, filter)
		return err
	})
	return list, err
}

// WebhookDelivery reads one delivery. CodeWebhookEndpointNotFound, CodeWebhookDeliveryNotFound.
func (s *Service) WebhookDelivery(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, event core.WebhookEventID) (core.WebhookDelivery, error) {
	var d core.WebhookDelivery
	err := s.viewEndpoint(ctx, actor, tenant, id, func(tx ports.Tx) (err error) {
		d, err = tx.WebhookDeliveries().Get(ctx, id, event)
		return notFound(err, deliveryNotFound(event))
	})
	return d, err
}

func (s *Service) viewEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID, view func(ports.Tx) error) error {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return err
	}
	return s.store.View(ctx, tenant, func(tx ports.Tx) error {
		if _, err := tx.WebhookEndpoints().Get(ctx, id); err != nil {
			return notFound(err, endpointNotFound(id))
		}
		return view(tx)
	})
}

func endpointNotFound(id core.WebhookEndpointID) *core.Error {
	return &core.Error{Code: core.CodeWebhookEndpointNotFound, Message: fmt.Sprintf("there is no webhook endpoint %.64q", id)}
}

func deliveryNotFound(id core.WebhookEventID) *core.Error {
	return &core.Error{Code: core.CodeWebhookDeliveryNotFound, Message: fmt.Sprintf("there is no delivery of an event %.80q to this endpoint, or it was swept", id)}
}

var errNoSender = errors.New("app: Deps.Webhooks is required to send webhooks")
