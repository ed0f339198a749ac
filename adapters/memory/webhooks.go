package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// webhookState is what is committed of a tenant's webhooks.
type webhookState struct {
	low        core.LowCredits
	endpoints  []core.WebhookEndpoint // ascending by ID
	deliveries map[core.WebhookEndpointID]*endpointDeliveries
}

// endpointDeliveries are an endpoint's, and stay when it is removed.
type endpointDeliveries struct {
	byID    map[core.WebhookEventID]*core.WebhookDelivery
	pending map[core.WebhookEventID]struct{}
}

// webhookWrites is what a transaction wrote of its tenant's webhooks.
type webhookWrites struct {
	low        *core.LowCredits
	endpoints  []core.WebhookEndpoint // each ID once
	removed    []core.WebhookEndpointID
	deliveries []core.WebhookDelivery // each once
	events     []core.WebhookEvent    // for whoever is subscribed when they are committed
}

// webhooks gives the place for what the transaction writes of them.
func (t *tx) webhooks() *webhookWrites {
	w := t.writes()
	if w.webhooks == nil {
		w.webhooks = &webhookWrites{}
	}
	return w.webhooks
}

// ownWebhooks is to be read.
func (t *tx) ownWebhooks() *webhookWrites {
	if t.wrote.webhooks == nil {
		return &webhookWrites{}
	}
	return t.wrote.webhooks
}

func cloneEndpoint(e core.WebhookEndpoint) core.WebhookEndpoint {
	e.Types = slices.Clone(e.Types)
	return e
}

func cloneDelivery(d core.WebhookDelivery) core.WebhookDelivery {
	d.Log = slices.Clone(d.Log)
	return d
}

func compareEndpointID(e core.WebhookEndpoint, id core.WebhookEndpointID) int {
	return cmp.Compare(e.ID, id)
}

func (s *webhookState) apply(tenant core.TenantID, w *webhookWrites) {
	if w.low != nil {
		s.low = *w.low
	}
	for _, e := range w.endpoints {
		at, there := slices.BinarySearchFunc(s.endpoints, e.ID, compareEndpointID)
		if there {
			s.endpoints[at] = e
		} else {
			s.endpoints = slices.Insert(s.endpoints, at, e)
		}
	}
	for _, id := range w.removed {
		s.endpoints = slices.DeleteFunc(s.endpoints, func(e core.WebhookEndpoint) bool { return e.ID == id })
	}
	for i := range w.deliveries {
		s.put(&w.deliveries[i])
	}
	for _, d := range deliveriesOf(tenant, w.events, s.endpoints) {
		if s.find(d.Endpoint, d.Event.ID) == nil {
			s.put(&d)
		}
	}
}

// deliveriesOf are those of events to who is subscribed to them.
func deliveriesOf(tenant core.TenantID, events []core.WebhookEvent, endpoints []core.WebhookEndpoint) (list []core.WebhookDelivery) {
	for _, event := range events {
		for _, e := range endpoints {
			if e.Collects() && slices.Contains(e.Types, event.Type) {
				list = append(list, core.NewDelivery(tenant, e.ID, event))
			}
		}
	}
	return list
}

func (s *webhookState) put(d *core.WebhookDelivery) {
	of := s.deliveries[d.Endpoint]
	if of == nil {
		of = &endpointDeliveries{byID: map[core.WebhookEventID]*core.WebhookDelivery{}, pending: map[core.WebhookEventID]struct{}{}}
		if s.deliveries == nil {
			s.deliveries = map[core.WebhookEndpointID]*endpointDeliveries{}
		}
		s.deliveries[d.Endpoint] = of
	}
	row := *d
	of.byID[d.Event.ID] = &row
	if d.Status == core.DeliveryPending {
		of.pending[d.Event.ID] = struct{}{}
	} else {
		delete(of.pending, d.Event.ID)
	}
}

func (s *webhookState) find(to core.WebhookEndpointID, id core.WebhookEventID) *core.WebhookDelivery {
	if of := s.deliveries[to]; of != nil {
		return of.byID[id]
	}
	return nil
}

type webhookEvents struct{ t *tx }

// Tell looks who is subscribed when the transaction commits.
func (r webhookEvents) Tell(ctx context.Context, events ...core.WebhookEvent) error {
	if err := r.t.writable(ctx); err != nil || len(events) == 0 {
		return err
	}
	w := r.t.webhooks()
	w.events = append(w.events, events...)
	return nil
}

