package world

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
)

// play lets the world go on to its end, or to the first violation.
func (w *World) play() {
	w.decided = false
	w.sched.GoesOn = w.goesOn
	for {
		if !w.decided {
			w.decide()
		}
		w.decided = false
		if w.turn.over {
			break
		}
		if w.turn.ends {
			if w.turn.dies || w.sc.Sole {
				w.die(w.turn.process)
			} else {
				w.restartWorker(w.turn.process)
			}
			continue
		}
		w.step(w.turn.actor)
	}
	w.sched.GoesOn = nil
	w.end()
}

// turn is what comes next: the step of an actor, the end of a process or of its worker, or
// nothing.
type turn struct {
	actor            sched.ActorID
	process          int
	ends, dies, over bool
}

// goesOn decides what comes next after an actor's step, and reports whether that is
// its next step.
func (w *World) goesOn(id sched.ActorID) bool {
	w.decide()
	w.decided = w.turn != turn{actor: id}
	return !w.decided
}

// decide finds out what comes next.
func (w *World) decide() {
	for w.oracle.Violation() == nil {
		if !w.healing && (w.usersDone() || w.sched.Steps >= w.sc.FaultSteps) {
			w.heal()
		}
		if w.healing && w.healed() {
			break
		}
		if w.sched.Steps > w.options.MaxSteps {
			w.notHealed("after %d steps", w.sched.Steps)
			break
		}
		if w.healing && w.sched.Now.After(w.healBy) {
			if _, open := w.oracle.Open(); open || w.leaked() != "" {
				w.notHealed("in %d minutes", int(w.healTimeout().Minutes()))
				break
			}
		}
		if p := w.stopped(); p >= 0 {
			w.turn = turn{process: p, ends: true}
			return
		}
		if w.idle() {
			switch {
			case !w.healing:
				w.heal()
			case w.paused:
				w.withRecovery("nobody can go on")
			default:
				w.notHealed("when nobody could go on", 0)
			}
			continue
		}
		id, _ := w.sched.Choose()
		w.turn = w.take(id)
		return
	}
	w.turn = turn{over: true}
}

// idle reports whether nobody can go on, now or later, but those who look after
// the month: they would wake for ever. Once faults have stopped, they are waited for until
// they have looked once.
func (w *World) idle() bool {
	others := w.refillers
	if _, open := w.oracle.Open(); open {
		others |= w.drivers &^ w.sched.Ready() // who sleep, and can do nothing for a run that is under way
	}
	return (w.sched.Ready()|w.sched.Asleep())&^others == 0 && (!w.healing || w.filled())
}

// filled reports whether all refills have been tried since faults stopped.
func (w *World) filled() bool {
	for rest := w.refillers; rest != 0; rest &= rest - 1 {
		if !w.actors[rest.At(0)].fills {
			return false
		}
	}
	return true
}

// take gives an actor the next step, unless a fault comes between.
func (w *World) take(id sched.ActorID) turn {
	w.sched.Begin(id)
	w.oracle.Step = w.sched.Steps
	if w.actors[id].process >= 0 && w.env.Choose(faults.CrashFault) != 0 {
		w.env.Chosen(faults.CrashFault, 1)
		p := w.actors[id].process
		w.env.Event(trace.Crash, trace.NoActor, "", "", int64(p), "")
		return turn{process: p, ends: true, dies: true}
	}
	if v := w.env.Choose(faults.ClockFault); v != 0 {
		w.env.Chosen(faults.ClockFault, v)
		w.jump(v)
	}
	return turn{actor: id}
}

// step lets an actor go on.
func (w *World) step(id sched.ActorID) {
	w.sched.Step(id)
	if p := w.sched.Panicked(id); p != nil {
		w.stack = string(p.Stack)
		w.oracle.Fail(oracle.Panicked, "%s panicked: %v", w.actors[id].name, p.Value)
	}
}

// jump moves the clock.
func (w *World) jump(how int) {
	now := w.sched.Now
	switch how {
	case faults.ClockEarliest:
		w.sched.WakeEarliest()
	case faults.ClockLease:
		w.sched.PassTo(now.Add(w.recovery.Lease + time.Second))
	case faults.ClockMonth:
		w.sched.PassTo(core.PeriodOf(now).End().Add(time.Second))
	case faults.ClockBack:
		w.sched.PassTo(now.Add(-5 * time.Second))
	case faults.ClockResend:
		w.sched.PassTo(now.Add(w.recovery.MaxRedispatchAfter + time.Second))
	}
	if core.PeriodOf(w.sched.Now) != core.PeriodOf(now) {
		w.oracle.Met(oracle.MonthEnded)
	}
	text := ""
	if w.tape.Recording {
		text = w.sched.Now.Format(time.DateTime)
	}
	w.env.Event(trace.Time, trace.NoActor, "", "", int64(how), text)
}

