package worker

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// settle asks the service to record results, and gives back whose run was locked.
// What is in hand is recorded also while the process stops.
func (w *Worker) settle(group []*entry, wait app.Wait) (held []*entry, err error) {
	settlements := make([]core.Settlement, len(group))
	for i, e := range group {
		settlements[i] = e.settlement()
	}
	w.stats.settleGroups.Add(1)
	var left []core.Settlement
	err = w.guard(func() (err error) {
		left, err = w.svc.Settle(context.WithoutCancel(w.working), settlements, wait)
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
			held, err = w.settle(group, app.SkipLocked)
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
			held, err = w.settle(group, app.SkipLocked)
			return err != nil || len(held) == 0
		},
		func() {
			_, err = w.settle(group, app.WaitForLock)
		})
	if err == nil {
		w.runs.free(group)
		w.settled(group)
		return
	}
	w.settleFailed(group, err)
}

func (w *Worker) settled(group []*entry) {
	whole := make([]*entry, 0, len(group))
	for _, e := range group {
		if e.of != nil {
			w.pieceOver(e, true)
		} else {
			whole = append(whole, e)
		}
	}
	w.stats.settled.Add(int64(len(whole)))
	w.done(whole...)
}

// settleFailed tries the parts of a group, or keeps a result for another try: what
// was worked for is given up only when its lease is lost, the worker stops, or the
// store can never hold it.
func (w *Worker) settleFailed(group []*entry, err error) {
	if len(group) > 1 && !noFaultOfOne(err) {
		w.log.Warn("results of a group not recorded; its parts are tried", append(attrs(group[0].job), "jobs", len(group), "error", err)...)
		for _, part := range split(group) {
			w.settleGroup(func() []*entry { return part })
		}
		return
	}
	w.runs.free(group)
	if len(group) == 1 && hopeless(err) {
		w.log.Error("the store can never hold these results", append(attrs(group[0].job), "results", len(group[0].results), "error", err)...)
		w.refused(group[0])
		return
	}
	w.log.Warn("results not recorded, will try again", append(attrs(group[0].job), "jobs", len(group), "error", err)...)
	w.tryLater(group, w.results)
}

// refused does what can be done about results that the store can never hold: those of
// several files are tried one by one; of a file that is refused alone, and of all that
// is left if that is not the reason, the run is to say that they could not be kept.
func (w *Worker) refused(e *entry) {
	switch {
	case e.of != nil:
		w.pieceRefused(e)
	case len(e.results) > 1 && !w.trySingly(e):
		w.running.Go(func() { w.finish(e) })
	case !e.refused:
		e.refused = true
		for i := range e.results {
			e.results[i] = notRecorded(e.results[i].Index)
		}
		w.results.add(e)
	default: // not even that: it is not the results
		w.tryLater([]*entry{e}, w.results)
	}
}

// trySingly makes the results of a job go one by one from now on, and reports whether
// they did already.
func (w *Worker) trySingly(e *entry) (already bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	already = e.pieces.singly
	e.pieces.singly = true
	if !already { // its pieces are counted
		w.pool.lighten(e.unsaved)
		e.unsaved = 0
	}
	return already
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
