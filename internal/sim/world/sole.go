package world

import (
	"context"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
)

// A sole process has its store for itself, and its queue in its own memory. It is the only
// one in its world: when it dies, or stops, the next one begins with what the store has, before
// it answers users, recovers or works.

// soleEvery is in how many worlds one has a sole process.
const soleEvery = 10

// alone leaves a scenario one process, with one loop of each kind.
func (s *Scenario) alone() {
	s.Sole, s.Servers = true, s.Servers[:1]
	s.Servers[0].Old, s.Servers[0].Simple = false, false
	s.Recoverers, s.Refillers, s.Drivers, s.Ahead = min(s.Recoverers, 1), min(s.Refillers, 1), min(s.Drivers, 1), min(s.Ahead, 1)
	for _, script := range s.Users {
		for i := range script {
			script[i].Server = 0
		}
	}
}

// takeUp is the start of a sole process; false if the world ended meanwhile.
func (w *World) takeUp(p *server) bool {
	w.env.Enter(oracle.UseResume)
	// What the process before this one left undone, this makes good without recovery, unless
	// something fails once more.
	w.oracle.NeedsRecovery = w.oracle.GaveUp
	visited, err := p.svc.Resume(context.Background())
	if w.tolerate(err) {
		w.oracle.NeedsRecovery = true
	} else if w.env.Erred() {
		w.oracle.Fail(oracle.Explained, "a process could not take up a run and said nothing")
	}
	if visited > 0 {
		w.oracle.Met(oracle.TakenUp)
	}
	w.env.Enter(oracle.UseOther)
	p.starting = false
	for rest := w.doorstep; rest != 0; rest &= rest - 1 {
		w.sched.Wake(rest.At(0))
	}
	w.doorstep = 0
	return !w.env.Over
}

// awaitStart waits until a server has started.
func (w *World) awaitStart(id sched.ActorID, process int) {
	for w.servers[process].starting && !w.env.Over {
		w.doorstep |= 1 << id
		w.sched.Block()
	}
}
