package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// breaker decides which jobs are kept back because they could not be done now. It is a
// value that takes events with their time and says what follows; it has no goroutine,
// no clock and no lock.
//
// Evidence is kept for each template: its circuit opens by Failures jobs in a row that
// the provider failed, or by the first that met a fault of ours, and only its jobs wait
// then. When the circuits of two templates have opened and nothing of the endpoint was
// answered meanwhile, it is the endpoint that is down (endpoint.whole).
type breaker struct {
	settings  Breaker
	endpoints map[string]*endpoint
	suspects  suspects
	// over are runs that closed while jobs of theirs waited: those up to an epoch have no
	// effect any more, and need not wait for their turn as a probe to be dropped.
	over    map[ports.RunKey]core.Epoch
	outages int // opened so far; they number them
	// changes counts what may have changed which jobs are let through, but for time.
	changes int
}

func newBreaker(s Breaker) breaker {
	return breaker{settings: s, endpoints: map[string]*endpoint{}, over: map[ports.RunKey]core.Epoch{}}
}

// endpoint is a provider with the templates that it works for.
type endpoint struct {
	name     string
	circuits map[ports.TemplateKey]*circuit
	// opened are the templates whose circuits have opened by a failure that speaks of the
	// provider since it last answered.
	opened map[ports.TemplateKey]struct{}
	// whole is an outage of all templates, or of all of one tenant's if no other tenant's
	// has shown it: what only one tenant meets stops no other.
	whole  outage
	tenant core.TenantID // whose; empty: all tenants'
}

// circuit is what is known of one template's jobs.
type circuit struct {
	outage   // of this template
	key      ports.TemplateKey
	failures int  // jobs in a row that the provider failed
	inside   int  // jobs let through that are not done with
	stopped  bool // it kept a job back since all was well
	ended    int  // number of the last outage that is over
}

// pass is what a job holds while it is inside. The zero value is one of no breaker.
type pass struct {
	endpoint *endpoint
	circuit  *circuit
	probe    *outage // whose probe it is; nil for none
	number   int     // of that outage
	seen     int     // the circuit's ended when it came
	// dropping says that it was let in because its claim will most likely have no
	// effect; it is not to be executed.
	dropping bool
}

// ruling is what a job goes by: the endpoint's outage or its template's; nil if all is
// well.
func (b *breaker) ruling(e *endpoint, c *circuit, now time.Time) *outage {
	switch {
	case e.covers(c.key.Tenant) && e.whole.holds(now, &b.settings):
		return &e.whole
	case c.holds(now, &b.settings):
		return &c.outage
	}
	return nil
}

// covers reports whether the endpoint is down for a tenant.
func (e *endpoint) covers(t core.TenantID) bool {
	return e.whole.open() && (e.tenant == "" || e.tenant == t)
}

// find gives where a job goes, making it if need be. It is nil for a job that does not
// say its template: nothing could be decided for one.
func (b *breaker) find(j core.Job) (*endpoint, *circuit) {
	if b.settings.Failures < 0 || j.Template == "" {
		return nil, nil
	}
	key := templateOf(j)
	name := b.settings.Endpoint(key)
	e := b.endpoints[name]
	if e == nil {
		e = &endpoint{name: name, circuits: map[ports.TemplateKey]*circuit{}, opened: map[ports.TemplateKey]struct{}{}}
		b.endpoints[name] = e
	}
	c := e.circuits[key]
	if c == nil {
		c = &circuit{key: key}
		e.circuits[key] = c
	}
	return e, c
}

// stops reports whether a job like this may not enter now, whatever job it is.
func (b *breaker) stops(j core.Job, now time.Time) bool {
	if len(b.endpoints) == 0 || j.Template == "" {
		return false
	}
	key := templateOf(j)
	e := b.endpoints[b.settings.Endpoint(key)]
	if e == nil {
		return false
	}
	c := e.circuits[key]
	if c == nil {
		c = &circuit{key: key}
	}
	o := b.ruling(e, c, now)
	return o != nil && !o.due(now)
}

