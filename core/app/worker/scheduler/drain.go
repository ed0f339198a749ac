package scheduler

import "slices"

// drainStage is how far a stop is.
type drainStage uint8

const (
	working     drainStage = iota
	finishing              // nothing is claimed any more; what is under way may end
	cancelling             // it is told to, and handed back
	handingBack            // what has not ended by now is handed back nevertheless
	stopped
)

// stop begins the drain: what is not being claimed goes back to the queue.
func (s *Scheduler) stop() {
	if s.stopping {
		return
	}
	s.stopping, s.drain = true, finishing
	s.restart()
	s.withdraw(s.parked, false)
	s.parked = nil
	for _, h := range s.held {
		if h.kind == claims && !h.busy && !h.over {
			s.unhold(h)
			s.withdrawItems(h.items)
			s.release(h.run)
		}
	}
	ids := make([]MessageID, 0, len(s.messages))
	for id := range s.messages {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for _, j := range s.messages[id].jobs {
			if j.state != claiming {
				continue
			}
			s.withdrawn(j.run, claims)
			l := &j.run.tenant.lanes[claims]
			parts := l.parts
			l.parts = nil
			for _, p := range parts {
				p.runs[0].parts--
				s.withdrawItems(p.items)
			}
			if !j.inClaim { // it waited, alone or after a fault
				s.withdraw([]*Job{j}, false)
			}
		}
	}
	s.timers.set(s.now.Add(s.cfg.DrainTimeout), s.cancelRest)
}

// cancelRest tells what is under way to end, and hands back what is not.
func (s *Scheduler) cancelRest() {
	s.drain = cancelling
	var jobs []*Job
	for j := s.claimed.first; j != nil; {
		next := j.next
		switch {
		case j.state == executing:
			s.dropPieces(j)
			if !j.lost {
				jobs = append(jobs, j)
			}
		case j.state == recording && (j.retry != nil || !j.executed):
			s.giveUp(j)
		case j.state == returning && j.retry != nil:
			j.retry = nil
			s.enqueue(handBacks, item{job: j, cost: len(j.Files)})
		}
		j = next
	}
	if len(jobs) > 0 {
		s.do(Notify{Note{Kind: NoteHandingBack, Jobs: len(jobs)}})
		s.do(Cancel{Jobs: jobs})
	}
	s.timers.set(s.now.Add(abandonAfter), s.handBackRest)
}

// handBackRest hands back what did not end when it was told to.
func (s *Scheduler) handBackRest() {
	s.drain = handingBack
	left := 0
	for j := s.claimed.first; j != nil; j = j.next {
		if j.state == executing {
			left++
			s.running--
			s.handBack(j)
		}
	}
	unanswered := 0
	for _, g := range s.groups {
		if g.kind == claims {
			unanswered += len(g.part.items)
		}
	}
	if left > 0 {
		s.do(Notify{Note{Kind: NoteNotEnded, Jobs: left}})
	}
	if unanswered > 0 {
		s.do(Notify{Note{Kind: NoteNotAnswered, Jobs: unanswered}})
	}
	s.timers.set(s.now.Add(HandBackTimeout), func() { s.end() })
}

// drained ends the stop when nothing is left, or nothing that can be waited for.
func (s *Scheduler) drained() {
	switch s.drain {
	case finishing, cancelling:
		if s.jobs == 0 && s.unsaved == 0 && len(s.messages) == 0 && len(s.groups) == 0 && s.interrupts == 0 && !s.receive.active {
			s.end()
		}
	case handingBack:
		if s.claimed.first != nil {
			return
		}
		for _, m := range s.messages {
			if m.telling {
				return
			}
		}
		s.end()
	case working, stopped:
	}
}

func (s *Scheduler) end() {
	if s.drain != stopped {
		s.drain = stopped
		s.do(Stopped{})
	}
}
