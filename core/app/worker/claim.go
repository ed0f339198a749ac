package worker

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// claimAnswer is what became of a claim.
type claimAnswer struct {
	tried   bool // false: the worker stops
	claimed []app.Claimed
	held    []core.Job // of runs that somebody has locked, or that do not exist
	err     error
}

// claim asks the service. A stop must not leave in the dark whether a claim was
// made.
func (w *Worker) claim(ctx context.Context, group []*entry, wait app.Wait) (a claimAnswer) {
	if len(group) == 0 || w.stopping() {
		return a
	}
	a.tried = true
	w.stats.claimGroups.Add(1)
	a.err = w.guard(func() (err error) {
		a.claimed, a.held, err = w.svc.Claim(context.WithoutCancel(ctx), jobsOf(group), wait)
		return err
	})
	return a
}

// claimGroup claims what has gathered of a tenant, in one transaction, and starts
// it.
func (w *Worker) claimGroup(take func() []*entry) {
	var group []*entry
	var a claimAnswer
	w.slots.use(func() {
		group = take()
		a = w.claim(w.working, group, app.SkipLocked)
	})
	switch {
	case !a.tried:
		w.runs.free(group)
		w.withdraw(group)
	case a.err != nil:
		w.claimFailed(group, a.err)
	default:
		w.claimAnswered(group, a)
	}
}

// split takes a group apart, by runs if there are several.
func split(group []*entry) [][]*entry {
	if runs := byRun(group); len(runs) > 1 {
		return runs
	}
	singles := make([][]*entry, len(group))
	for i := range group {
		singles[i] = group[i : i+1 : i+1]
	}
	return singles
}

// claimHeld claims jobs of a run that was found locked, by waiting for it. Until
// then they keep their places from others, so no more than a quarter of them do that.
func (w *Worker) claimHeld(group []*entry) {
	run := runOf(group[0].job)
	if most := max(1, w.opts.Concurrency/4); len(group) > most {
		w.claims.add(group[most:]...) // where the run is in use
		group = group[:most]
	}
	defer w.watchStuck(run)()
	var a claimAnswer
	done := w.slots.locked(w.receiving,
		func() (free bool) {
			a = w.claim(w.working, group, app.SkipLocked)
			return !a.tried || a.err != nil || len(a.held) == 0
		},
		func() {
			a = w.claim(w.working, group, app.WaitForLock)
		})
	switch {
	case !done || !a.tried: // the worker stops
		w.runs.free(group)
		w.withdraw(group)
	case a.err != nil:
		w.claimFailed(group, a.err)
	default:
		w.claimAnswered(group, a)
	}
}

// claimAnswered starts what was claimed, sends what is held to be waited for, and
// forgets what had no effect. A delivery is acked now that its claim is durable or
// turned out to have no effect.
func (w *Worker) claimAnswered(group []*entry, a claimAnswer) {
	w.claimPauses.reset()
	held := make(map[entryKey]bool, len(a.held))
	for _, j := range a.held {
		held[keyOf(j)] = true
	}
	claimed := make(map[entryKey]int, len(a.claimed))
	for i := range a.claimed {
		claimed[keyOf(a.claimed[i].Job)] = i
	}
	var answered, dropped, waiting []*entry
	acks := make([]share, 0, len(group))
	w.mu.Lock()
	for _, e := range group {
		if held[keyOf(e.job)] {
			waiting = append(waiting, e)
			continue
		}
		answered = append(answered, e)
		acks = append(acks, e.deliveries...)
		e.deliveries, e.answered = nil, true
		if i, ok := claimed[keyOf(e.job)]; ok {
			e.claimed = true
			w.start(e, a.claimed[i])
		} else {
			w.pool.gate.breaker.noEffect(e.job, &e.pass)
			dropped = append(dropped, e)
		}
	}
	w.mu.Unlock()
	w.stats.claimed.Add(int64(len(a.claimed)))
	w.runs.free(answered)
	for _, of := range byRun(waiting) { // their runs stay in use
		w.claiming.Go(func() { w.claimHeld(of) })
	}
	w.tell(w.working, acks, share.ack)
	w.acked(answered, dropped)
}

// acked lets go of those who only had their places because the queue was not told
// yet.
func (w *Worker) acked(answered, over []*entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range answered {
		e.acked = true
		if e.over {
			over = append(over, e)
		}
	}
	w.releaseLocked(over)
	w.vacateLocked(answered...)
}

// claimFailed tries the parts of a group, since it may have failed by one of
// them, or sends jobs back to the queue, since nobody knows now. Until then their
// places stay taken: that is what keeps an outage from being hammered.
func (w *Worker) claimFailed(group []*entry, err error) {
	log := w.log.With(append(attrs(group[0].job), "jobs", len(group), "error", err)...)
	if len(group) > 1 && !noFaultOfOne(err) {
		log.Warn("claim of a group failed; its parts are tried")
		for _, part := range split(group) {
			w.claimGroup(func() []*entry { return part })
		}
		return
	}
	log.Error("claim failed, the jobs go back to the queue")
	w.runs.free(group)
	wait := w.claimPauses.next()
	w.claiming.Go(func() {
		_ = w.clock.Sleep(w.receiving, wait) // ends early only because the worker stops
		w.withdraw(group)
	})
}

// withdraw takes out jobs that were not claimed and sends them back to the queue.
func (w *Worker) withdraw(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	var back []share
	w.mu.Lock()
	for _, e := range entries {
		back = append(back, e.deliveries...)
		e.deliveries = nil
	}
	w.releaseLocked(entries) // before they are sent back: they come again
	w.mu.Unlock()
	w.tell(w.working, back, share.nack)
	w.stats.nacked.Add(int64(len(back)))
}

// watchStuck keeps a run that stays locked from filling the pool: what gathers of
// it goes back to the queue, and nothing more of it is let in until over is called.
func (w *Worker) watchStuck(run ports.RunKey) (over func()) {
	ended, stuck := false, false // guarded by mu
	timer := time.AfterFunc(stuckAfter, func() {
		w.mu.Lock()
		if ended {
			w.mu.Unlock()
			return
		}
		stuck = true
		w.pool.gate.stuck[run]++
		w.mu.Unlock()
		w.log.Warn("a run has been locked for long; others are worked on meanwhile", "tenant", run.Tenant, "run", run.Run)
		w.withdraw(w.claims.takeRun(run))
	})
	return func() {
		timer.Stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		ended = true
		if stuck {
			now := time.Now()
			stopped := w.pool.gate.hinder(nil, core.Job{Tenant: run.Tenant, Run: run.Run}, now)
			decrement(w.pool.gate.stuck, run)
			w.opened(stopped, now)
		}
	}
}
