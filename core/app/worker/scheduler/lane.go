package scheduler

import (
	"slices"
	"time"
)

// lane is what is to be written of a kind for a tenant. While one group of a lane is
// being written the next gathers, so groups grow with the load; lanes do not wait for
// each other.
type lane struct {
	kind   kind
	runs   []*run // with something that waits, in the order in which it came
	parts  []part // of groups that failed, which go first
	busy   bool   // a group is being written
	listed bool   // it is in Scheduler.lanes
	// notBefore lets the first result of a lane that was empty wait for others.
	notBefore time.Time
}

// part is what is written in one transaction, with its runs.
type part struct {
	items []item
	runs  []*run
}

// enqueue puts something in its lane; it is written soon.
func (s *Scheduler) enqueue(k kind, it item) {
	r := it.job.run
	l := &r.tenant.lanes[k]
	empty := len(l.runs) == 0 && len(l.parts) == 0
	r.waiting[k] = append(r.waiting[k], it)
	if !r.listed[k] {
		r.listed[k] = true
		l.runs = append(l.runs, r)
	}
	if k == results && empty && !l.busy && s.cfg.Linger > 0 {
		l.notBefore = s.now.Add(s.cfg.Linger)
		s.timers.set(l.notBefore, func() { s.examine(l) })
		return
	}
	s.examine(l)
}

// examine makes the lane be looked at for something that can be written.
func (s *Scheduler) examine(l *lane) {
	if !l.listed {
		l.listed = true
		s.lanes = append(s.lanes, l)
	}
}

// take takes what can be written of what waits in a lane, up to a cost but at least
// one, and its runs into use.
func (s *Scheduler) take(l *lane) (p part) {
	for i, p := range l.parts { // each of one run
		if p.runs[0].available(l.kind) {
			l.parts = slices.Delete(l.parts, i, i+1)
			p.runs[0].parts--
			p.runs[0].use(l.kind)
			return p
		}
	}
	k, cost, full := l.kind, 0, false
	left := l.runs[:0]
	for _, r := range l.runs {
		waiting := r.waiting[k]
		if full || !r.available(k) {
			left = append(left, r)
			continue
		}
		n := 0
		for n < len(waiting) && (len(p.items) == 0 && n == 0 || cost+waiting[n].cost <= groupCost) {
			cost += waiting[n].cost
			n++
		}
		if n == 0 {
			full = true
			left = append(left, r)
			continue
		}
		p.runs = append(p.runs, r)
		r.use(k)
		if n < len(waiting) {
			full = true
			r.waiting[k] = append([]item(nil), waiting[n:]...)
			left = append(left, r)
		} else {
			r.waiting[k] = nil
			r.listed[k] = false
		}
		if len(p.items) == 0 {
			p.items = waiting[:n:n] // the run has let go of it
		} else {
			p.items = append(p.items, waiting[:n]...)
		}
		if k == handBacks { // one run at a time: they wait for it
			full = true
		}
	}
	clear(l.runs[len(left):])
	l.runs = left
	return p
}

// group is something that is being done about jobs.
type group struct {
	id     GroupID
	kind   kind
	part   part
	lane   *lane
	held   *held // the wait that it is for; nil for none
	wait   bool  // it may wait for a run, and counts as such
	jobs   []*Job
	within time.Duration // of renewals
}

// open begins a group.
func (s *Scheduler) open(g *group) *group {
	s.groupID++
	g.id = s.groupID
	s.groups[g.id] = g
	if g.wait {
		s.waitingTx++
	} else {
		s.openTx++
	}
	return g
}

// close takes a group whose answer has come; nil if it is not there.
func (s *Scheduler) close(id GroupID, k kind) *group {
	g := s.groups[id]
	if g == nil || g.kind != k {
		return nil
	}
	delete(s.groups, id)
	if g.wait {
		s.waitingTx--
	} else {
		s.openTx--
	}
	if g.held != nil {
		g.held.busy = false
	}
	if k == claims {
		for _, it := range g.part.items {
			it.job.inClaim = false
		}
	}
	if g.lane != nil {
		g.lane.busy = false
		s.examine(g.lane)
	}
	return g
}