func (r webhookEvents) LowCredits(ctx context.Context) (core.LowCredits, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.LowCredits{}, err
	}
	defer r.t.done()
	switch own := r.t.ownWebhooks().low; {
	case own != nil:
		return *own, nil
	case st != nil:
		return st.webhooks.low, nil
	case r.t.wrote.newTenant:
		return core.LowCredits{}, nil
	default:
		return core.LowCredits{}, ports.ErrNotFound
	}
}

func (r webhookEvents) SaveLowCredits(ctx context.Context, low core.LowCredits) error {
	if err := r.t.lock(ctx, lockCredits, ""); err != nil {
		return err
	}
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	r.t.webhooks().low = &low
	return nil
}

type webhookEndpoints struct{ t *tx }

func (r webhookEndpoints) Get(ctx context.Context, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	defer r.t.done()
	own := r.t.ownWebhooks()
	if slices.Contains(own.removed, id) {
		return core.WebhookEndpoint{}, ports.ErrNotFound
	}
	for _, e := range own.endpoints {
		if e.ID == id {
			return cloneEndpoint(e), nil
		}
	}
	if st != nil {
		if at, there := slices.BinarySearchFunc(st.webhooks.endpoints, id, compareEndpointID); there {
			return cloneEndpoint(st.webhooks.endpoints[at]), nil
		}
	}
	return core.WebhookEndpoint{}, ports.ErrNotFound
}

func (r webhookEndpoints) List(ctx context.Context) ([]core.WebhookEndpoint, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	list := r.t.endpoints(st)
	for i := range list {
		list[i] = cloneEndpoint(list[i])
	}
	return list, nil
}

// endpoints are those that are there for the transaction, ascending. The caller has the
// tenant's state by read.
func (t *tx) endpoints(st *tenantState) []core.WebhookEndpoint {
	own := t.ownWebhooks()
	var list []core.WebhookEndpoint
	if st != nil {
		for _, e := range st.webhooks.endpoints {
			written := func(o core.WebhookEndpoint) bool { return o.ID == e.ID }
			if !slices.ContainsFunc(own.endpoints, written) {
				list = append(list, e)
			}
		}
	}
	list = append(list, own.endpoints...)
	list = slices.DeleteFunc(list, func(e core.WebhookEndpoint) bool { return slices.Contains(own.removed, e.ID) })
	slices.SortFunc(list, func(a, b core.WebhookEndpoint) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (r webhookEndpoints) Lock(ctx context.Context, wait ports.Wait, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	if wait == ports.SkipLocked {
		if err := r.t.writable(ctx); err != nil {
			return core.WebhookEndpoint{}, err
		}
		if !r.t.tryLock(lockWebhook, string(id)) {
			return core.WebhookEndpoint{}, ports.ErrNotFound
		}
	} else if err := r.t.lock(ctx, lockWebhook, string(id)); err != nil {
		return core.WebhookEndpoint{}, err
	}
	return r.Get(ctx, id)
}

func (r webhookEndpoints) Insert(ctx context.Context, e core.WebhookEndpoint) error {
	if err := r.t.lock(ctx, lockWebhook, string(e.ID)); err != nil {
		return err
	}
	if err := r.t.exists(ctx); err != nil {
		return err
	}
	_, err := r.Get(ctx, e.ID)
	if err == nil {
		return ports.ErrExists
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	r.put(e)
	return nil
}

func (r webhookEndpoints) Save(ctx context.Context, e core.WebhookEndpoint) error {
	if err := r.t.lock(ctx, lockWebhook, string(e.ID)); err != nil {
		return err
	}
	if _, err := r.Get(ctx, e.ID); err != nil {
		return err
	}
	r.put(e)
	return nil
}

func (r webhookEndpoints) put(e core.WebhookEndpoint) {
	e.Tenant = r.t.tenant
	e = cloneEndpoint(e)
	w := r.t.webhooks()
	w.removed = slices.DeleteFunc(w.removed, func(id core.WebhookEndpointID) bool { return id == e.ID })
	for i := range w.endpoints {
		if w.endpoints[i].ID == e.ID {
			w.endpoints[i] = e
			return
		}
	}
	w.endpoints = append(w.endpoints, e)
}

func (r webhookEndpoints) Delete(ctx context.Context, id core.WebhookEndpointID) error {
	if err := r.t.lock(ctx, lockWebhook, string(id)); err != nil {
		return err
	}
	if _, err := r.Get(ctx, id); err != nil {
		return err
	}
	w := r.t.webhooks()
	w.removed = append(w.removed, id)
	return nil
}
