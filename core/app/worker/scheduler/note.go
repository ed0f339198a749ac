package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// NoteKind is what a note is about.
type NoteKind uint8

const (
	// NoteDown: the provider is down and its jobs are kept back; with Ours a fault of the
	// service, which keeps jobs back until it is mended, and of which there is a note again
	// every few minutes while it lasts.
	NoteDown NoteKind = iota
	// NoteUp: jobs are worked on again.
	NoteUp
	// NoteRunLocked: a run has been locked for long; its jobs go back to the queue.
	NoteRunLocked
	// NoteHandingBack: the stop's time is over, and what is under way is told to end and is
	// handed back, for another worker to do.
	NoteHandingBack
	// NoteNotEnded: executions did not end when the stop told them to.
	NoteNotEnded
	// NoteNotAnswered: claims were not answered when the stop's time was over. If they were
	// made, recovery takes over when the leases run out.
	NoteNotAnswered
)

// Note is for the operator's log.
type Note struct {
	Kind NoteKind

	// Of NoteDown and NoteUp.
	Endpoint  string
	Template  ports.TemplateKey // zero: all of the endpoint
	Ours      bool
	Cause     string
	Fault     core.Failure
	Since     time.Time
	NextProbe time.Time
	Probes    int // that failed

	Run  ports.RunKey // of NoteRunLocked
	Jobs int          // of NoteHandingBack, NoteNotEnded and NoteNotAnswered
}

// notify tells the operator what the breaker has to say.
func (s *Scheduler) notify(notes []note) {
	for _, n := range notes {
		o := &n.outage
		about := Note{
			Kind: NoteDown, Endpoint: n.endpoint, Template: n.template, Ours: o.cause == causeBlocked,
			Cause: o.cause.String(), Fault: o.failure, Since: o.since, NextProbe: o.probeAt, Probes: o.probes,
		}
		switch n.kind {
		case noteOpened:
			s.stats.BreakerOpened++
		case noteOver:
			s.stats.BreakerClosed++
			about.Kind = NoteUp
		case noteGoesOn:
		}
		s.do(Notify{about})
	}
}
