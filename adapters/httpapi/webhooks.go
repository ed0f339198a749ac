package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// maxDeliveriesPage bounds a page of deliveries, each of which has up to 20 tries.
const maxDeliveriesPage = 100

func (a *api) webhookRoutes() []route {
	manage := onQuery(core.ActionManageWebhooks)
	return []route{
		get("/webhook-endpoints", manage, a.listWebhookEndpoints),
		post("/webhook-endpoints", manage, a.createWebhookEndpoint),
		get("/webhook-endpoints/:id", manage, a.getWebhookEndpoint),
		patch("/webhook-endpoints/:id", manage, a.patchWebhookEndpoint),
		remove("/webhook-endpoints/:id", manage, a.deleteWebhookEndpoint),
		post("/webhook-endpoints/:id/rotate-secret", manage, a.rotateWebhookSecret),
		post("/webhook-endpoints/:id/ping", manage, a.pingWebhookEndpoint),
		get("/webhook-endpoints/:id/deliveries", manage, a.listWebhookDeliveries),
		get("/webhook-endpoints/:id/deliveries/:event", manage, a.getWebhookDelivery),
		post("/webhook-endpoints/:id/deliveries/:event/redeliver", manage, a.redeliverWebhook),
		get("/low-credits", manage, a.getLowCredits),
		patch("/low-credits", manage, a.patchLowCredits),
	}
}

// endpointID is the endpoint that the path names.
func (r *request) endpointID() (core.WebhookEndpointID, error) {
	if !core.ValidID(r.id) {
		return "", refused(core.CodeWebhookEndpointNotFound, "there is no such webhook endpoint")
	}
	return core.WebhookEndpointID(r.id), nil
}

// endpointOf gives the tenant and the endpoint that a request is about.
func endpointOf(r *request) (core.TenantID, core.WebhookEndpointID, error) {
	tenant, err := r.queryTenant()
	if err != nil {
		return "", "", err
	}
	id, err := r.endpointID()
	return tenant, id, err
}

// eventID is the event that the path names.
func (r *request) eventID() (core.WebhookEventID, error) {
	if !core.ValidID(r.event) {
		return "", refused(core.CodeWebhookDeliveryNotFound, "there is no such delivery")
	}
	return core.WebhookEventID(r.event), nil
}

// listWebhookEndpoints is GET /webhook-endpoints: all of them, since they are few.
func (a *api) listWebhookEndpoints(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	list, err := a.svc.WebhookEndpoints(r.Context(), r.actor, tenant)
	if err != nil {
		return err
	}
	answer := webhookEndpointsJSON{Endpoints: []webhookEndpointJSON{}}
	for _, e := range list {
		answer.Endpoints = append(answer.Endpoints, toWebhookEndpoint(e))
	}
	return writeJSON(w, http.StatusOK, answer)
}

// createWebhookEndpoint is POST /webhook-endpoints. The answer has the secret.
func (a *api) createWebhookEndpoint(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	spec := core.WebhookSpec{URL: body.string("url"), Types: eventTypes(body)}
	if spec.Types == nil {
		body.require("events")
	}
	if description := body.optionalString("description"); description != nil {
		spec.Description = *description
	}
	if err := body.done(); err != nil {
		return err
	}
	e, err := a.svc.CreateWebhookEndpoint(r.Context(), r.actor, tenant, spec)
	if err != nil {
		return err
	}
	w.Header().Set("Location", a.cfg.Prefix+"/webhook-endpoints/"+string(e.ID))
	answer := toWebhookEndpoint(e)
	answer.Secret = e.Secret
	return writeJSON(w, http.StatusCreated, answer)
}

// eventTypes gives the field events, nil if it is not there.
func eventTypes(body *object) []core.WebhookEventType {
	v := body.take("events")
	if v == nil {
		return nil
	}
	if v.kind != kindArray || len(v.list) > len(core.WebhookEventTypes()) {
		body.refuse("events", "must be an array of types of events, each once")
		return []core.WebhookEventType{}
	}
	types := make([]core.WebhookEventType, 0, len(v.list))
	for i, element := range v.list {
		if element.kind != kindString {
			body.refuse(fmt.Sprintf("events[%d]", i), "must be a string")
		}
		types = append(types, core.WebhookEventType(element.text))
	}
	return types
}

// optionalBool gives nil if the field is not there.
func (o *object) optionalBool(name string) *bool {
	v := o.take(name)
	if v == nil {
		return nil
	}
	is := v.kind == kindTrue
	if !is && v.kind != kindFalse {
		o.refuse(name, "must be true or false")
		return nil
	}
	return &is
}

// getWebhookEndpoint is GET /webhook-endpoints/{id}.
func (a *api) getWebhookEndpoint(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	e, err := a.svc.WebhookEndpoint(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toWebhookEndpoint(e))
}

