package scheduler

import (
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// receiving is how it stands with the Receive.
type receiving struct {
	active    bool
	cancelled bool // CancelReceive was asked for
	limit     int  // places that are kept for it
	skip      ports.Skip
	changes   int // the breaker's when it began
	until     *timer

	notBefore time.Time // after a fault, or while nothing comes that could be used
	gathers   time.Time // since when places have been gathering; zero if they are not
	again     time.Time // until when they do
	faults    pause
	// crowded is for when the queue gives nothing but what can not be used: it can not look
	// past what it is to skip.
	crowded pause
}

// received takes in what a Receive has brought.
func (s *Scheduler) received(e Received) {
	r := &s.receive
	if !r.active {
		return
	}
	r.active, r.cancelled, r.limit = false, false, 0
	r.until.stop()
	jobs := 0
	for i := range e.Messages {
		jobs += len(e.Messages[i].Jobs)
	}
	s.stats.Received += int64(jobs)
	if e.Closed {
		s.stop()
	}
	s.unpark()
	shares := s.share(e.Messages)
	before := s.stats.sentBack
	for i, m := range e.Messages {
		s.admit(m, shares[i])
	}
	sentBack := s.stats.sentBack - before
	switch {
	case e.Failed && len(e.Messages) == 0:
		r.notBefore = s.now.Add(r.faults.next(&s.dice))
		r.crowded.reset()
	case jobs > 0 && sentBack == jobs:
		r.notBefore = s.now.Add(r.crowded.next(&s.dice))
	default:
		if jobs > 0 {
			r.faults.reset()
		}
		r.crowded.reset()
	}
	if r.notBefore.After(s.now) {
		s.timers.set(r.notBefore, func() {})
	}
}

// share deals the free places out to what has come: tenants get the same, as far as they
// can use it, and what one leaves goes to the others in their order.
func (s *Scheduler) share(messages []Message) []int {
	shares := make([]int, len(messages))
	free := max(s.free(), 0)
	if len(messages) == 1 {
		shares[0] = min(free, len(messages[0].Jobs))
		s.keepWhole(messages, shares)
		return shares
	}
	quota := map[core.TenantID]int{}
	for i := range messages {
		if len(messages[i].Jobs) > 0 {
			quota[messages[i].Jobs[0].Tenant] = 0
		}
	}
	each := free / max(len(quota), 1)
	for tenant := range quota {
		quota[tenant] = each
	}
	for i := range messages {
		if jobs := messages[i].Jobs; len(jobs) > 0 {
			n := min(len(jobs), quota[jobs[0].Tenant])
			quota[jobs[0].Tenant] -= n
			shares[i] = n
			free -= n
		}
	}
	for i := range messages {
		n := min(len(messages[i].Jobs)-shares[i], free)
		shares[i] += n
		free -= n
	}
	s.keepWhole(messages, shares)
	return shares
}

// keepWhole lets messages of which some jobs have a place keep the others, up to a bound,
// while jobs are claimed ahead: they are done sooner than they are passed on.
func (s *Scheduler) keepWhole(messages []Message, shares []int) {
	if s.ahead() == 0 {
		return
	}
	for i, more := 0, mostKept; i < len(messages); i++ {
		if shares[i] > 0 {
			n := min(len(messages[i].Jobs)-shares[i], more)
			shares[i] += n
			more -= n
		}
	}
}

// admit takes in a message: as many of its jobs as there are places for, and some that
// wait for a limit. The rest goes back at once, so that others can have it.
func (s *Scheduler) admit(msg Message, places int) {
	m := &message{id: msg.ID}
	s.messages[m.id] = m
	s.touch(m)
	if len(msg.Jobs) == 0 { // it could not be read; perhaps another server can
		m.nack = true
		return
	}
	r := s.runOf(runOf(msg.Jobs[0]))
	for _, job := range msg.Jobs {
		if j := r.jobs[keyOf(job)]; j != nil { // delivered twice
			if slices.Contains(j.messages, m) {
				continue // in one message
			}
			if !j.answered {
				j.messages = append(j.messages, m)
				m.jobs = append(m.jobs, j)
				m.open++
			} else {
				m.kept = true
			}
			continue
		}
		if !s.stopping && places > 0 {
			if pass, ok := s.gate.enter(r, job, s.now); ok {
				places--
				j := s.add(r, m, job)
				s.place(j, pass)
				s.enqueue(claims, item{job: j, cost: len(job.Files)})
				continue
			}
			m.failed = true
			// Jobs of a locked run are not parked: when it is free they would all have the
			// next places, before those whose turn it is.
			if len(s.parked) < s.cfg.Parked && r.stuck == 0 {
				j := s.add(r, m, job)
				s.become(j, parked)
				j.parkedTill = s.now.Add(parkFor)
				s.parked = append(s.parked, j)
				if len(s.parked) == 1 {
					s.timers.set(j.parkedTill, s.expire)
				}
				continue
			}
			s.stats.sentBack++
		}
		m.back = append(m.back, job)
	}
	s.tidy(r)
}

// add puts a job in that came in a message.
func (s *Scheduler) add(r *run, m *message, job core.Job) *Job {
	j := &Job{Job: job, run: r, state: claiming, first: [1]*message{m}}
	j.messages = j.first[:]
	r.jobs[keyOf(job)] = j
	m.jobs = append(m.jobs, j)
	m.open++
	s.jobs++
	s.count(j, 1)
	return j
}

// unpark lets in those of the parked that may enter now, as far as there are places.
func (s *Scheduler) unpark() {
	if len(s.parked) == 0 || s.stopping {
		return
	}
	left := s.parked[:0]
	for _, j := range s.parked {
		if j.state != parked {
			continue
		}
		if s.free() > 0 {
			if pass, ok := s.gate.enter(j.run, j.Job, s.now); ok {
				s.become(j, claiming)
				s.place(j, pass)
				s.enqueue(claims, item{job: j, cost: len(j.Files)})
				continue
			}
		}
		left = append(left, j)
	}
	clear(s.parked[len(left):])
	s.parked = left
}

// expire gives up on those that have been parked for too long.
func (s *Scheduler) expire() {
	n := 0
	for n < len(s.parked) && !s.now.Before(s.parked[n].parkedTill) {
		n++
	}
	expired := s.parked[:n:n]
	s.parked = append([]*Job(nil), s.parked[n:]...)
	s.withdraw(expired, true)
	if len(s.parked) > 0 {
		s.timers.set(s.parked[0].parkedTill, s.expire)
	}
}

// ask begins a Receive if there are places.
func (s *Scheduler) ask() {
	r := &s.receive
	if s.stopping || r.active || s.now.Before(r.notBefore) {
		return
	}
	free := s.free()
	if free <= 0 {
		r.gathers = time.Time{}
		return
	}
	if s.gathering(free) {
		return
	}
	o := s.gate.look(s.now)
	limit := min(free, o.room+s.cfg.Parked-len(s.parked))
	// Messages that go back are ours until the queue has taken them.
	limit = min(limit, s.cfg.Concurrency+s.ahead()+s.cfg.Parked-len(s.messages))
	if !o.till.IsZero() {
		// A moment later, so that it is not a moment too early.
		r.until.stop()
		r.until = s.timers.set(o.till.Add(time.Millisecond), s.restart)
	}
	if limit <= 0 {
		return
	}
	r.gathers = time.Time{}
	r.active, r.limit, r.skip, r.changes = true, limit, o.skip, s.gate.breaker.changes
	s.do(Receive{Limit: limit, Skip: o.skip})
}

// gathering lets the first free place wait a moment for others: short jobs free places
// by ones and twos, and what is received together is claimed together. While all
// transactions are in use nothing is lost by waiting on, so the busier the store, the
// larger the groups.
func (s *Scheduler) gathering(free int) bool {
	r := &s.receive
	if s.cfg.Linger <= 0 || free >= s.cfg.Concurrency/2 {
		return false
	}
	if r.gathers.IsZero() {
		r.gathers, r.again = s.now, s.now.Add(s.cfg.Linger)
		s.timers.set(r.again, func() {})
		return true
	}
	if s.now.Before(r.again) {
		return true
	}
	if s.openTx < s.cfg.Transactions || !s.now.Before(r.gathers.Add(10*s.cfg.Linger)) {
		return false
	}
	r.again = s.now.Add(s.cfg.Linger)
	s.timers.set(r.again, func() {})
	return true
}

// restart ends the Receive that is under way: there is something that it leaves in the
// queue and that could be used now.
func (s *Scheduler) restart() {
	if r := &s.receive; r.active && !r.cancelled {
		r.cancelled = true
		s.do(CancelReceive{})
	}
}
