package scheduler

import "time"

// held is what is to be done about a run that was found locked: by waiting for the
// lock, or, while others wait for theirs, by trying again and again. However many runs
// are locked, they do not stop what is free.
type held struct {
	kind  kind
	run   *run // in use, but by renewals
	items []item
	jobs  []*Job // of renewals
	busy  bool   // a transaction is under way
	over  bool
	retry time.Time
	until time.Time // of renewals: not after that
	timer *timer    // claims: when it takes too long
	stuck bool      // it has
}

// hold makes what was found locked be waited for. Its run stays in use.
func (s *Scheduler) hold(h *held) {
	h.retry = s.now.Add(heldRetry)
	s.timers.set(h.retry, func() {})
	s.held = append(s.held, h)
	if h.kind == claims {
		h.timer = s.timers.set(s.now.Add(stuckAfter), func() { s.isStuck(h) })
	}
}

// writeHeld waits for locked runs, or tries them again.
func (s *Scheduler) writeHeld() {
	left := s.held[:0]
	for _, h := range s.held {
		if h.over {
			continue
		}
		if h.kind == renewals && !h.busy {
			h.jobs = stillClaimed(h.jobs)
			if len(h.jobs) == 0 || !s.now.Before(h.until) { // the next round tries again
				s.renewed(h.jobs)
				h.over = true
				continue
			}
		}
		left = append(left, h)
		if h.busy {
			continue
		}
		g := &group{kind: h.kind, part: part{items: h.items}, jobs: h.jobs, held: h, within: h.until.Sub(s.now)}
		switch {
		case s.waitingTx < s.mostWaiting():
			g.wait = true
		case s.openTx < s.cfg.Transactions && !s.now.Before(h.retry):
		default:
			continue
		}
		if h.run != nil {
			g.part.runs = []*run{h.run}
		}
		h.busy = true
		s.issue(s.open(g))
		s.renewedLast = s.renewedLast && h.kind == renewals
	}
	clear(s.held[len(left):])
	s.held = left
}

// again makes a run that is still locked be tried again.
func (h *held) again(s *Scheduler) {
	h.retry = s.now.Add(heldRetry)
	s.timers.set(h.retry, func() {})
}

// unhold ends a wait.
func (s *Scheduler) unhold(h *held) {
	h.over = true
	h.timer.stop()
	if h.stuck {
		h.stuck = false
		h.run.stuck--
	}
}

// isStuck keeps a run that stays locked from filling the places: what gathers of it
// goes back to the queue, and nothing more of it is let in until its claim is answered.
func (s *Scheduler) isStuck(h *held) {
	h.stuck = true
	h.run.stuck++
	s.do(Notify{Note: Note{Kind: NoteRunLocked, Run: h.run.key}})
	s.withdraw(jobsOf(s.withdrawn(h.run, claims)), true)
}

// byRun takes items apart by their runs, in the order in which these come.
func byRun(items []item) (parts []part) {
	for _, it := range items {
		i := len(parts) - 1
		for i >= 0 && parts[i].runs[0] != it.job.run {
			i--
		}
		if i < 0 {
			i = len(parts)
			parts = append(parts, part{runs: []*run{it.job.run}})
		}
		parts[i].items = append(parts[i].items, it)
	}
	return parts
}

// split makes the parts of a group be tried that failed, perhaps by one of them: its
// runs one by one, or the halves of one run's.
func (s *Scheduler) split(g *group) {
	parts := byRun(g.part.items)
	if len(parts) == 1 {
		half := len(g.part.items) / 2
		runs := parts[0].runs
		parts = []part{{g.part.items[:half:half], runs}, {g.part.items[half:], runs}}
	}
	l := &g.part.items[0].job.run.tenant.lanes[g.kind]
	for _, p := range parts {
		p.runs[0].parts++
	}
	l.parts = append(parts, l.parts...)
	s.examine(l)
	s.releaseRuns(g)
}
