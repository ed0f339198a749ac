package watermillqueue

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// turns decides whose jobs come next: the tenants that have some in turn, and of
// each tenant its templates in turn. It is not safe for concurrent use.
//
// It remembers nothing of the past. A tenant whose jobs had to wait, because its
// provider was down, does not get everything afterwards in compensation.
type turns struct {
	tenants []*tenantTurn
	byID    map[core.TenantID]*tenantTurn
	next    int // the tenant whose turn it is
}

type tenantTurn struct {
	id    core.TenantID
	flows []*flow
	next  int // the flow whose turn it is
}

// flow is what waits of one template of one tenant.
type flow struct {
	key     ports.TemplateKey
	waiting []*delivery // of the inbox, next first

	// Of Postgres: jobs a message as last seen, 0 if not known, and when it was last
	// learned that there are some, see pgSubscriber.
	size, learned int
}

func newTurns() *turns { return &turns{byID: map[core.TenantID]*tenantTurn{}} }

// add makes sure that a flow is served.
func (t *turns) add(key ports.TemplateKey) *flow {
	tenant := t.byID[key.Tenant]
	if tenant == nil {
		tenant = &tenantTurn{id: key.Tenant}
		t.byID[key.Tenant] = tenant
		t.tenants = append(t.tenants, tenant)
	}
	for _, known := range tenant.flows {
		if known.key == key {
			return known
		}
	}
	added := &flow{key: key}
	tenant.flows = append(tenant.flows, added)
	return added
}

// all lists the flows.
func (t *turns) all() (list []*flow) {
	for _, tenant := range t.tenants {
		list = append(list, tenant.flows...)
	}
	return list
}

// remove takes out a flow that has no jobs any more.
func (t *turns) remove(gone *flow) {
	tenant := t.byID[gone.key.Tenant]
	if tenant == nil {
		return
	}
	tenant.flows, tenant.next = without(tenant.flows, gone, tenant.next)
	if len(tenant.flows) == 0 {
		delete(t.byID, tenant.id)
		t.tenants, t.next = without(t.tenants, tenant, t.next)
	}
}

// without takes one out of a list whose turn is at next.
func without[T comparable](list []T, gone T, next int) ([]T, int) {
	at := slices.Index(list, gone)
	if at < 0 {
		return list, next
	}
	if next > at {
		next--
	}
	if list = slices.Delete(list, at, at+1); next >= len(list) {
		next = 0
	}
	return list, next
}

// pick gives the flow whose turn it is among those that are not skipped, and passes
// the turns on; nil if there is none.
func (t *turns) pick(skipped skipSet) *flow {
	for range t.tenants {
		tenant := t.tenants[t.next]
		t.next = (t.next + 1) % len(t.tenants)
		if skipped.tenants[tenant.id] {
			continue
		}
		for range tenant.flows {
			f := tenant.flows[tenant.next]
			tenant.next = (tenant.next + 1) % len(tenant.flows)
			if !skipped.templates[f.key] {
				return f
			}
		}
	}
	return nil
}

const (
	// leastShare is how many jobs of a tenant are taken together at least where many
	// may be taken. A store's transaction is of one tenant, so a job of each of many
	// tenants would cost a transaction each.
	leastShare = 25
	// fewPlaces is below what limit each tenant gets one job in turn: where jobs take
	// long, places free one by one.
	fewPlaces = 8
)

// share is how many jobs a flow may give in its turn.
func (t *turns) share(limit int) int {
	if limit < fewPlaces {
		return 1
	}
	return max(leastShare, limit/max(len(t.tenants), 1))
}

// skipSet is a ports.Skip to look things up in.
type skipSet struct {
	tenants   map[core.TenantID]bool
	templates map[ports.TemplateKey]bool
}

func newSkipSet(s ports.Skip) skipSet {
	set := skipSet{map[core.TenantID]bool{}, map[ports.TemplateKey]bool{}}
	for _, id := range s.Tenants {
		set.tenants[id] = true
	}
	for _, key := range s.Templates {
		set.templates[key] = true
	}
	return set
}
