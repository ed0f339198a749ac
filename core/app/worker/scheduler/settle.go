package scheduler

// record sends the results of a job that was executed to be recorded: most of them in
// pieces, if they are too large to be written at once or must be tried one by one.
func (s *Scheduler) record(j *Job) {
	cost := j.rest
	for _, c := range j.early {
		cost += c
	}
	if len(j.early) > 0 && (cost > pieceCost || j.pieces.one()) {
		early := j.early
		if j.rest == 0 { // the settlement that counts the job needs a file
			last := len(early) - 1
			j.rest, early = early[last], early[:last]
		}
		j.early = nil
		p := s.piecesOf(j)
		p.pending = append(p.pending, early...)
		s.wantRoom(j)
	}
	s.settleWhole(j)
}

// settleWhole records what is left of a job, once nothing of it is on its way to the
// store.
func (s *Scheduler) settleWhole(j *Job) {
	if j.state != recording || j.executed || j.pieces.busy() {
		return
	}
	if j.pieces != nil && j.pieces.dropped { // what was not recorded is not to be taken for files without a result
		s.giveUp(j)
		return
	}
	j.cost = len(j.Files) + max(j.rest-1, 0)
	for _, c := range j.early {
		j.cost += c - 1
	}
	j.executed = true
	s.vacate(j)
	s.enqueue(results, item{job: j, cost: j.cost})
}

// settleAnswered lets go of what was recorded.
func (s *Scheduler) settleAnswered(e SettleAnswered) {
	g := s.close(e.Group, results)
	if g == nil {
		return
	}
	if e.Fault != FaultNone {
		s.settleFailed(g, e.Fault)
		return
	}
	var waiting []item
	for i, it := range g.part.items {
		if i < len(e.Held) && e.Held[i] {
			waiting = append(waiting, it)
		}
	}
	if g.held != nil && len(waiting) > 0 {
		g.held.again(s)
		return
	}
	if g.held != nil {
		s.unhold(g.held)
	}
	parts := byRun(waiting)
	for i, it := range g.part.items {
		if i < len(e.Held) && e.Held[i] {
			continue
		}
		s.recorded(it)
	}
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
		s.hold(&held{kind: results, run: p.runs[0], items: p.items})
	}
}

func (s *Scheduler) recorded(it item) {
	if it.piece > 0 {
		s.pieceOver(it.job, true)
		return
	}
	if it.job.state != recording { // it was given up meanwhile
		return
	}
	s.stats.Settled++
	s.finish(it.job)
}

// settleFailed tries the parts of a group, or keeps a result for another try: what was
// worked for is given up only when its lease is lost, the worker stops, or the store can
// never hold it.
func (s *Scheduler) settleFailed(g *group, fault Fault) {
	if g.held != nil {
		s.unhold(g.held)
	}
	if len(g.part.items) > 1 && fault != FaultOfStore {
		s.split(g)
		return
	}
	s.releaseRuns(g)
	if fault == FaultRefused {
		s.refused(g.part.items[0])
		return
	}
	s.tryLater(results, g.part.items)
}

// refused does what can be done about results that the store can never hold: those of
// several files are tried one by one; of a file that is refused alone, and of all that
// is left if that is not the reason, the run is to say that they could not be kept.
func (s *Scheduler) refused(it item) {
	j := it.job
	if it.piece == 0 && j.state != recording {
		return
	}
	switch {
	case it.piece > 0:
		s.pieceRefused(j)
	case len(j.early) > 0 && !j.pieces.one():
		s.piecesOf(j).singly = true
		s.lighten(j.unsaved) // its pieces are counted
		j.unsaved = 0
		j.executed = false
		s.record(j)
	case !j.notKept:
		j.notKept = true
		s.enqueue(results, item{job: j, cost: j.cost})
	default: // not even that: it is not the results
		s.tryLater(results, []item{it})
	}
}

// tryLater does something about claimed jobs again after a pause, unless their leases are
// lost by then or the worker gives them up.
func (s *Scheduler) tryLater(k kind, items []item) {
	tries := 0
	for _, it := range items {
		it.job.tries++
		tries = max(tries, it.job.tries)
	}
	if s.drain >= cancelling {
		for _, it := range items {
			s.giveUpItem(k, it)
		}
		return
	}
	var again *timer
	again = s.timers.set(s.now.Add(backoff(tries, &s.dice)), func() {
		for _, it := range items {
			if it.job.retry == again {
				it.job.retry = nil
				s.enqueue(k, it)
			}
		}
	})
	for _, it := range items {
		it.job.retry, it.job.retryOf = again, it.piece
	}
}

// forgetRetry lets a job wait no more for another try.
func (s *Scheduler) forgetRetry(j *Job) {
	if j.retry == nil {
		return
	}
	j.retry = nil
	if j.retryOf > 0 {
		s.unfly(j)
		j.pieces.dropped = true
	}
}

// giveUpItem lets go of what could not be written while the worker stops.
func (s *Scheduler) giveUpItem(k kind, it item) {
	switch {
	case it.piece > 0:
		s.pieceOver(it.job, false)
	case k == handBacks || !it.job.state.isClaimed():
		if it.job.state.isClaimed() {
			s.finish(it.job)
		}
	default:
		s.giveUp(it.job)
	}
}
