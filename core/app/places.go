package app

import (
	"sync"

	"github.com/redrive/redrive/core"
)

// places counts what is under way, in all and of each tenant. It is empty while nothing is.
type places struct {
	mu      sync.Mutex
	all     int
	tenants map[core.TenantID]int
}

// enter takes a place, unless there are most of them, or mostOfTenant of the tenant's; a
// negative number is no limit. Without a place leave is nil, and the counts say why.
func (p *places) enter(tenant core.TenantID, most, mostOfTenant int) (leave func(), all, ofTenant int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, ofTenant = p.all, p.tenants[tenant]
	if most >= 0 && all >= most || mostOfTenant >= 0 && ofTenant >= mostOfTenant {
		return nil, all, ofTenant
	}
	if p.tenants == nil {
		p.tenants = map[core.TenantID]int{}
	}
	p.all++
	p.tenants[tenant]++
	return sync.OnceFunc(func() { p.leave(tenant) }), all + 1, ofTenant + 1
}

func (p *places) leave(tenant core.TenantID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.tenants[tenant]--; p.tenants[tenant] == 0 {
		delete(p.tenants, tenant)
	}
}
