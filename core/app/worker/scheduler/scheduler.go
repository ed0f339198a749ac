package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Scheduler is the state of a worker. It is used by one goroutine at a time.
type Scheduler struct {
	cfg     Config
	now     time.Time
	actions []Action
	timers  timers
	timer   time.Time // that was asked for last
	dice    dice
	stats   counts

	gate     gate
	tenants  map[core.TenantID]*tenant
	runs     map[ports.RunKey]*run
	messages map[MessageID]*message
	touched  []*message // to be answered, perhaps

	jobs    int    // in all states but gone
	taken   int    // places
	parked  []*Job // oldest first
	ready   []*Job // claimed, oldest first
	running int    // executions
	claimed claimedJobs
	pace    pace
	receive receiving

	unsaved int    // cost of the results that have no place any more, and of pieces
	reports []*Job // that have results which wait for room, in the order in which they asked

	groups            map[GroupID]*group
	groupID           GroupID
	openTx, waitingTx int // that wait for no lock, and that may wait for a run
	lanes             []*lane
	held              []*held
	renewals          []*group
	renewedLast       bool // the last transaction was begun for a renewal
	looks             int  // under way
	interrupts        int  // under way
	claimPause        pause

	stopping bool
	drain    drainStage
}

// New makes a scheduler with nothing in it. It begins with the first event, which may
// be a Tick.
func New(c Config) *Scheduler {
	s := &Scheduler{
		cfg: c, gate: newGate(c), dice: dice{c.Seed},
		tenants: map[core.TenantID]*tenant{}, runs: map[ports.RunKey]*run{},
		messages: map[MessageID]*message{}, groups: map[GroupID]*group{},
		claimPause: pause{first: firstPause, most: mostPause},
		pace:       newPace(),
	}
	s.receive.faults = pause{first: firstPause, most: mostPause}
	// Others may come any moment, so these are short.
	s.receive.crowded = pause{first: 20 * time.Millisecond, most: 250 * time.Millisecond}
	return s
}

// Handle takes in what has happened and gives what is to be done, in this order. What
// happened at once is best given at once: groups are formed of it. The answer is good
// until the next call. now must not go back.
func (s *Scheduler) Handle(now time.Time, events ...Event) []Action {
	clear(s.actions)
	s.actions = s.actions[:0]
	if s.drain == stopped {
		return nil
	}
	if s.now.IsZero() {
		s.begin(now)
	}
	s.now = now
	for _, e := range events {
		s.takeIn(e)
	}
	s.timers.run(now)
	s.decide()
	return s.actions
}

func (s *Scheduler) begin(now time.Time) {
	s.now = now
	s.timers.repeat(now, s.renewEvery(), s.renew)
	if s.cfg.CancelEvery > 0 {
		s.timers.repeat(now, s.cfg.CancelEvery, s.look)
	}
}

func (s *Scheduler) takeIn(e Event) {
	switch e := e.(type) {
	case Received:
		s.received(e)
	case ClaimAnswered:
		s.claimAnswered(e)
	case Reported:
		s.reported(e)
	case Executed:
		s.executed(e)
	case SettleAnswered:
		s.settleAnswered(e)
	case HandedBack:
		s.handedBack(e)
	case Renewed:
		s.renewAnswered(e)
	case Looked:
		s.looked(e)
	case Answered:
		s.answeredMessage(e)
	case Interrupted:
		s.interrupted(e)
	case Stop:
		s.stop()
	case Tick:
	}
}

// decide does what can be done now.
func (s *Scheduler) decide() {
	s.unpark()
	s.execute()
	s.acceptReports()
	s.write()
	if s.receive.changes != s.gate.breaker.changes {
		s.restart()
	}
	s.ask()
	s.progressTouched()
	s.drained()
	if s.drain == stopped {
		return
	}
	if at := s.timers.next(); !at.IsZero() && !at.Equal(s.timer) {
		s.timer = at
		s.do(SetTimer{at})
	}
}

func (s *Scheduler) do(a Action) { s.actions = append(s.actions, a) }

// free is how many places are left; less than 0 if there have been more.
func (s *Scheduler) free() int {
	return s.cfg.Concurrency + s.ahead() - s.taken - s.receive.limit
}

// place gives a job a place.
func (s *Scheduler) place(j *Job, p pass) {
	j.placed, j.pass = true, p
	s.taken++
}

// leave gives back a job's place and what it held of limits.
func (s *Scheduler) leave(j *Job) {
	j.placed = false
	s.taken--
	s.gate.leave(j, s.now)
	s.opened(j.Job)
}

// vacate gives a job's place to others, if it needs it no more although its results are
// not recorded: unless too many results are waiting.
func (s *Scheduler) vacate(j *Job) {
	if !j.placed || !j.executed || len(j.messages) > 0 || s.unsaved+j.cost > unsavedCost {
		return
	}
	j.unsaved = j.cost
	s.unsaved += j.unsaved
	s.leave(j)
}

// finish lets go of a job, once the messages that it came in are answered: what the queue
// counts as ours must not be more than there are places.
func (s *Scheduler) finish(j *Job) {
	if j.state.isClaimed() {
		s.claimed.remove(j)
	}
	s.count(j, -1)
	s.forgetRetry(j)
	j.state = done
	if len(j.messages) == 0 {
		s.remove(j)
	}
}

// remove ends a job's stay.
func (s *Scheduler) remove(j *Job) {
	if j.state == gone {
		return
	}
	if j.state != done {
		s.count(j, -1)
	}
	j.state = gone
	delete(j.run.jobs, keyOf(j.Job))
	s.jobs--
	if j.placed {
		s.leave(j)
	} else {
		s.lighten(j.unsaved)
		j.unsaved = 0
	}
	s.tidy(j.run)
}

// become changes a job's state.
func (s *Scheduler) become(j *Job, to state) {
	s.count(j, -1)
	j.state = to
	s.count(j, 1)
}

// opened ends the Receive that is under way if it leaves jobs like this in the queue, which
// could be used now.
func (s *Scheduler) opened(j core.Job) {
	r := &s.receive
	if r.active && r.skip.Skips(j) && !s.gate.full(j) && !s.gate.breaker.stops(j, s.now) {
		s.restart()
	}
}

// claimedJobs are those whose leases are this process's, in the order in which they were
// claimed.
type claimedJobs struct{ first, last *Job }

func (c *claimedJobs) add(j *Job) {
	if j.prev = c.last; j.prev != nil {
		j.prev.next = j
	} else {
		c.first = j
	}
	c.last = j
}

func (c *claimedJobs) remove(j *Job) {
	if j.prev != nil {
		j.prev.next = j.next
	} else {
		c.first = j.next
	}
	if j.next != nil {
		j.next.prev = j.prev
	} else {
		c.last = j.prev
	}
	j.prev, j.next = nil, nil
}
