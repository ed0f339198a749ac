package scheduler

import (
	"github.com/redrive/redrive/core"
)

// message is one that is not answered yet. It is acked once the claim of each job that
// it keeps was answered: until then the queue is what remembers them.
type message struct {
	id     MessageID
	jobs   []*Job // that came in it and were kept
	open   int    // of them, whose claims are not answered
	kept   bool   // one's was
	back   []core.Job
	failed bool // they go back because of a fault: after a back-off, if all do
	// nack: a Release failed, so that what was to be released is still in the message, which
	// is delivered again as a whole.
	nack    bool
	telling bool // an Answer is under way
	last    bool // it is an ack or nack
}

// progress answers a message as far as that can be done now.
func (s *Scheduler) progress(m *message) {
	if m.telling {
		return
	}
	reply := Ack
	switch {
	case m.open == 0 && (m.nack || len(m.back) > 0 && m.failed && !m.kept):
		reply = Nack
		s.stats.Nacked += int64(len(m.back))
		m.back = nil
	case len(m.back) > 0 && !m.nack:
		m.telling = true
		s.stats.Released += int64(len(m.back))
		s.do(Answer{Message: m.id, Reply: Release, Jobs: m.back})
		m.back = nil
		return
	case m.open > 0:
		return
	}
	m.telling, m.last = true, true
	s.do(Answer{Message: m.id, Reply: reply})
}

// told takes in that the queue was told, or perhaps not; then it delivers the jobs again,
// to no effect.
func (s *Scheduler) told(e Answered) {
	m := s.messages[e.Message]
	if m == nil || !m.telling {
		return
	}
	m.telling = false
	if !m.last {
		m.nack = m.nack || e.Failed
		s.progress(m)
		return
	}
	delete(s.messages, m.id)
	for _, j := range m.jobs {
		j.dropMessage(m)
		switch {
		case len(j.messages) > 0:
		case j.state == done:
			s.remove(j)
		default:
			s.vacate(j)
		}
	}
}

func (j *Job) dropMessage(m *message) {
	for i, other := range j.messages {
		if other == m {
			j.messages = append(j.messages[:i:i], j.messages[i+1:]...)
			return
		}
	}
}

// claimAnsweredOf takes in that a job's claim was answered: whatever is delivered of it
// from now on has no effect.
func (s *Scheduler) claimAnsweredOf(j *Job) {
	j.answered = true
	for _, m := range j.messages {
		m.open--
		m.kept = true
		s.touch(m)
	}
}

// touch makes a message be answered at the end of what is being done.
func (s *Scheduler) touch(m *message) {
	s.touched = append(s.touched, m)
}

// progressTouched answers messages as far as what was done allows.
func (s *Scheduler) progressTouched() {
	for i := 0; i < len(s.touched); i++ {
		m := s.touched[i]
		s.touched[i] = nil
		if s.messages[m.id] == m {
			s.progress(m)
		}
	}
	s.touched = s.touched[:0]
}

// withdraw takes out jobs whose claims are not answered and sends them back to the
// queue; failed says that they could not be claimed.
func (s *Scheduler) withdraw(jobs []*Job, failed bool) {
	for _, j := range jobs {
		if j.answered || j.state == gone {
			continue
		}
		for _, m := range j.messages {
			m.open--
			m.back = append(m.back, j.Job)
			m.failed = failed
			s.touch(m)
		}
		j.messages = nil
		s.remove(j)
	}
}
