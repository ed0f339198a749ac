package watermillqueue

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// flows decides whose jobs come next: the tenants that have some in turn, and of
// each tenant its templates in turn. It is not safe for concurrent use.
//
// It remembers nothing of the past. A tenant whose jobs had to wait, because its
// provider was down, does not get everything afterwards in compensation.
type flows struct {
	tenants []*tenantFlows
	byID    map[core.TenantID]*tenantFlows
	next    int // the tenant whose turn it is
}

type tenantFlows struct {
	id        core.TenantID
	templates []*flow
	next      int
}

// flow is the jobs of one template of one tenant.
type flow struct {
	key ports.TemplateKey

	// For the backend on Postgres: where it goes on, and whether there may be more
	// than it has seen.
	after int64
	fresh bool
}

// share is how many jobs of a flow may be taken now.
type share struct {
	flow  *flow
	limit int
}

func newFlows() *flows { return &flows{byID: map[core.TenantID]*tenantFlows{}} }

// add makes sure that a flow is served.
func (f *flows) add(key ports.TemplateKey) *flow {
	t := f.byID[key.Tenant]
	if t == nil {
		t = &tenantFlows{id: key.Tenant}
		f.byID[key.Tenant] = t
		f.tenants = append(f.tenants, t)
	}
	for _, known := range t.templates {
		if known.key == key {
			return known
		}
	}
	added := &flow{key: key}
	t.templates = append(t.templates, added)
	return added
}

// remove takes out a flow that has no jobs any more.
func (f *flows) remove(gone *flow) {
	t := f.byID[gone.key.Tenant]
	if t == nil {
		return
	}
	if at := slices.Index(t.templates, gone); at >= 0 {
		t.templates = slices.Delete(t.templates, at, at+1)
		if t.next > at {
			t.next--
		}
	}
	if len(t.templates) > 0 {
		return
	}
	delete(f.byID, t.id)
	if at := slices.Index(f.tenants, t); at >= 0 {
		f.tenants = slices.Delete(f.tenants, at, at+1)
		if f.next > at {
			f.next--
		}
	}
}

// each visits every flow.
func (f *flows) each(visit func(*flow)) {
	for _, t := range f.tenants {
		for _, flow := range t.templates {
			visit(flow)
		}
	}
}

// company is how many jobs of a tenant are taken together where many may be taken.
// A store's transaction is of one tenant, so a job of each of many tenants would
// cost a transaction each. Where few may be taken, because jobs take long and
// places free one by one, everybody gets one in turn.
const company, few = 25, 8

// turns is how many tenants are served by one take.
func turns(limit int) int {
	if limit < few {
		return limit
	}
	return max(2, limit/company)
}

// shares divides limit among those whose turn it is and who are not skipped.
func (f *flows) shares(limit int, skip ports.Skip) []share {
	skipped := newSkipSet(skip)
	type turn struct {
		tenant *tenantFlows
		flows  []*flow
	}
	var served []turn
	passed := 0
	for ; passed < len(f.tenants) && len(served) < turns(limit); passed++ {
		t := f.tenants[(f.next+passed)%len(f.tenants)]
		if wanted := t.wanted(skipped); len(wanted) > 0 {
			served = append(served, turn{t, wanted})
		}
	}
	if len(served) == 0 {
		return nil
	}
	if passed == len(f.tenants) {
		passed = 1 // everybody is served; who gets the remainder changes
	}
	f.next = (f.next + passed) % len(f.tenants)

	var all []share
	for i, t := range served {
		part := divide(limit, len(served), i)
		n := min(part, len(t.flows))
		for k, flow := range t.flows[:n] {
			all = append(all, share{flow, divide(part, n, k)})
		}
		if n == len(t.flows) {
			n = 1
		}
		t.tenant.next = (t.tenant.next + n) % len(t.tenant.templates)
	}
	return all
}

// divide gives the i-th of n parts, which differ by at most one.
func divide(whole, n, i int) int {
	part := whole / n
	if i < whole%n {
		part++
	}
	return part
}

// wanted lists the tenant's flows that are not skipped, from the one whose turn it is.
func (t *tenantFlows) wanted(skipped skipSet) []*flow {
	if skipped.tenants[t.id] {
		return nil
	}
	list := make([]*flow, 0, len(t.templates))
	for i := range t.templates {
		flow := t.templates[(t.next+i)%len(t.templates)]
		if !skipped.templates[flow.key] {
			list = append(list, flow)
		}
	}
	return list
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