// enter lets a job through, or not. One that was let through must leave.
func (b *breaker) enter(j core.Job, now time.Time) (p pass, ok bool) {
	e, c := b.find(j)
	if e == nil {
		return pass{}, true
	}
	p = pass{endpoint: e, circuit: c, seen: c.ended}
	if o := b.ruling(e, c, now); o != nil {
		switch {
		case b.isOver(j):
			p.dropping = true
		case !o.due(now), b.knownToFail(j, e, c) && now.Before(o.prefers(&b.settings)):
			c.stopped = true
			return pass{}, false
		default:
			o.probing = true
			p.probe, p.number = o, o.number
		}
	}
	c.inside++
	return p, true
}

// knownToFail reports whether the job failed in an outage that goes on.
func (b *breaker) knownToFail(j core.Job, e *endpoint, c *circuit) bool {
	return b.suspects.failedIn(j, c.number) || b.suspects.failedIn(j, e.whole.number)
}

// holds reports whether a job that was claimed is better not begun: an outage has begun
// since it came, and it is not the probe.
func (b *breaker) holds(j core.Job, p *pass, now time.Time) bool {
	if p.circuit == nil || p.probe != nil {
		return false
	}
	if p.dropping {
		delete(b.over, runOf(j)) // its run goes on
		return true
	}
	return b.ruling(p.endpoint, p.circuit, now) != nil
}

// leave gives back what enter took, with what the job says; once.
func (b *breaker) leave(j core.Job, p *pass, v Verdict, now time.Time) (d decision) {
	e, c := p.endpoint, p.circuit
	if c == nil {
		return decision{}
	}
	probe := p.probe
	if probe != nil && probe.number != p.number { // its outage is over
		probe = nil
	}
	seen := p.seen
	*p = pass{}
	c.inside--
	wasOpen := c.open() || e.whole.open()
	if probe != nil {
		probe.probing = false
	}
	switch v.kind {
	case saysAnswered:
		b.suspects.forget(j)
		d = b.answered(e, c, now)
	case saysDown, saysBlocked:
		d = b.failed(failedJob{job: j, endpoint: e, circuit: c, probe: probe, seen: seen, verdict: v}, now)
	case saysNothing:
	}
	if wasOpen || c.open() {
		b.changes++
	}
	b.tidy(e, c)
	return d
}

// noEffect takes in that a job's claim had no effect: the likes of it in that run have
// none either.
func (b *breaker) noEffect(j core.Job, p *pass) {
	if p.probe == nil {
		return
	}
	if len(b.over) >= mostOver {
		clear(b.over)
	}
	b.over[runOf(j)] = max(j.Epoch, b.over[runOf(j)])
}

// mostOver bounds the runs that are remembered to have closed.
const mostOver = 1000

func (b *breaker) isOver(j core.Job) bool {
	if len(b.over) == 0 {
		return false
	}
	epoch, there := b.over[runOf(j)]
	return there && j.Epoch <= epoch
}

// tidy forgets what is as good as new.
func (b *breaker) tidy(e *endpoint, c *circuit) {
	if !c.open() && c.failures == 0 && c.inside == 0 && !c.stopped {
		delete(e.circuits, c.key)
	}
	if len(e.circuits) == 0 && !e.whole.open() {
		delete(b.endpoints, e.name)
	}
}

// look takes what is kept back into a Receive's outlook.
func (b *breaker) look(o *outlook, now time.Time) {
	for _, e := range b.endpoints {
		for key, c := range e.circuits {
			r := b.ruling(e, c, now)
			switch {
			case r == nil:
			case r.due(now):
				if c.stopped { // more than one of its jobs is there
					o.room = min(o.room, 1)
				}
				o.before(r.prefers(&b.settings), now)
			default:
				o.skip.Templates = append(o.skip.Templates, key)
				if !r.probing {
					o.before(r.probeAt, now)
				}
				if r.cause == causeDown {
					o.before(r.since.Add(b.settings.MaxOutage), now)
				}
			}
		}
	}
}
