package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// decision is what follows from a job's verdict.
type decision struct {
	// handBack: the job is better done later. Else it is recorded as it ended.
	handBack bool
	// interrupt, if it names templates, is to follow once the job was handed back.
	interrupt Interruption
	notes     []note
}

// Interruption are templates whose waiting runs are to be closed because of a fault of
// ours.
type Interruption struct {
	endpoint  string
	number    int // of the outage
	Templates []ports.TemplateKey
	Why       core.Failure
}

// note is for the log.
type note struct {
	kind     noteKind
	endpoint string
	template ports.TemplateKey // zero: all of the endpoint
	outage   outage
}

type noteKind int

const (
	noteOpened noteKind = iota
	noteGoesOn          // it has begun to be a fault of ours, or lasts
	noteOver
)

// downLimit is in how many earlier outages a job may have failed by the provider, and
// blockedLimit by a fault of ours, until it is recorded when it fails once more: others
// were answered in between, so it may well be its own fault. An interruption of ours
// costs nothing.
const (
	downLimit    = 3
	blockedLimit = 1
)

// remindEvery is how often an operator is told of a fault of ours that lasts.
const remindEvery = 5 * time.Minute

// answered takes in that the provider did its work on a file of a template.
func (b *breaker) answered(e *endpoint, c *circuit, now time.Time) (d decision) {
	clear(e.opened)
	if e.whole.open() {
		d.notes = append(d.notes, note{kind: noteOver, endpoint: e.name, outage: e.whole})
		number := e.whole.number
		e.whole, e.tenant = outage{}, ""
		for _, other := range e.circuits {
			other.ended = max(other.ended, number)
			if other.open() {
				other.hurry(now)
			} else {
				other.stopped = false
			}
			b.tidy(e, other)
		}
	}
	if c.open() {
		d.notes = append(d.notes, note{kind: noteOver, endpoint: e.name, template: c.key, outage: c.outage})
		c.ended = max(c.ended, c.number)
		c.outage = outage{}
	}
	c.failures, c.stopped = 0, false
	return d
}

// failedJob is a job that could not be done because of the provider or of us.
type failedJob struct {
	job      core.Job
	endpoint *endpoint
	circuit  *circuit
	probe    *outage // whose probe it was; nil for none
	seen     int
	verdict  Verdict
}

func (b *breaker) failed(f failedJob, now time.Time) (d decision) {
	e, c, v := f.endpoint, f.circuit, f.verdict
	covered := e.covers(c.key.Tenant)
	if !c.open() && !covered && c.ended > f.seen {
		// What it met is over: it began before. It says nothing about now.
		return b.keep(f, c.ended)
	}
	if v.kind == saysBlocked && b.suspects.before(f.job, b.current(e, c)) >= blockedLimit {
		b.suspects.forget(f.job) // others were answered: it is this file
		return decision{}
	}
	whole := covered && !ofTemplate(v.failure)
	switch {
	case f.probe != nil && f.probe == &c.outage:
		d.notes = c.notes(c.probed(v, now, &b.settings), now, note{endpoint: e.name, template: c.key})
	case whole && f.probe == &e.whole:
		d.notes = e.whole.notes(e.whole.probed(v, now, &b.settings), now, note{endpoint: e.name})
	case whole:
		d.notes = e.whole.notes(e.whole.late(v, now, &b.settings), now, note{endpoint: e.name})
	case c.open():
		d.notes = c.notes(c.late(v, now, &b.settings), now, note{endpoint: e.name, template: c.key})
	default:
		d.notes = b.count(e, c, v, now)
	}
	if f.probe != nil && f.probe == &e.whole && !whole { // it told of its own template: another is tried, after a while
		e.whole.delay(v, now, &b.settings)
	}
	ruling := b.ruling(e, c, now)
	if ruling == nil {
		b.suspects.forget(f.job)
		return d
	}
	kept := b.keep(f, b.current(e, c))
	d.handBack = kept.handBack
	if d.handBack && f.probe == ruling && ruling.interrupts(now, &b.settings) {
		d.interrupt = e.interruption(ruling, c)
	}
	return d
}

// current is the number of the outage that a template's jobs fail in.
func (b *breaker) current(e *endpoint, c *circuit) int {
	if c.open() || !e.covers(c.key.Tenant) {
		return c.number
	}
	return e.whole.number
}

// keep hands a job back that failed in an outage, unless it has failed in too many
// before.
func (b *breaker) keep(f failedJob, outage int) decision {
	limit := downLimit
	if f.verdict.kind == saysBlocked {
		limit = blockedLimit
	}
	if b.suspects.before(f.job, outage) >= limit {
		b.suspects.forget(f.job)
		return decision{}
	}
	b.suspects.add(f.job, outage)
	return decision{handBack: true}
}

// notes gives what an operator is to know of a fault of ours: that it is one now, and
// from time to time that it lasts.
func (o *outage) notes(turned bool, now time.Time, about note) []note {
	if o.cause != causeBlocked || !turned && now.Sub(o.warned) < remindEvery {
		return nil
	}
	o.warned = now
	about.kind, about.outage = noteGoesOn, *o
	return []note{about}
}

// count takes in a failure while the template's circuit is closed.
func (b *breaker) count(e *endpoint, c *circuit, v Verdict, now time.Time) (notes []note) {
	if v.kind == saysDown {
		if c.failures++; c.failures < b.settings.Failures {
			return nil
		}
	}
	c.failures = 0
	b.outages++
	c.begin(b.outages, v, now, &b.settings)
	c.warned = now
	notes = append(notes, note{kind: noteOpened, endpoint: e.name, template: c.key, outage: c.outage})
	if ofTemplate(v.failure) {
		return notes
	}
	e.opened[c.key] = struct{}{}
	tenant, one := c.key.Tenant, true
	for key := range e.opened {
		one = one && key.Tenant == tenant
	}
	if !one {
		tenant = ""
	}
	switch {
	case e.whole.open() && !one:
		e.tenant = "" // another tenant meets it as well
	case len(e.opened) > 1 && !e.whole.open():
		b.outages++
		e.whole.begin(b.outages, v, now, &b.settings)
		e.whole.warned = now
		e.tenant = tenant
		notes = append(notes, note{kind: noteOpened, endpoint: e.name, outage: e.whole})
	}
	return notes
}

// interruption names the templates whose jobs an outage keeps back.
func (e *endpoint) interruption(o *outage, c *circuit) Interruption {
	i := Interruption{endpoint: e.name, number: o.number, Why: o.failure}
	if o != &e.whole {
		i.Templates = []ports.TemplateKey{c.key}
		return i
	}
	for key, other := range e.circuits {
		if e.covers(key.Tenant) && (other.stopped || other.open() || other == c) {
			i.Templates = append(i.Templates, key)
		}
	}
	sortTemplates(i.Templates)
	return i
}

// interrupted takes in that an interruption closed runs: what comes now is new, so that
// the next job is a probe at once.
func (b *breaker) interrupted(i Interruption, now time.Time) {
	e := b.endpoints[i.endpoint]
	if e == nil {
		return
	}
	b.changes++
	if e.whole.number == i.number {
		e.whole.hurry(now)
	}
	for _, key := range i.Templates {
		c := e.circuits[key]
		if c == nil {
			continue
		}
		c.stopped = false // what waited of it has no effect any more
		if c.open() && (c.number == i.number || e.whole.number == i.number) {
			c.hurry(now)
		}
		b.tidy(e, c)
	}
}
