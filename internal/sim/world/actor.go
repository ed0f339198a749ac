package world

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
)

type actorKind uint8

const (
	user actorKind = iota
	simpleWorker
	recoverer
	refiller
	timer
	carrier
	driver
)

// actor is what the world knows of an actor; it outlives the actor's process.
type actor struct {
	name    string
	kind    actorKind
	process int // that it runs in; -1 for none: nothing of it is in any server
	nth     int // of its kind
	busy    bool
	again   bool // its process died and came back

	action  scheduler.Action // that a carrier carries out
	script  []Op
	at      int  // the operation that is next or under way
	unknown bool // the process died during it
	lost    bool // the commit's answer was, under a key
	tries   int
	most    core.Credits // the price that a user accepts, of a run or a bulk continue
	charge  core.Key     // that is given back by hand
	fills   bool         // a refiller has looked at all tenants since faults stopped
}

// died is called when the actor's process has died.
func (a *actor) died() {
	a.busy = false
	if a.kind == user {
		a.unknown, a.process = true, -1
	}
}

var actorNames = func() (names [7][sched.MaxActors]string) {
	for kind, word := range [...]string{"user", "simple-worker", "recovery", "refill", "timer", "worker", "driver"} {
		for n := range names[kind] {
			names[kind][n] = word + "-" + strconv.Itoa(n)
			if kind == int(carrier) {
				names[kind][n] = fmt.Sprintf("%s-%d.%d", word, n/carriers, n%carriers)
			}
		}
	}
	return names
}()

func (w *World) addActors() {
	w.actors, w.refillers, w.drivers = w.actors[:0], 0, 0
	add := func(kind actorKind, nth, process int, script []Op) {
		id := w.sched.Add()
		w.addActor(actor{name: actorNames[kind][nth], kind: kind, nth: nth, process: process, script: script})
		switch kind {
		case refiller:
			w.refillers |= 1 << id
		case driver:
			w.drivers |= 1 << id
		default:
		}
		if kind != carrier {
			w.start(id, false)
		}
	}
	for n, script := range w.sc.Users {
		add(user, n, -1, script)
	}
	for n := range w.sc.Recoverers {
		add(recoverer, n, n%len(w.sc.Servers), nil)
	}
	for n := range w.sc.Refillers {
		add(refiller, n, n%len(w.sc.Servers), nil)
	}
	for n := range w.sc.Servers {
		w.addWorker(n, add)
	}
	for n := range w.sc.Drivers {
		add(driver, n, n%len(w.sc.Servers), nil)
	}
}

// addActor uses the memory of the actor that was in its place before.
func (w *World) addActor(a actor) {
	n := len(w.actors)
	if n == cap(w.actors) {
		w.actors = append(w.actors, a)
		return
	}
	w.actors = w.actors[:n+1]
	w.actors[n] = a
}

// start lets an actor begin, or begin again after its process died.
func (w *World) start(id sched.ActorID, again bool) {
	w.actors[id].again = again
	if w.bodies[id] == nil {
		w.bodies[id] = func() { w.act(id) }
	}
	w.sched.Go(id, w.bodies[id])
}

// act is what an actor does, from its start to the end of the world.
func (w *World) act(id sched.ActorID) {
	ctx := context.Background()
	a := &w.actors[id]
	if a.again && a.kind != user {
		if !w.env.Rest(restartAfter) {
			return
		}
	}
	if a.kind == recoverer || a.kind == refiller || a.kind == driver {
		w.awaitStart(id, a.process)
	}
	switch a.kind {
	case user:
		w.use(ctx, id)
	case simpleWorker:
		w.workSimply(ctx, a)
	case recoverer:
		w.recover(ctx, a)
	case refiller:
		w.refill(ctx, a)
	case timer:
		w.keepTime(a)
	case driver:
		w.driveBulks(ctx, a)
	case carrier:
		w.carry(ctx, a)
	}
}

// recover is the loop of recovery.
func (w *World) recover(ctx context.Context, a *actor) {
	svc := w.servers[a.process].svc
	for !w.env.Over {
		late, spare := w.sc.RecoverLate && !w.healing, w.healing && a.nth > 0 // without faults one does as well as two
		if w.paused || late || spare {
			w.sched.Block()
			continue
		}
		a.busy = true
		w.env.Enter(oracle.UseRecover)
		_, err := svc.Recover(ctx, 100)
		w.tolerate(err)
		if err == nil && w.env.Erred() {
			w.oracle.Fail(oracle.Explained, "recovery failed for a run and said nothing")
		}
		a.busy = false
		if !w.env.Rest(w.recoverEvery) {
			return
		}
	}
}

// refill is the loop of the monthly refill.
func (w *World) refill(ctx context.Context, a *actor) {
	svc := w.servers[a.process].svc
	for !w.env.Over {
		w.env.Enter(oracle.UseRefill)
		healing, began, period := w.healing, w.oracle.Commits(), core.PeriodOf(w.sched.Now)
		err := svc.Refill(ctx)
		w.tolerate(err)
		if err == nil && w.env.Erred() {
			w.oracle.Fail(oracle.Refilled, "the refill of a tenant failed, and nothing was said")
		}
		if w.healing && !healing {
			continue // what it saw may have been made to fail
		}
		if healing && !a.fills {
			a.fills = true
			w.oracle.Refilled(began, period, w.env.Unlucky)
		}
		if !w.env.Rest(refillEvery) {
			return
		}
	}
}
