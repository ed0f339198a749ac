package scheduler

// handBack gives a job back that could not be done now. It waits in the queue, as
// pending files, until it can. What it has answered and is on its way to the store is
// recorded before.
func (s *Scheduler) handBack(j *Job) {
	s.become(j, returning)
	if s.dropPieces(j); j.pieces.busy() {
		j.returnsLater = true
		return
	}
	s.enqueue(handBacks, item{job: j, cost: len(j.Files)})
}

// handedBack lets go of what was handed back.
func (s *Scheduler) handedBack(e HandedBack) {
	g := s.close(e.Group, handBacks)
	if g == nil {
		return
	}
	s.releaseRuns(g)
	if e.Fault != FaultNone {
		s.tryLater(handBacks, g.part.items)
		return
	}
	s.stats.HandedBack += int64(len(g.part.items))
	for _, it := range g.part.items {
		if it.job.state == returning {
			s.finish(it.job)
		}
	}
	for _, it := range g.part.items { // now that no file of their runs is processing because of them
		if i := it.job.interrupt; len(i.Templates) > 0 && !s.stopping {
			s.interrupts++
			s.do(Interrupt{Interruption: i})
		}
	}
}

// interrupted takes in that runs were closed: what comes now is new.
func (s *Scheduler) interrupted(e Interrupted) {
	s.interrupts--
	s.stats.Interrupted += int64(e.Closed)
	if e.Closed > 0 {
		s.gate.breaker.interrupted(e.Interruption, s.now)
	}
}
