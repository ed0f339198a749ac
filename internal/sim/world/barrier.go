package world

import "github.com/redrive/redrive/internal/sim/sched"

// setBarrier holds back faults and choices until all users have come to the operation
// that the barrier stands before, if there is one.
func (w *World) setBarrier() {
	w.chooser, w.barrier = nil, 0
	for id := range w.actors {
		a := &w.actors[id]
		for i := range a.script {
			if op := &a.script[i]; op.Barrier && !op.Dropped {
				w.barrier |= 1 << id
			}
		}
	}
	if w.barrier != 0 {
		w.chooser = w.sched.SetChooser(sched.Default{})
		w.env.Faults = false
	}
}

// passBarrier waits until all have come to the barrier. The last to come begins the part
// that is searched; recovery loops are woken, because they are to take part.
func (w *World) passBarrier(id sched.ActorID, op *Op) {
	if !op.Barrier || !w.barrier.Has(id) {
		return
	}
	w.barrier &^= 1 << id
	if w.barrier != 0 {
		for w.barrier != 0 {
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

// removeBarrier lets users go on who wait for others that will not come.
func (w *World) removeBarrier() {
	if w.barrier == 0 {
		return
	}
	w.barrier = 0
	for id := range w.actors {
		if w.actors[id].kind == user {
			w.sched.Wake(sched.ActorID(id))
		}
	}
}