// patchWebhookEndpoint is PATCH /webhook-endpoints/{id}: url, description, events, paused.
func (a *api) patchWebhookEndpoint(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	change := app.WebhookChange{
		URL: body.optionalString("url"), Description: body.optionalString("description"), Types: eventTypes(body), Paused: body.optionalBool("paused"),
	}
	if err := body.done(); err != nil {
		return err
	}
	e, err := a.svc.UpdateWebhookEndpoint(r.Context(), r.actor, tenant, id, change)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toWebhookEndpoint(e))
}

// deleteWebhookEndpoint is DELETE /webhook-endpoints/{id}.
func (a *api) deleteWebhookEndpoint(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	if err := a.svc.DeleteWebhookEndpoint(r.Context(), r.actor, tenant, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rotateWebhookSecret is POST /webhook-endpoints/{id}/rotate-secret. The answer has the
// secret.
func (a *api) rotateWebhookSecret(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	e, err := a.svc.RotateWebhookSecret(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	answer := toWebhookEndpoint(e)
	answer.Secret = e.Secret
	return writeJSON(w, http.StatusOK, answer)
}

// pingWebhookEndpoint is POST /webhook-endpoints/{id}/ping.
func (a *api) pingWebhookEndpoint(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	d, err := a.svc.PingWebhookEndpoint(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, toWebhookDelivery(d, true))
}

// listWebhookDeliveries is GET /webhook-endpoints/{id}/deliveries: newest first.
func (a *api) listWebhookDeliveries(w http.ResponseWriter, r *request) error {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return err
	}
	filter := ports.DeliveryFilter{Endpoint: id}
	limit, err := r.queryInt("limit", 50, 1, maxDeliveriesPage)
	if err != nil {
		return err
	}
	status, err := r.query("status")
	if err != nil {
		return err
	}
	switch filter.Status = core.DeliveryStatus(status); filter.Status {
	case "", core.DeliveryPending, core.DeliveryDelivered, core.DeliveryGivenUp:
	default:
		return core.InvalidField("status", "must be pending, delivered or given_up")
	}
	list, err := a.listing(r, "webhook deliveries", tenant, "status")
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	if filter.Before, err = parseDeliveryPlace(place); err != nil {
		return err
	}
	filter.Limit = int(limit) + 1 // to know whether there are more
	found, err := a.svc.WebhookDeliveries(r.Context(), r.actor, tenant, filter)
	if err != nil {
		return err
	}
	page := webhookDeliveriesJSON{Deliveries: []webhookDeliveryJSON{}}
	for i, d := range found {
		if i == int(limit) {
			last := found[i-1].Event
			page.NextCursor = list.next(w, deliveryPlace(ports.DeliveryCursor{At: last.At, ID: last.ID}))
			break
		}
		page.Deliveries = append(page.Deliveries, toWebhookDelivery(d, false))
	}
	return writeJSON(w, http.StatusOK, page)
}

func deliveryPlace(at ports.DeliveryCursor) string {
	return strconv.FormatInt(at.At.UnixNano(), 10) + "/" + string(at.ID)
}

// parseDeliveryPlace reads a place among deliveries; an empty one is the newest.
func parseDeliveryPlace(place string) (ports.DeliveryCursor, error) {
	if place == "" {
		return ports.DeliveryCursor{}, nil
	}
	nanos, id, slash := strings.Cut(place, "/")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if !slash || err != nil || !core.ValidID(id) {
		return ports.DeliveryCursor{}, badCursor()
	}
	return ports.DeliveryCursor{At: time.Unix(0, n).UTC(), ID: core.WebhookEventID(id)}, nil
}

// getWebhookDelivery is GET /webhook-endpoints/{id}/deliveries/{event}, with what is sent.
func (a *api) getWebhookDelivery(w http.ResponseWriter, r *request) error {
	tenant, id, event, err := r.delivery()
	if err != nil {
		return err
	}
	d, err := a.svc.WebhookDelivery(r.Context(), r.actor, tenant, id, event)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toWebhookDelivery(d, true))
}

func (r *request) delivery() (core.TenantID, core.WebhookEndpointID, core.WebhookEventID, error) {
	tenant, id, err := endpointOf(r)
	if err != nil {
		return "", "", "", err
	}
	event, err := r.eventID()
	return tenant, id, event, err
}

// redeliverWebhook is POST /webhook-endpoints/{id}/deliveries/{event}/redeliver.
func (a *api) redeliverWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, event, err := r.delivery()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	d, err := a.svc.Redeliver(r.Context(), r.actor, tenant, id, event)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, toWebhookDelivery(d, true))
}

// getLowCredits is GET /low-credits.
func (a *api) getLowCredits(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	low, err := a.svc.LowCredits(r.Context(), r.actor, tenant)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, lowCreditsJSON{Tenant: string(tenant), Threshold: int64(low.Threshold)})
}

// patchLowCredits is PATCH /low-credits.
func (a *api) patchLowCredits(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	threshold := core.Credits(body.int("threshold"))
	if err := body.done(); err != nil {
		return err
	}
	low, err := a.svc.SetLowCredits(r.Context(), r.actor, tenant, threshold)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, lowCreditsJSON{Tenant: string(tenant), Threshold: int64(low.Threshold)})
}
