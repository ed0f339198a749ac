package scheduler

// pieces are the results of a job that are recorded before the job is counted, most
// often while it goes on. They are recorded in bounded pieces as they come, one after the
// other: while one is being written the next gathers. The scheduler knows what they cost;
// the results themselves are with the job's Work, in the same order.
type pieces struct {
	pending []int // costs of those that wait for room
	waiting []int // of those that were taken in and are not in a piece yet
	flying  int   // results of the piece that is on its way to the store; 0: none is
	unsaved int   // cost of what was taken in and is not recorded
	any     bool  // a result was taken in
	dropped bool  // one was given up: the job cannot be settled any more
	singly  bool  // a piece has one result: the store refused a larger one
}

// busy reports whether something is on its way to the store.
func (p *pieces) busy() bool {
	return p != nil && (p.flying > 0 || len(p.waiting) > 0 || len(p.pending) > 0)
}

// one reports whether results go one by one.
func (p *pieces) one() bool { return p != nil && p.singly }

func (s *Scheduler) piecesOf(j *Job) *pieces {
	if j.pieces == nil {
		j.pieces = &pieces{}
	}
	return j.pieces
}

// reported takes in a result that came while its job goes on, if there is room for it.
func (s *Scheduler) reported(e Reported) {
	j := e.Job
	if j.state != executing || j.lost || s.drain >= cancelling {
		return
	}
	p := s.piecesOf(j)
	p.pending = append(p.pending, e.Cost)
	s.wantRoom(j)
	s.acceptReports()
}

func (s *Scheduler) wantRoom(j *Job) {
	for _, other := range s.reports {
		if other == j {
			return
		}
	}
	s.reports = append(s.reports, j)
}

// acceptReports takes in results that wait, as far as there is room.
func (s *Scheduler) acceptReports() {
	left := s.reports[:0]
	for _, j := range s.reports {
		p, n := j.pieces, 0
		for n < len(p.pending) && s.roomFor(p, p.pending[n]) {
			p.any = true
			p.unsaved += p.pending[n]
			s.unsaved += p.pending[n]
			n++
		}
		if n > 0 {
			p.waiting = append(p.waiting, p.pending[:n]...)
			p.pending = p.pending[n:]
			s.do(Accept{Job: j, N: n})
			s.sendPiece(j)
		}
		if len(p.pending) > 0 {
			left = append(left, j)
		}
	}
	clear(s.reports[len(left):])
	s.reports = left
}

// roomFor reports whether a job may have that much more waiting to be recorded. What
// is larger than all bounds goes alone.
func (s *Scheduler) roomFor(p *pieces, cost int) bool {
	return (p.unsaved == 0 || p.unsaved+cost <= jobUnsaved) && (s.unsaved == 0 || s.unsaved+cost <= unsavedCost)
}

// lighten takes off what was recorded, or was given up.
func (s *Scheduler) lighten(cost int) {
	s.unsaved -= cost
}

// sendPiece sends what has gathered of a job, up to the bounds, unless nothing has or a
// piece is on its way.
func (s *Scheduler) sendPiece(j *Job) {
	p := j.pieces
	if p.flying > 0 || len(p.waiting) == 0 {
		return
	}
	n, most, cost := 0, min(len(p.waiting), pieceResults), 0
	if p.singly {
		most = 1
	}
	for n < most && (n == 0 || cost+p.waiting[n] <= pieceCost) {
		cost += p.waiting[n]
		n++
	}
	p.flying = n
	s.enqueue(results, item{job: j, piece: n, cost: cost})
}

// pieceOver lets go of a piece that was saved, or given up, and sends the next.
func (s *Scheduler) pieceOver(j *Job, saved bool) {
	p := j.pieces
	s.unfly(j)
	p.dropped = p.dropped || !saved
	if j.lost || j.state != executing && j.state != recording { // nothing more of it can be recorded
		s.dropPieces(j)
	}
	if j.returnsLater {
		j.returnsLater = false
		s.enqueue(handBacks, item{job: j, cost: len(j.Files)})
		return
	}
	s.sendPiece(j)
	s.settleWhole(j)
}

// unfly takes the results of the piece that was on its way out of those that wait.
func (s *Scheduler) unfly(j *Job) {
	p := j.pieces
	cost := 0
	for _, c := range p.waiting[:p.flying] {
		cost += c
	}
	p.waiting = p.waiting[p.flying:]
	p.flying = 0
	p.unsaved -= cost
	s.lighten(cost)
}

// dropPieces gives up what is not on its way to the store.
func (s *Scheduler) dropPieces(j *Job) {
	s.forgetRetry(j)
	p := j.pieces
	if p == nil {
		return
	}
	cost := 0
	for _, c := range p.waiting[p.flying:] {
		cost += c
	}
	if len(p.pending) > 0 || len(p.waiting) > p.flying {
		p.dropped = true
	}
	p.pending, p.waiting = nil, p.waiting[:p.flying]
	p.unsaved -= cost
	s.lighten(cost)
}

// pieceRefused does what can be done about a piece that the store can never hold: its
// results are tried one by one, and one that is refused alone is given up.
func (s *Scheduler) pieceRefused(j *Job) {
	p := j.pieces
	if p.flying == 1 {
		s.do(Forfeit{Job: j})
		s.pieceOver(j, true)
		return
	}
	p.singly, p.flying = true, 0
	if j.lost || j.state != executing && j.state != recording {
		s.pieceOver(j, false)
		return
	}
	s.sendPiece(j)
}
