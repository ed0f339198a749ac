package world

import "github.com/redrive/redrive/internal/sim/sched"

// calm holds back faults and choices until users have come together, if any are to.
func (w *World) calm() {
	w.chooser, w.together = nil, 0
	for id := range w.actors {
		a := &w.actors[id]
		for i := range a.script {
			if op := &a.script[i]; op.Together && !op.Dropped {
				w.together |= 1 << id
			}
		}
	}
	if w.together != 0 {
		w.chooser = w.sched.SetChooser(sched.Default{})
		w.env.Faults = false
	}
}

// meet waits until everybody has come to an operation that is to be asked
// together. The last to come begins the part that is searched; recovery loops
// are woken, because they are to take part.
func (w *World) meet(id sched.ActorID, op *Op) {
	if !op.Together || !w.together.Has(id) {
		return
	}
	w.together &^= 1 << id
	if w.together != 0 {
		for w.together != 0 {
			w.sched.Block()
		}
		return
	}
	if w.healing {
		return
	}
	w.sched.SetChooser(w.chooser)
	w.env.Faults = true
	for other := range w.actors {
		if a := &w.actors[other]; a.kind == recoverer || a.kind == user {
			w.sched.Wake(sched.ActorID(other))
		}
	}
	w.sched.Yield()
}

// disperse lets users go on who wait for somebody who will not come.
func (w *World) disperse() {
	if w.together == 0 {
		return
	}
	w.together = 0
	for id := range w.actors {
		if w.actors[id].kind == user {
			w.sched.Wake(sched.ActorID(id))
		}
	}
}
