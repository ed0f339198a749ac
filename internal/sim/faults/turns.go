package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
)

// Turn makes a wait of a request for its turn at its tenant's credits: its shape is that
// of app.NewWait. What happens meanwhile to who is at work in its process may be its
// own doing as well: a fault, what the clock says, a commit.
func (e *Env) Turn() (wait func(ctx context.Context) error, wake func()) {
	id := e.Sched.Current()
	lockWait, lockWake := e.Sched.LockWait()
	e.turns |= 1 << id
	e.actors[id].seenMin, e.actors[id].seenMax = time.Time{}, time.Time{}
	e.Oracle.Met(oracle.WaitedForTurn)
	wait = func(ctx context.Context) error {
		err := lockWait(ctx)
		e.Sched.Alive()
		return err
	}
	wake = func() {
		e.turns &^= 1 << id
		lockWake()
	}
	return wait, wake
}

// together are the actors whose requests the running one can be deciding with its own.
func (e *Env) together() sched.Set {
	if e.turns == 0 || e.actor() == nil {
		return 0
	}
	var set sched.Set
	current := e.Sched.Current()
	for rest := e.turns; rest != 0; rest &= rest - 1 {
		if id := rest.At(0); id != current && e.Oracle.SameProcess != nil && e.Oracle.SameProcess(uint8(id), uint8(current)) {
			set |= 1 << id
		}
	}
	return set
}
