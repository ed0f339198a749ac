package worker

import (
	"cmp"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// gate says which jobs may be worked on now: those within the limits of their
// tenant and template that the breaker lets through and whose run is not locked for
// long. It is guarded by Worker.mu.
type gate struct {
	opts      Options
	breaker   breaker
	tenants   map[core.TenantID]int // jobs inside; kept only if there are limits
	templates map[ports.TemplateKey]int
	stuck     map[ports.RunKey]int // claims of a locked run that take too long
}

func newGate(o Options) gate {
	return gate{
		opts: o, breaker: newBreaker(o.Breaker),
		tenants: map[core.TenantID]int{}, templates: map[ports.TemplateKey]int{},
		stuck: map[ports.RunKey]int{},
	}
}

// barrier is what may stop a job, as a set.
type barrier uint8

const (
	atTenantLimit barrier = 1 << iota
	atTemplateLimit
	atBreaker
	atRun
)

// barriers says what stops a job now.
func (g *gate) barriers(j core.Job, now time.Time) (b barrier) {
	if g.opts.TenantLimit != nil && reached(g.tenants[j.Tenant], g.opts.TenantLimit(j.Tenant)) {
		b |= atTenantLimit
	}
	if key := templateOf(j); g.opts.TemplateLimit != nil && reached(g.templates[key], g.opts.TemplateLimit(key)) {
		b |= atTemplateLimit
	}
	if g.breaker.stops(j, now) {
		b |= atBreaker
	}
	if len(g.stuck) > 0 && g.stuck[runOf(j)] > 0 {
		b |= atRun
	}
	return b
}

// hindered is a job with what would stop one like it.
type hindered struct {
	job core.Job
	by  barrier
}

// hinder adds a job to the list if anything would stop one like it.
func (g *gate) hinder(list []hindered, j core.Job, now time.Time) []hindered {
	if by := g.barriers(j, now); by != 0 {
		return append(list, hindered{j, by})
	}
	return list
}

func reached(n, limit int) bool { return limit > 0 && n >= limit }

// enter lets a job in, which must leave. If it may not enter, the breaker remembers
// its template where that is what keeps it out.
func (g *gate) enter(j core.Job, now time.Time) (p pass, ok bool) {
	if g.barriers(j, now)&^atBreaker != 0 {
		return pass{}, false
	}
	if p, ok = g.breaker.enter(j, now); !ok {
		return pass{}, false
	}
	if g.opts.TenantLimit != nil {
		g.tenants[j.Tenant]++
	}
	if g.opts.TemplateLimit != nil {
		g.templates[templateOf(j)]++
	}
	return p, true
}

// leave gives back what enter took.
func (g *gate) leave(j core.Job, p *pass, now time.Time) {
	if g.opts.TenantLimit != nil {
		decrement(g.tenants, j.Tenant)
	}
	if g.opts.TemplateLimit != nil {
		decrement(g.templates, templateOf(j))
	}
	g.breaker.leave(j, p, verdict{}, now) // of one that has said what there is to say nothing is left
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// outlook is what a Receive goes by.
type outlook struct {
	skip ports.Skip
	room int       // most jobs that can come with all of them let in
	till time.Time // when time alone changes that; zero: never
}

// before makes an outlook hold no longer than until a time, if that is to come.
func (o *outlook) before(t, now time.Time) {
	if t.After(now) && (o.till.IsZero() || t.Before(o.till)) {
		o.till = t
	}
}

// maxSkip bounds what is named to a feed. What is not named comes and is parked.
const maxSkip = 1000

// look says what to leave in the queue. room is the least that anything that is
// not at its limit has left: more of one kind might come than could be let in.
func (g *gate) look(now time.Time) outlook {
	o := outlook{room: g.opts.Concurrency}
	consider := func(left int) (free bool) {
		if left > 0 {
			o.room = min(o.room, left)
		}
		return left > 0
	}
	if g.opts.TenantLimit != nil {
		if limit := g.opts.TenantConcurrency; limit > 0 {
			consider(limit)
		}
		for tenant, n := range g.tenants {
			if limit := g.opts.TenantLimit(tenant); limit > 0 && !consider(limit-n) && len(o.skip.Tenants) < maxSkip {
				o.skip.Tenants = append(o.skip.Tenants, tenant)
			}
		}
	}
	if g.opts.TemplateLimit != nil {
		if limit := g.opts.TemplateConcurrency; limit > 0 {
			consider(limit)
		}
		for template, n := range g.templates {
			if limit := g.opts.TemplateLimit(template); limit > 0 && !consider(limit-n) && len(o.skip.Templates) < maxSkip {
				o.skip.Templates = append(o.skip.Templates, template)
			}
		}
	}
	g.breaker.look(&o, now)
	slices.Sort(o.skip.Tenants) // a feed may compare
	sortTemplates(o.skip.Templates)
	return o
}

func sortTemplates(keys []ports.TemplateKey) { slices.SortFunc(keys, compareTemplates) }

func compareTemplates(a, b ports.TemplateKey) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Template, b.Template))
}