// heal stops the faults.
func (w *World) heal() {
	w.healing, w.env.Faults = true, false
	w.sched.SetChooser(sched.Default{})
	w.env.Event(trace.Phase, trace.NoActor, "", "", 0, "faults stop")
	for i := range w.servers {
		if p := &w.servers[i]; *p.ahead != 0 {
			*p.ahead, w.oracle.NeedsRecovery = 0, true // only recovery looks at what was written to be due much later
		}
	}
	if !w.sc.Unmended {
		w.mendAll()
	}
	w.healBy = w.sched.Now.Add(w.healTimeout())
	for rest := w.refillers; rest != 0; rest &= rest - 1 {
		w.sched.Wake(rest.At(0))
	}
	// Recovery would hide what others forgot, so it is left out where nothing
	// happened that only recovery makes good.
	w.paused = !w.oracle.NeedsRecovery
	if !w.paused {
		w.startRecovery()
	}
	w.wakeDrivers()
	for i := range w.slots {
		w.wakeWaiters(&w.slots[i])
	}
	w.removeBarrier()
}

// withRecovery ends the attempt to do without recovery.
func (w *World) withRecovery(why string) {
	w.paused = false
	// A pass of recovery that was under way may have given something up meanwhile.
	if run, open := w.oracle.Open(); open && !w.oracle.NeedsRecovery {
		w.oracle.Fail(oracle.I11, "run %s stays RUNNING although nothing happened that only recovery makes good: %s", run, why)
	}
	w.startRecovery()
}

func (w *World) startRecovery() {
	for id := range w.actors {
		if w.actors[id].kind == recoverer {
			w.sched.Wake(sched.ActorID(id))
		}
	}
}

// healed reports whether everything that was begun has come to its end.
func (w *World) healed() bool {
	if _, open := w.oracle.Open(); open {
		return false
	}
	for id := range w.actors {
		if a := &w.actors[id]; a.busy {
			return false
		}
	}
	if w.bulkUnderWay() || !w.filled() || !w.usersDone() || w.leaked() != "" {
		return false
	}
	if w.paused {
		w.oracle.Met(oracle.HealedWithoutRecovery)
	}
	return true
}

func (w *World) usersDone() bool {
	for id := range w.sc.Users { // they are the first actors
		if a := &w.actors[id]; a.at < len(a.script) {
			return false
		}
	}
	return true
}

func (w *World) notHealed(format string, n int) {
	run, open := w.oracle.Open()
	if !open {
		if leak := w.leaked(); leak != "" {
			w.oracle.Fail(oracle.Leaked, leak+", and nothing is done about it "+format, n)
		} else {
			w.oracle.Fail(oracle.Stuck, "the world does not come to its end "+format, n)
		}
		return
	}
	row := w.oracle.Row(run)
	w.oracle.Fail(oracle.I11, "run %s is still RUNNING in attempt %d with %d + %d of %d jobs, %s after faults stopped",
		run, row.Attempt, row.CompletedJobs, row.FailedJobs, row.AttemptJobs, w.sched.Now.Sub(w.sc.Start))
}

// end lets everybody return who waits, and looks at what the world has left behind.
func (w *World) end() {
	if w.oracle.Violation() != nil {
		return
	}
	w.env.Over = true
	w.queue.Wake()
	w.sched.WakeAll()
	for steps := 0; ; steps++ {
		id, ok := w.sched.Choose()
		if !ok {
			break
		}
		if steps > w.options.MaxSteps {
			w.oracle.Fail(oracle.Stuck, "%s does not return when the world ends", w.actors[id].name)
			return
		}
		w.take(id) // no fault comes any more
		w.step(id)
	}
	for id := range w.actors {
		if !w.sched.Idle(sched.ActorID(id)) {
			w.oracle.Fail(oracle.Stuck, "%s waits when the world ends", w.actors[id].name)
			return
		}
	}
	w.oracle.Step = w.sched.Steps
	for n := range w.servers {
		w.checkPlaces(&w.servers[n])
	}
	if w.sc.Name != "" || w.oneOf(finalEvery) {
		w.oracle.Final(context.Background(), w.memory)
	}
	if w.oneOf(auditEvery) {
		w.audit(context.Background())
	}
}

// In how many default worlds one is looked at in the end for what every world would show:
// what the store has is what was committed, and its books agree.
const (
	finalEvery = 8
	auditEvery = 32
)

// oneOf picks one of n default worlds, of each strategy as many: neighbours have different
// ones.
func (w *World) oneOf(n uint64) bool { return w.sc.Name == "" && w.sc.Seed/4%n == 0 }

// audit lets the ledger check look at a world that has healed: the books agree, and
// nothing that is paid for is stuck.
func (w *World) audit(ctx context.Context) {
	for i := range w.sc.Tenants {
		audit, err := app.CheckLedger(ctx, w.memory, w.sc.Tenants[i].ID)
		if err != nil {
			w.oracle.Fail(oracle.Explained, "the ledger check of tenant %s fails: %v", w.sc.Tenants[i].ID, err)
			return
		}
		if found := audit.Differences(); len(found) > 0 {
			w.oracle.Fail(oracle.I12, "the ledger check of tenant %s finds: %s is %s and not %s", w.sc.Tenants[i].ID, found[0].What, found[0].Recorded, found[0].Recomputed)
		}
	}
}
