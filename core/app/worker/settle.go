package worker

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// settle asks the service to record results, and gives back whose run was locked.
// What is in hand is recorded also while the process stops.
func (w *Worker) settle(group []*entry, ask func(context.Context, []core.Settlement) ([]core.Settlement, error)) (held []*entry, err error) {
	settlements := make([]core.Settlement, len(group))
	for i, e := range group {
		settlements[i] = e.settlement()
	}
	w.stats.settleGroups.Add(1)
	var left []core.Settlement
	err = w.guard(func() (err error) {
		left, err = ask(context.WithoutCancel(w.working), settlements)
		return err
	})
	if err != nil || len(left) == 0 {
		return nil, err
	}
	keys := make(map[entryKey]bool, len(left))
	for i := range left {
		keys[keyOf(left[i].Job)] = true
	}
	for _, e := range group {
		if keys[keyOf(e.job)] {
			held = append(held, e)
		}
	}
	return held, nil
}

// settleGroup records what has gathered of a tenant, in one transaction. If that
// fails it may be by one of them, so that parts are tried.
func (w *Worker) settleGroup(tenant tenantKey, take func() []*entry) {
	var group, held []*entry
	var err error
	w.slots.use(func() {
		if group = take(); len(group) > 0 {
			held, err = w.settle(group, w.svc.SettleFree)
		}
	})
	switch {
	case err == nil:
		w.settled(without(group, held))
		for _, of := range byRun(held) {
			w.heldResults.add(runOf(of[0].job), of...)
		}
	case len(group) == 1 || noFaultOfOne(err):
		w.settleFailed(group, err)
	default:
		w.log.Warn("a group's results were not recorded; its parts are tried", "tenant", tenant, "jobs", len(group), "error", err)
		for _, part := range split(group) {
			w.settleGroup(tenant, func() []*entry { return part })
		}
	}
}

// settleHeld records results of a run that was found locked, by waiting for it.
func (w *Worker) settleHeld(run ports.RunKey, take func() []*entry) {
	var group []*entry
	var err error
	late := func() []*entry { // the later, the more have gathered
		if group == nil {
			group = take()
		}
		return group
	}
	w.slots.locked(context.WithoutCancel(w.working),
		func() (free bool) {
			var held []*entry
			held, err = w.settle(late(), w.svc.SettleFree)
			return err != nil || len(held) == 0
		},
		func() {
			_, err = w.settle(late(), func(ctx context.Context, all []core.Settlement) ([]core.Settlement, error) {
				return nil, w.svc.Settle(ctx, all)
			})
		})
	switch {
	case err == nil:
		w.settled(group)
	case len(group) == 1 || noFaultOfOne(err):
		w.settleFailed(group, err)
	default:
		for _, part := range split(group) {
			w.settleGroup(run.Tenant, func() []*entry { return part })
		}
	}
}

func (w *Worker) settled(group []*entry) {
	w.stats.settled.Add(int64(len(group)))
	w.done(group...)
}

// settleFailed keeps results for another try: what was worked for is given up only
// when its lease is lost or the worker stops.
func (w *Worker) settleFailed(group []*entry, err error) {
	w.log.Warn("results not recorded, will try again", append(attrs(group[0].job), "jobs", len(group), "error", err)...)
	w.tryLater(group, func(e *entry) { w.results.add(e.job.Tenant, e) })
}

func without(group, out []*entry) []*entry {
	if len(out) == 0 {
		return group
	}
	gone := make(map[*entry]bool, len(out))
	for _, e := range out {
		gone[e] = true
	}
	rest := make([]*entry, 0, len(group)-len(out))
	for _, e := range group {
		if !gone[e] {
			rest = append(rest, e)
		}
	}
	return rest
}