func jobsOf(items []item) []*Job {
	jobs := make([]*Job, len(items))
	for i := range items {
		jobs[i] = items[i].job
	}
	return jobs
}

// issue asks for what a group is for.
func (s *Scheduler) issue(g *group) {
	switch g.kind {
	case claims:
		for _, it := range g.part.items {
			it.job.inClaim = true
		}
		s.stats.ClaimGroups++
		s.do(Claim{Group: g.id, Jobs: jobsOf(g.part.items), Wait: g.wait})
	case results:
		s.stats.SettleGroups++
		settlements := make([]Settlement, len(g.part.items))
		for i, it := range g.part.items {
			settlements[i] = Settlement{Job: it.job, Piece: it.piece, NotKept: it.piece == 0 && it.job.notKept}
		}
		s.do(Settle{Group: g.id, Settlements: settlements, Wait: g.wait})
	case handBacks:
		s.do(HandBack{Group: g.id, Jobs: jobsOf(g.part.items)})
	case renewals:
		s.stats.RenewGroups++
		s.do(Renew{Group: g.id, Jobs: g.jobs, Wait: g.wait, Within: g.within})
	case looks:
		s.do(Look{Group: g.id, Jobs: g.jobs})
	case kinds: // how many take turns, and none of them
	}
}

// mostWaiting is how many transactions may wait for locked runs at once.
func (s *Scheduler) mostWaiting() int { return max(1, s.cfg.Transactions/2) }

// write begins what can be written, as far as transactions are free. Renewals come
// first: a lease that runs out costs work that was done. After one it is the turn of the
// others: a store that takes longer for renewals than there is between them would record
// nothing any more.
func (s *Scheduler) write() {
	if !s.renewedLast {
		s.writeRenewals()
	}
	s.writeHeld()
	s.writeLanes()
	s.writeRenewals()
}

func (s *Scheduler) writeRenewals() {
	for len(s.renewals) > 0 && s.openTx < s.cfg.Transactions {
		g := s.renewals[0]
		s.renewals = s.renewals[1:]
		if g.jobs = stillClaimed(g.jobs); len(g.jobs) == 0 {
			if g.kind == looks {
				s.looks--
			}
			continue
		}
		s.issue(s.open(g))
		s.renewedLast = true
	}
}

// stillClaimed leaves out what was recorded or handed back while it waited to be renewed.
func stillClaimed(jobs []*Job) []*Job {
	return slices.DeleteFunc(jobs, func(j *Job) bool { return !j.state.isClaimed() })
}

func (s *Scheduler) writeLanes() {
	later := s.lanes[:0]
	for i := 0; i < len(s.lanes); i++ { // it may grow meanwhile
		l := s.lanes[i]
		if s.isFull(l.kind) {
			later = append(later, l)
			continue
		}
		l.listed = false
		if l.busy || s.now.Before(l.notBefore) {
			continue
		}
		p := s.take(l)
		if len(p.items) == 0 {
			continue
		}
		g := &group{kind: l.kind, part: p, wait: l.kind == handBacks && s.waitingTx < s.mostWaiting()}
		if l.kind == handBacks {
			s.examine(l) // the other runs need not wait for this one
		} else {
			g.lane, l.busy = l, true
		}
		s.issue(s.open(g))
		s.renewedLast = false
	}
	s.lanes = later
}

// isFull reports whether no transaction is free for a kind. A hand back waits for its
// run, so it is one of those that may; at the end of a stop all are free for it.
func (s *Scheduler) isFull(k kind) bool {
	if k == handBacks && s.waitingTx < s.mostWaiting() {
		return false
	}
	if k == handBacks && s.drain < cancelling {
		return true
	}
	return s.openTx >= s.cfg.Transactions
}
