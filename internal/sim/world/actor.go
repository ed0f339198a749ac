package world

import (
	"context"
	"errors"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/ports"
)

type actorKind uint8

const (
	user actorKind = iota
	worker
	recoverer
	refiller
)

// actor is what the world knows of an actor; it outlives the actor's process.
type actor struct {
	name    string
	kind    actorKind
	process int // that it runs in; -1 for none: nothing of it is in any server
	nth     int // of its kind
	busy    bool
	again   bool // its process died and came back

	script  []Op
	at      int  // the operation that is next or under way
	unknown bool // the process died during it
	tries   int
	claims  int // of a worker
}

// died is called when the actor's process has died.
func (a *actor) died() {
	a.busy = false
	if a.kind == user {
		a.unknown, a.process = true, -1
	}
}

var actorNames = func() (names [4][sched.MaxActors]string) {
	for kind, word := range [...]string{"user", "worker", "recovery", "refill"} {
		for n := range names[kind] {
			names[kind][n] = word + "-" + strconv.Itoa(n)
		}
	}
	return names
}()

func (w *World) addActors() {
	w.actors, w.refillers = w.actors[:0], 0
	add := func(kind actorKind, nth, process int, script []Op) {
		id := w.sched.Add()
		w.actors = append(w.actors, actor{name: actorNames[kind][nth], kind: kind, nth: nth, process: process, script: script})
		if kind == refiller {
			w.refillers |= 1 << id
		}
		w.start(id, false)
	}
	for n, script := range w.sc.Users {
		add(user, n, -1, script)
	}
	for n := range w.sc.Workers {
		add(worker, n, n%w.sc.Processes, nil)
	}
	for n := range w.sc.Recoverers {
		add(recoverer, n, n%w.sc.Processes, nil)
	}
	for n := range w.sc.Refillers {
		add(refiller, n, n%w.sc.Processes, nil)
	}
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
		if w.clock(a).Sleep(ctx, restartAfter) != nil {
			return
		}
	}
	switch a.kind {
	case user:
		w.use(ctx, id)
	case worker:
		w.work(ctx, a, w.sc.Workers[a.nth])
	case recoverer:
		w.recover(ctx, a)
	case refiller:
		w.refill(ctx, a)
	}
}

func (w *World) clock(a *actor) ports.Clock { return w.processes[max(a.process, 0)].svc.Clock() }

// recover is the loop of recovery.
func (w *World) recover(ctx context.Context, a *actor) {
	svc := w.processes[a.process].svc
	for !w.env.Over {
		if w.paused || w.sc.RecoverLate && !w.healing {
			w.sched.Block()
			continue
		}
		a.busy = true
		w.env.Enter(oracle.UseRecover)
		_, err := svc.Recover(ctx, 100)
		w.tolerate(err)
		a.busy = false
		if svc.Clock().Sleep(ctx, recoverEvery) != nil {
			return
		}
	}
}

// refill is the loop of the monthly refill.
func (w *World) refill(ctx context.Context, a *actor) {
	svc := w.processes[a.process].svc
	for !w.env.Over {
		w.env.Enter(oracle.UseRefill)
		w.tolerate(svc.Refill(ctx))
		if svc.Clock().Sleep(ctx, refillEvery) != nil {
			return
		}
	}
}

// work is the loop of a worker.
func (w *World) work(ctx context.Context, a *actor, how Worker) {
	p := &w.processes[a.process]
	for !w.env.Over {
		a.busy = false
		w.env.Enter(oracle.UseWork)
		deliveries, err := p.feed.Receive(ctx, how.Limit, ports.Skip{})
		if errors.Is(err, ports.ErrClosed) {
			return
		}
		a.busy = true
		if w.tolerate(err) {
			continue
		}
		if how.Grouped {
			w.workGrouped(ctx, a, how, deliveries)
			continue
		}
		for _, d := range deliveries {
			w.tolerate(p.svc.Work(ctx, d))
		}
	}
}

// jobKey tells claims apart.
type jobKey struct {
	run   core.RunID
	job   core.JobID
	epoch core.Epoch
}

// workGrouped does what core/app/worker does, one thing after the other: claims
// of one run share a transaction, so do renewals and results.
func (w *World) workGrouped(ctx context.Context, a *actor, how Worker, deliveries []ports.Delivery) {
	svc := w.processes[a.process].svc
	jobs := make([]core.Job, len(deliveries))
	for i, d := range deliveries {
		jobs[i] = d.Job()
	}
	for _, group := range app.ByRun(jobs) {
		claimed, err := svc.Claim(ctx, group)
		failed := w.tolerate(err)
		for _, job := range group {
			for i, d := range deliveries {
				if d == nil || keyOf(jobs[i]) != keyOf(job) {
					continue
				}
				deliveries[i] = nil // a job may have been delivered twice at once
				if failed {
					w.tolerate(d.Nack(ctx))
				} else {
					w.tolerate(d.Ack(ctx))
				}
			}
		}
		if failed {
			w.pause(ctx, svc)
			continue
		}
		w.execute(ctx, a, how, claimed)
	}
}

func keyOf(j core.Job) jobKey { return jobKey{j.Run, j.ID, j.Epoch} }

func (w *World) pause(ctx context.Context, svc *app.Service) {
	_ = svc.Clock().Sleep(ctx, faultPause) // ends early only when the world does
}

// execute works on claimed jobs of one run and settles them together.
func (w *World) execute(ctx context.Context, a *actor, how Worker, claimed []app.Claimed) {
	svc := w.processes[a.process].svc
	settlements := make([]core.Settlement, 0, len(claimed))
	for _, c := range claimed {
		if a.claims++; a.claims == how.HandBack {
			w.tolerate(svc.HandBack(ctx, []core.Job{c.Job}))
			continue
		}
		if how.Renews {
			if lost, err := svc.Renew(ctx, []core.Job{c.Job}); !w.tolerate(err) && len(lost) > 0 {
				continue
			}
		}
		results, err := svc.Execute(ctx, c)
		if w.tolerate(err) {
			continue
		}
		settlements = append(settlements, core.Settlement{Job: c.Job, Results: results})
	}
	for try := 1; try <= 3 && !w.env.Over; try++ {
		if !w.tolerate(svc.Settle(ctx, settlements)) {
			return
		}
		w.pause(ctx, svc)
	}
}

// tolerate reports whether there was an error. Faults are what a world is made of,
// but what failed without one fails by itself.
func (w *World) tolerate(err error) bool {
	if err != nil && !w.env.Over && !w.env.Failed() {
		w.oracle.Fail(oracle.Explained, "an error, although nothing was made to fail: %v", err)
	}
	return err != nil
}
