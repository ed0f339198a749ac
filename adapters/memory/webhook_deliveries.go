package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type webhookDeliveries struct{ t *tx }

func (r webhookDeliveries) Get(ctx context.Context, to core.WebhookEndpointID, id core.WebhookEventID) (core.WebhookDelivery, error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return core.WebhookDelivery{}, err
	}
	defer r.t.done()
	for _, d := range r.t.ownWebhooks().deliveries {
		if d.Endpoint == to && d.Event.ID == id {
			return cloneDelivery(d), nil
		}
	}
	if st != nil {
		if d := st.webhooks.find(to, id); d != nil {
			return cloneDelivery(*d), nil
		}
	}
	for _, d := range r.told(st) {
		if d.Endpoint == to && d.Event.ID == id {
			return d, nil
		}
	}
	return core.WebhookDelivery{}, ports.ErrNotFound
}

func (r webhookDeliveries) Insert(ctx context.Context, list ...core.WebhookDelivery) error {
	for _, d := range list {
		if err := r.t.lock(ctx, lockWebhook, string(d.Endpoint)); err != nil {
			return err
		}
		if err := r.t.exists(ctx); err != nil {
			return err
		}
		_, err := r.Get(ctx, d.Endpoint, d.Event.ID)
		if err == nil {
			return r.breaks(ports.ErrExists)
		}
		if err := ignoreNotFound(err); err != nil {
			return err
		}
		r.put(d)
	}
	return nil
}

func (r webhookDeliveries) Save(ctx context.Context, list ...core.WebhookDelivery) error {
	for _, d := range list {
		if err := r.t.lock(ctx, lockWebhook, string(d.Endpoint)); err != nil {
			return err
		}
		was, err := r.Get(ctx, d.Endpoint, d.Event.ID)
		if err != nil {
			return r.breaks(err)
		}
		d.Event = was.Event
		r.put(d)
	}
	return nil
}

// breaks: after it the transaction can only be rolled back.
func (r webhookDeliveries) breaks(err error) error {
	if r.t.broken == nil {
		r.t.broken = err
	}
	return err
}

func (r webhookDeliveries) put(d core.WebhookDelivery) {
	d.Tenant = r.t.tenant
	d = cloneDelivery(d)
	w := r.t.webhooks()
	for i := range w.deliveries {
		if w.deliveries[i].Endpoint == d.Endpoint && w.deliveries[i].Event.ID == d.Event.ID {
			w.deliveries[i] = d
			return
		}
	}
	w.deliveries = append(w.deliveries, d)
}

// of gives an endpoint's deliveries, those that may be pending alone or all.
func (r webhookDeliveries) of(ctx context.Context, to core.WebhookEndpointID, pending bool) (list []core.WebhookDelivery, err error) {
	st, err := r.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.t.done()
	own := r.t.ownWebhooks().deliveries
	if st != nil && st.webhooks.deliveries[to] != nil {
		of := st.webhooks.deliveries[to]
		for id, d := range of.byID {
			if _, is := of.pending[id]; pending && !is {
				continue
			}
			written := func(o core.WebhookDelivery) bool { return o.Endpoint == to && o.Event.ID == id }
			if !slices.ContainsFunc(own, written) {
				list = append(list, cloneDelivery(*d))
			}
		}
	}
	for _, d := range append(slices.Clone(own), r.told(st)...) {
		there := func(o core.WebhookDelivery) bool { return o.Event.ID == d.Event.ID }
		if d.Endpoint == to && !slices.ContainsFunc(list, there) {
			list = append(list, cloneDelivery(d))
		}
	}
	return list, nil
}

// told is what the transaction's own events will be.
func (r webhookDeliveries) told(st *tenantState) []core.WebhookDelivery {
	events := r.t.ownWebhooks().events
	if len(events) == 0 {
		return nil
	}
	return deliveriesOf(r.t.tenant, events, r.t.endpoints(st))
}

func (r webhookDeliveries) Due(ctx context.Context, to core.WebhookEndpointID, now time.Time, limit int) ([]core.WebhookDelivery, error) {
	list, err := r.of(ctx, to, true)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(d core.WebhookDelivery) bool { return !isDue(&d, now) })
	slices.SortFunc(list, func(a, b core.WebhookDelivery) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Event.ID, b.Event.ID))
	})
	return list[:min(limit, len(list))], nil
}

func isDue(d *core.WebhookDelivery, now time.Time) bool {
	return d.Status == core.DeliveryPending && !d.DueAt.After(now)
}

func (r webhookDeliveries) List(ctx context.Context, filter ports.DeliveryFilter) ([]core.WebhookDelivery, error) {
	list, err := r.of(ctx, filter.Endpoint, filter.Status == core.DeliveryPending)
	if err != nil {
		return nil, err
	}
	newer := func(at time.Time, id core.WebhookEventID, d *core.WebhookDelivery) int {
		return cmp.Or(at.Compare(d.Event.At), cmp.Compare(id, d.Event.ID))
	}
	list = slices.DeleteFunc(list, func(d core.WebhookDelivery) bool {
		return filter.Status != "" && d.Status != filter.Status ||
			filter.Before != (ports.DeliveryCursor{}) && newer(filter.Before.At, filter.Before.ID, &d) <= 0
	})
	slices.SortFunc(list, func(a, b core.WebhookDelivery) int { return newer(b.Event.At, b.Event.ID, &a) })
	return list[:min(filter.Limit, len(list))], nil
}

// DueEndpoints implements ports.AllWebhooks.
func (s *Store) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys []ports.EndpointKey
	for tenant, st := range s.tenants {
		if s.moves[tenant].State.Closed() {
			continue
		}
		for _, e := range st.webhooks.endpoints {
			key := ports.EndpointKey{Tenant: tenant, Endpoint: e.ID}
			of := st.webhooks.deliveries[e.ID]
			if e.Pause != core.NotPaused || of == nil || compareEndpointKeys(key, after) <= 0 {
				continue
			}
			for id := range of.pending {
				if isDue(of.byID[id], now) {
					keys = append(keys, key)
					break
				}
			}
		}
	}
	slices.SortFunc(keys, compareEndpointKeys)
	return keys[:min(limit, len(keys))], nil
}

func compareEndpointKeys(a, b ports.EndpointKey) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Endpoint, b.Endpoint))
}

// SweepDeliveries implements ports.AllWebhooks.
func (s *Store) SweepDeliveries(ctx context.Context, before time.Time, limit int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, st := range s.tenants {
		if s.moves[tenant].State.Moving() {
			continue
		}
		for to, of := range st.webhooks.deliveries {
			for id, d := range of.byID {
				if n == limit {
					return n, nil
				}
				if d.Event.At.Before(before) {
					delete(of.byID, id)
					delete(of.pending, id)
					n++
				}
			}
			if len(of.byID) == 0 {
				delete(st.webhooks.deliveries, to)
			}
		}
	}
	return n, nil
}
