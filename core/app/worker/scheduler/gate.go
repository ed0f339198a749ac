package scheduler

import (
	"cmp"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// gate says which jobs may be worked on now: those within the limits of their
// tenant and template that the breaker lets through and whose run is not locked for
// long.
type gate struct {
	cfg       Config
	breaker   breaker
	tenants   map[core.TenantID]int // jobs inside; kept only if there are limits
	templates map[ports.TemplateKey]int
}

func newGate(c Config) gate {
	g := gate{cfg: c, breaker: newBreaker(c.Breaker)}
	if c.TenantLimit != nil {
		g.tenants = map[core.TenantID]int{}
	}
	if c.TemplateLimit != nil {
		g.templates = map[ports.TemplateKey]int{}
	}
	return g
}

// full reports whether a job's tenant or template is at its limit.
func (g *gate) full(j core.Job) bool {
	if g.cfg.TenantLimit != nil && reached(g.tenants[j.Tenant], g.cfg.TenantLimit(j.Tenant)) {
		return true
	}
	if g.cfg.TemplateLimit == nil {
		return false
	}
	key := templateOf(j)
	return reached(g.templates[key], g.cfg.TemplateLimit(key))
}

func reached(n, limit int) bool { return limit > 0 && n >= limit }

// enter lets a job in, which must leave. If it may not enter, the breaker remembers
// its template where that is what keeps it out.
func (g *gate) enter(r *run, j core.Job, now time.Time) (p pass, ok bool) {
	if r.stuck > 0 || g.full(j) {
		return pass{}, false
	}
	if p, ok = g.breaker.enter(j, now); !ok {
		return pass{}, false
	}
	if g.cfg.TenantLimit != nil {
		g.tenants[j.Tenant]++
	}
	if g.cfg.TemplateLimit != nil {
		g.templates[templateOf(j)]++
	}
	return p, true
}

// leave gives back what enter took.
func (g *gate) leave(j *Job, now time.Time) {
	if g.cfg.TenantLimit != nil {
		decrement(g.tenants, j.Tenant)
	}
	if g.cfg.TemplateLimit != nil {
		decrement(g.templates, templateOf(j.Job))
	}
	g.breaker.leave(j.Job, &j.pass, Verdict{}, now) // of one that has said what there is to say nothing is left
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
	o := outlook{room: g.cfg.Concurrency + g.cfg.Ahead}
	consider := func(left int) (free bool) {
		if left > 0 {
			o.room = min(o.room, left)
		}
		return left > 0
	}
	if g.cfg.TenantLimit != nil {
		consider(g.cfg.TenantConcurrency)
		for tenant, n := range g.tenants {
			if limit := g.cfg.TenantLimit(tenant); limit > 0 && !consider(limit-n) {
				o.skip.Tenants = append(o.skip.Tenants, tenant)
			}
		}
	}
	if g.cfg.TemplateLimit != nil {
		consider(g.cfg.TemplateConcurrency)
		for template, n := range g.templates {
			if limit := g.cfg.TemplateLimit(template); limit > 0 && !consider(limit-n) {
				o.skip.Templates = append(o.skip.Templates, template)
			}
		}
	}
	g.breaker.look(&o, now)
	slices.Sort(o.skip.Tenants) // a feed may compare
	sortTemplates(o.skip.Templates)
	o.skip.Tenants = o.skip.Tenants[:min(len(o.skip.Tenants), maxSkip)]
	o.skip.Templates = o.skip.Templates[:min(len(o.skip.Templates), maxSkip)]
	return o
}

func sortTemplates(keys []ports.TemplateKey) { slices.SortFunc(keys, compareTemplates) }

func compareTemplates(a, b ports.TemplateKey) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Template, b.Template))
}
