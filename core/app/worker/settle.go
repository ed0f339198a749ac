package worker

import (
	"context"

	"github.com/redrive/redrive/core"
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

// settleGroup records what has gathered of a tenant, in one transaction.
func (w *Worker) settleGroup(take func() []*entry) {
	var group, held []*entry
	var err error
	w.slots.use(func() {
		if group = take(); len(group) > 0 {
			held, err = w.settle(group, w.svc.SettleFree)
		}
	})
	if err == nil {
		free := without(group, held)
		w.runs.free(free)
		w.settled(free)
		for _, of := range byRun(held) { // their runs stay in use
			w.running.Go(func() { w.settleHeld(of) })
		}
		return
	}
	w.settleFailed(group, err)
}

// settleHeld records results of a run that was found locked, by waiting for it.
func (w *Worker) settleHeld(group []*entry) {
	var err error
	w.slots.locked(context.WithoutCancel(w.working),
		func() (free bool) {
			var held []*entry
			held, err = w.settle(group, w.svc.SettleFree)
			return err != nil || len(held) == 0
		},
		func() {
			_, err = w.settle(group, func(ctx context.Context, all []core.Settlement) ([]core.Settlement, error) {
				return nil, w.svc.Settle(ctx, all)
			})
		})
	if err == nil {
		w.runs.free(group)
		w.settled(group)
		return
	}
	w.settleFailed(group, err)
}

func (w *Worker) settled(group []*entry) {
	w.stats.settled.Add(int64(len(group)))
	w.done(group...)
}

// settleFailed tries the parts of a group, or keeps a result for another try: what
// was worked for is given up only when its lease is lost or the worker stops.
func (w *Worker) settleFailed(group []*entry, err error) {
	w.log.Warn("results not recorded, will try again", append(attrs(group[0].job), "jobs", len(group), "error", err)...)
	if len(group) > 1 && !noFaultOfOne(err) {
		for _, part := range split(group) {
			w.settleGroup(func() []*entry { return part })
		}
		return
	}
	w.runs.free(group)
	w.tryLater(group, w.results)
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
