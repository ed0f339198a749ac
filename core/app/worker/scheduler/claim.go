package scheduler

import "slices"

// claimAnswered starts what was claimed, waits for what is held, and forgets what had no
// effect.
func (s *Scheduler) claimAnswered(e ClaimAnswered) {
	g := s.close(e.Group, claims)
	if g == nil {
		return
	}
	if e.Fault != FaultNone {
		s.claimFailed(g, e.Fault)
		return
	}
	s.claimPause.reset()
	var waiting []item
	for i, it := range g.part.items {
		j := it.job
		outcome := OutcomeDropped
		if i < len(e.Outcomes) {
			outcome = e.Outcomes[i]
		}
		switch outcome {
		case OutcomeHeld:
			waiting = append(waiting, it)
		case OutcomeClaimed:
			s.stats.Claimed++
			s.claimAnsweredOf(j)
			s.become(j, ready)
			s.claimed.add(j)
			s.ready = append(s.ready, j)
		case OutcomeDropped:
			s.claimAnsweredOf(j)
			s.gate.breaker.noEffect(j.Job, &j.pass)
			s.finish(j)
		}
	}
	s.claimHeld(g, waiting)
}

// claimHeld waits for the runs that were found locked, unless the worker stops. Until
// then their jobs keep their places from others, so no more than a quarter of them do
// that; the rest gathers where the run is in use.
func (s *Scheduler) claimHeld(g *group, waiting []item) {
	if g.held != nil && len(waiting) == len(g.held.items) && !s.stopping {
		g.held.again(s)
		return
	}
	if g.held != nil {
		s.unhold(g.held)
	}
	if s.stopping {
		s.withdrawItems(waiting)
		waiting = nil
	}
	parts := byRun(waiting)
	for _, r := range g.part.runs {
		stays := false
		for _, p := range parts {
			stays = stays || p.runs[0] == r
		}
		if !stays {
			s.release(r)
		}
	}
	for _, p := range parts {
		most := max(1, s.cfg.Concurrency/4)
		for _, it := range p.items[min(most, len(p.items)):] {
			s.enqueue(claims, it)
		}
		s.hold(&held{kind: claims, run: p.runs[0], items: p.items[:min(most, len(p.items))]})
	}
}

func (s *Scheduler) withdrawItems(items []item) { s.withdraw(jobsOf(items), false) }

// claimFailed tries the parts of a group, since it may have failed by one of them, or
// sends jobs back to the queue, since it is not known which are claimed. Until then their places stay
// taken: that is what keeps an outage from being hammered.
func (s *Scheduler) claimFailed(g *group, fault Fault) {
	if g.held != nil {
		s.unhold(g.held)
	}
	if s.stopping {
		s.withdrawItems(g.part.items)
		s.releaseRuns(g)
		return
	}
	if len(g.part.items) > 1 && fault != FaultOfStore {
		s.split(g)
		return
	}
	jobs := jobsOf(g.part.items)
	s.releaseRuns(g)
	s.timers.set(s.now.Add(s.claimPause.next(&s.dice)), func() { s.withdraw(jobs, true) })
}

func (s *Scheduler) releaseRuns(g *group) {
	for _, r := range g.part.runs {
		s.release(r)
	}
}

// execute begins claimed jobs, as many as may run. One that is better not begun, because
// an outage has begun since it came, is handed back.
func (s *Scheduler) execute() {
	var jobs []*Job
	n := 0
	for ; n < len(s.ready) && (s.running < s.cfg.Concurrency || s.drain >= cancelling); n++ {
		j := s.ready[n]
		if j.state != ready {
			continue
		}
		if s.drain >= cancelling || s.gate.breaker.holds(j.Job, &j.pass, s.now) {
			s.handBack(j)
			continue
		}
		s.become(j, executing)
		j.begun = s.now
		s.running++
		jobs = append(jobs, j)
	}
	s.ready = slices.Delete(s.ready, 0, n)
	if len(jobs) > 0 {
		s.do(Execute{Jobs: jobs})
	}
}

// executed takes in how a job has ended.
func (s *Scheduler) executed(e Executed) {
	j := e.Job
	if j.state != executing {
		return
	}
	s.running--
	if e.GaveUp {
		s.giveUp(j)
		return
	}
	s.pace.add(s.now.Sub(j.begun))
	v := e.Verdict
	if j.pieces != nil && j.pieces.any {
		v = Verdict{kind: saysAnswered} // it has to be recorded, whatever else happened to it
	}
	d := s.gate.breaker.leave(j.Job, &j.pass, v, s.now)
	s.notify(d.notes)
	if d.handBack {
		j.interrupt = d.interrupt
		s.handBack(j)
		return
	}
	j.early, j.rest = e.Early, e.Rest
	s.become(j, recording)
	s.record(j)
}

// giveUp lets go of a claimed job without recording anything more. If the worker stops
// it is handed back.
func (s *Scheduler) giveUp(j *Job) {
	s.dropPieces(j)
	if s.drain >= cancelling && !j.lost {
		s.handBack(j)
		return
	}
	s.finish(j)
}

// lose stops the execution of jobs whose lease is lost.
func (s *Scheduler) lose(jobs []*Job) {
	var stop []*Job
	for _, j := range jobs {
		if !j.state.isClaimed() || j.lost {
			continue
		}
		s.stats.LostLeases++
		j.lost = true
		switch {
		case j.state == executing:
			stop = append(stop, j)
			s.dropPieces(j)
		case j.state == ready, j.retry != nil:
			s.giveUp(j)
		case j.state == recording && !j.executed:
			s.giveUp(j)
		}
	}
	if len(stop) > 0 {
		s.do(Cancel{Jobs: stop})
	}
}
