package world

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// server is one process: a Service that answers users, and a worker. The worker's
// decisions are those of the real scheduler. What it wants done is carried out by actors
// of the world, each action by one, so that whatever can happen to a goroutine can happen
// to it: others go on meanwhile, it takes long, the process dies in its midst.
type server struct {
	svc      *app.Service
	feed     faults.Feed
	ahead    *time.Duration
	old      *bool // it is of the release before
	sends    *bool // its transactions send jobs themselves
	failures int64 // compensations that failed, of all worlds so far
	starting bool  // it has yet to take up what the process before it left, and nobody else acts in it

	spec         *Server
	worker       worker
	timer        sched.ActorID // starts the worker and keeps its time
	carriers     sched.ActorID // the first of them
	simpleWorker sched.ActorID
}

// keepTime starts a server's worker, and asks its scheduler when a time has come.
func (w *World) keepTime(a *actor) {
	p := &w.servers[a.process]
	if p.simple() { // it is killed before it has a scheduler
		for !w.env.Over && w.sched.TryBlock() {
		}
		return
	}
	if p.starting && !w.takeUp(p) {
		return
	}
	w.startWorker(p)
	for k := &p.worker; !w.env.Over; {
		switch at := k.wakeAt; {
		case at.IsZero():
			if !w.sched.TryBlock() {
				return
			}
		case at.After(w.sched.Now):
			if !w.sched.TrySleep(at) {
				return
			}
		default:
			k.wakeAt = time.Time{}
			if w.atRest(a.process) {
				// It would only see that there is nothing to do, for ever. That its time has
				// passed it knows all the same, also if the clock jumps back before the next event.
				if w.sched.Now.After(k.now) {
					k.now = w.sched.Now
				}
				continue
			}
			w.post(p, scheduler.Tick{})
		}
	}
}

// simple reports whether the server works without a scheduler.
func (p *server) simple() bool { return *p.old || p.spec.Simple }

// workSimply is a worker without a scheduler: Service.Work, one delivery after the other.
func (w *World) workSimply(ctx context.Context, a *actor) {
	p := &w.servers[a.process]
	for !w.env.Over {
		a.busy = false
		w.env.Enter(oracle.UseWork)
		deliveries, err := p.feed.Receive(ctx, 1, ports.Skip{})
		if errors.Is(err, ports.ErrClosed) {
			return
		}
		a.busy = true
		if w.tolerate(err) {
			continue
		}
		for _, d := range deliveries {
			err := p.svc.Work(ctx, d)
			w.oracle.NeedsRecovery = w.oracle.NeedsRecovery || errors.Is(err, ports.ErrRefused)
			w.tolerate(err)
		}
	}
}

const restartAfter = 3 * time.Second

// die ends a process at once, and starts it again: its memory is gone, and what it had
// received and not answered comes again.
func (w *World) die(p int) {
	if w.servers[p].starting && w.env.Entered(w.servers[p].timer, oracle.UseResume) {
		w.oracle.Met(oracle.DiedTakingUp)
	}
	for id := range w.actors {
		if a := &w.actors[id]; a.process == p {
			w.endActor(sched.ActorID(id), true)
		}
	}
	w.restartWorker(p)
}

// restartWorker ends what a worker that has stopped still does, and starts it again.
func (w *World) restartWorker(p int) {
	for id := range w.actors {
		if a := &w.actors[id]; a.process == p && (a.kind == timer || a.kind == carrier || a.kind == simpleWorker) {
			w.endActor(sched.ActorID(id), false)
		}
	}
	server := &w.servers[p]
	*server.old, *server.sends = false, w.sc.Outbox
	server.worker.reset()
	if !server.spec.Dropped {
		w.start(server.timer, true)
	}
	if server.spec.Simple {
		w.start(server.simpleWorker, true)
	}
	if w.sc.Sole {
		server.starting = true
		w.queue.Lost()
	} else {
		w.queue.Died(p)
	}
	w.env.Event(trace.Restart, trace.NoActor, "", "", int64(p), "")
}

// endActor kills an actor. Users and loops that are no worker's go on in the next life.
func (w *World) endActor(id sched.ActorID, crash bool) {
	a := &w.actors[id]
	if w.sched.Idle(id) {
		return
	}
	inTx, committed := w.env.Died(id)
	w.sched.Kill(id)
	w.oracle.NeedsRecovery = w.oracle.NeedsRecovery || committed
	if crash && inTx {
		w.oracle.Met(oracle.CrashInTransaction)
	}
	if crash && committed && a.kind == user {
		w.oracle.Met(oracle.CrashAfterCommit)
	}
	a.died()
	if a.kind == user || a.kind == recoverer || a.kind == refiller || a.kind == driver {
		w.start(id, true)
	}
}
