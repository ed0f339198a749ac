package worker

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// pool is who is in the pool and who waits at its gate. It is guarded by Worker.mu.
type pool struct {
	gate    gate
	free    int           // places
	unsaved int           // cost of the results of those who have no place any more, and of pieces
	saved   chan struct{} // closed when unsaved gets less; nil if none waits for that
	most    int           // parked
	entries map[entryKey]*entry
	parked  []*entry      // oldest first
	freed   chan struct{} // has one if a place was freed
	// anew ends the Receive that waits; nil if none does. skipping says that it might be
	// asked for something that it leaves now, and changes is the breaker's when it began.
	anew     context.CancelFunc
	skipping bool
	changes  int
	stopping bool       // nothing enters any more
	undone   []core.Job // given up because the worker stops
}

func newPool(o Options) pool {
	return pool{
		gate: newGate(o), free: o.Concurrency, most: max(o.Parked, 0),
		entries: map[entryKey]*entry{}, freed: make(chan struct{}, 1),
	}
}

// sorted is what becomes of deliveries.
type sorted struct {
	enter     []*entry
	ack, nack []share
}

// admit takes in a delivery for which a place is taken, which it gives back if
// the job does not need it.
func (p *pool) admit(d share, now time.Time, s *sorted) {
	job := d.job
	key := keyOf(job)
	if e := p.entries[key]; e != nil {
		// Delivered twice. Once the claim is answered there is nothing left to wait for.
		p.free++
		if e.answered {
			s.ack = append(s.ack, d)
		} else {
			e.deliveries = append(e.deliveries, d)
		}
		return
	}
	for _, e := range p.parked {
		if keyOf(e.job) == key {
			p.free++
			e.deliveries = append(e.deliveries, d)
			return
		}
	}
	if !p.stopping {
		if pass, ok := p.gate.enter(job, now); ok {
			e := &entry{job: job, deliveries: []share{d}, placed: true, pass: pass}
			p.entries[key] = e
			s.enter = append(s.enter, e)
			return
		}
	}
	p.free++
	// Jobs of a locked run are not parked: when it is free they would all have the
	// next places, before those whose turn it is.
	if p.stopping || len(p.parked) >= p.most || p.gate.stuck[runOf(job)] > 0 {
		s.nack = append(s.nack, d)
		return
	}
	p.parked = append(p.parked, &entry{job: job, deliveries: []share{d}, parkedTill: now.Add(parkFor)})
}

// unpark lets in those of the parked that may enter now, as far as there are places.
func (p *pool) unpark(now time.Time) (enter []*entry) {
	if len(p.parked) == 0 || p.stopping {
		return nil
	}
	left := p.parked[:0]
	for _, e := range p.parked {
		if p.free > 0 {
			var ok bool
			if e.pass, ok = p.gate.enter(e.job, now); ok {
				e.placed = true
				p.free--
				p.entries[keyOf(e.job)] = e
				enter = append(enter, e)
				continue
			}
		}
		left = append(left, e)
	}
	clear(p.parked[len(left):])
	p.parked = left
	return enter
}

// expire gives up on those that have been parked for too long, or on all.
func (p *pool) expire(now time.Time, all bool) (nack []share) {
	left := p.parked[:0]
	for _, e := range p.parked {
		if all || !now.Before(e.parkedTill) {
			nack = append(nack, e.deliveries...)
			continue
		}
		left = append(left, e)
	}
	clear(p.parked[len(left):])
	p.parked = left
	return nack
}

// remove ends a job's stay.
func (p *pool) remove(e *entry, now time.Time) {
	key := keyOf(e.job)
	if p.entries[key] != e {
		return
	}
	delete(p.entries, key)
	if !e.placed {
		p.lighten(e.unsaved)
		return
	}
	p.leave(e, now)
}

// leave gives back a job's place and what it held of limits.
func (p *pool) leave(e *entry, now time.Time) {
	e.placed = false
	p.free++
	p.gate.leave(e.job, &e.pass, now)
}

// vacates reports whether a job needs its place no more, although its results are
// not recorded: others may execute meanwhile, unless too many results are waiting.
func (p *pool) vacates(e *entry) bool {
	return e.placed && e.executed && e.acked && p.unsaved+e.resultCost() <= unsavedCost
}

// wake tells the receive loop that there is a place.
func (p *pool) wake() {
	select {
	case p.freed <- struct{}{}:
	default:
	}
}

func (p *pool) claimedJobs() []core.Job {
	jobs := make([]core.Job, 0, len(p.entries))
	for _, e := range p.entries {
		if e.claimed {
			jobs = append(jobs, e.job)
		}
	}
	return jobs
}

// releaseLocked ends the stay of jobs: their places and what they held of limits
// go to those who wait. The caller holds mu.
func (w *Worker) releaseLocked(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	now := time.Now()
	var stopped []hindered
	for _, e := range entries {
		stopped = w.pool.gate.hinder(stopped, e.job, now)
		w.pool.remove(e, now)
	}
	w.opened(stopped, now)
}

// vacateLocked gives the places of these jobs to others, where they need them no
// more. The caller holds mu.
func (w *Worker) vacateLocked(entries ...*entry) {
	now := time.Now()
	var stopped []hindered
	vacated := false
	for _, e := range entries {
		if w.pool.vacates(e) {
			vacated = true
			stopped = w.pool.gate.hinder(stopped, e.job, now)
			e.unsaved = e.resultCost()
			w.pool.unsaved += e.unsaved
			w.pool.leave(e, now)
		}
	}
	if vacated {
		w.opened(stopped, now)
	}
}

// opened lets in whoever can use what was freed of what stopped these. The caller
// holds mu.
func (w *Worker) opened(stopped []hindered, now time.Time) {
	w.enter(w.pool.unpark(now))
	if w.pool.free > 0 {
		w.pool.wake()
	}
	if w.pool.anew == nil {
		return
	}
	if w.pool.changes != w.pool.gate.breaker.changes {
		w.pool.anew()
		return
	}
	if !w.pool.skipping {
		return
	}
	for _, h := range stopped {
		if h.by&^w.pool.gate.barriers(h.job, now) != 0 {
			w.pool.anew()
			return
		}
	}
}

// report tells the breaker what a job says about its provider, and asks what is to
// become of the job.
func (w *Worker) report(e *entry, v verdict) decision {
	now := time.Now()
	w.mu.Lock()
	stopped := w.pool.gate.hinder(nil, e.job, now)
	d := w.pool.gate.breaker.leave(e.job, &e.pass, v, now)
	w.opened(stopped, now)
	w.mu.Unlock()
	w.tellOperator(d.notes)
	return d
}

// enter sends entries to be claimed. The caller holds mu, so that nothing is
// sent any more once the pool is stopping.
func (w *Worker) enter(entries []*entry) {
	for len(entries) > 0 {
		tenant := entries[0].job.Tenant
		var group, others []*entry
		for _, e := range entries {
			if e.job.Tenant == tenant {
				group = append(group, e)
			} else {
				others = append(others, e)
			}
		}
		w.claims.add(group...)
		entries = others
	}
}
