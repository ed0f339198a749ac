package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var (
	// errBulkLost says that another server drives the bulk continue by now. No effect.
	errBulkLost = errors.New("another server drives the bulk continue")
	// errBulkPrice says that the next run costs more than is left. No effect.
	errBulkPrice = errors.New("the next run costs more than is left of the bulk continue's maxPrice")
	// errBulkDispatch says that the jobs could not be enqueued.
	errBulkDispatch = errors.New("the jobs of a bulk continue's run could not be enqueued")
)

// bulkStep continues the next run of a part, by the rules of a Continue, and records what
// became of it in the same transaction: so it happens once, whatever crashes. It gives the
// part after it, and the least place that may still wait; from is the previous one.
//
// It fails with errBulkLost, errBulkPrice or errBulkDispatch (then the run waits again, or
// recovery sends its jobs), or a fault of the store.
func (s *Service) bulkStep(ctx context.Context, b core.Bulk, part core.BulkPart, from int, most *core.Credits) (after core.BulkPart, place int, err error) {
	var v *verdict
	err = s.store.InTx(ctx, part.Tenant, func(tx ports.Tx) error {
		after, place, v = part, from, nil
		next, err := tx.BulkParts().Runs(ctx, b.ID, ports.BulkRunFilter{From: from, State: core.BulkRunWaiting, Limit: 1})
		if err != nil || len(next) == 0 {
			return err
		}
		var before core.Balance
		in := ownInputs{s: s, tx: tx, tenant: part.Tenant, balance: &before}
		run, err := in.run(ctx, next[0].Run) // before the part: the order of locks
		missing := errors.Is(err, ports.ErrNotFound)
		if err != nil && !missing {
			return err
		}
		if after, err = lockBulkPart(ctx, tx, b); err != nil {
			return err
		}
		place = next[0].Place + 1
		item, err := bulkRun(ctx, tx, b.ID, next[0].Run)
		if err != nil || item.State != core.BulkRunWaiting {
			return err // decided meanwhile: the next step is about another one
		}
		plan, err := s.planBulkStep(ctx, in, b, run, missing, next[0].Run, most)
		if refusal, ok := asRefusal(err); ok {
			if refusal.Code == core.CodePriceChanged {
				return errBulkPrice
			}
			if after, item, err = after.Refuse(item, refusal, s.clock.Now()); err != nil {
				return err
			}
			return tx.BulkParts().Save(ctx, after, item)
		}
		if err != nil {
			return err
		}
		v = &verdict{begin: ports.Start{Run: plan.Run, Files: plan.Files, Attempt: plan.Attempt, Charge: plan.Charge}, jobs: plan.Jobs}
		v.sendBy(ports.OutboxOf(tx), s.opts.Recovery, ports.TraceOf(ctx))
		if after, item, err = after.Continued(item, plan, plan.Attempt.RequestedAt); err != nil {
			return err
		}
		if err := tellStart(ctx, tx, &v.begin, before); err != nil {
			return err
		}
		if err := tx.BulkParts().Save(ctx, after, item); err != nil {
			return err
		}
		return write(ctx, tx, v)
	})
	if err == nil {
		s.toldSomething()
		if v != nil {
			s.outcomes.began(v.begin.Attempt)
		}
	}
	if err != nil || v == nil || v.sent {
		return after, place, err
	}
	_, err = s.dispatch(ctx, dispatch{run: v.begin.Run, attempt: v.begin.Attempt.Number, jobs: v.jobs, bulk: b.ID})
	if err != nil {
		return after, place, errors.Join(errBulkDispatch, err)
	}
	return after, place, nil
}

// planBulkStep decides the Continue of one run.
func (s *Service) planBulkStep(ctx context.Context, in inputs, b core.Bulk, run core.Run, missing bool, id core.RunID, most *core.Credits) (core.RetryPlan, error) {
	if missing {
		return core.RetryPlan{}, runNotFound(id)
	}
	// As whoever made it may do now, and not as it was then.
	if err := core.Authorize(b.By, core.ActionContinue, run.Tenant); err != nil {
		return core.RetryPlan{}, err
	}
	plan, _, err := planRetry(ctx, in, run, core.RetryTerms{By: b.By, MaxPrice: most}, answerMemo{})
	return plan, err
}

// putBulkRunAside refuses the next run of a part, whose Continue failed again and again for
// a reason that nobody foresaw, so that it holds up no other.
func (s *Service) putBulkRunAside(ctx context.Context, b core.Bulk, part core.BulkPart, from int, why error) error {
	var aside core.RunID
	err := s.store.InTx(ctx, part.Tenant, func(tx ports.Tx) error {
		aside = ""
		part, err := lockBulkPart(ctx, tx, b)
		if err != nil {
			return err
		}
		next, err := tx.BulkParts().Runs(ctx, b.ID, ports.BulkRunFilter{From: from, State: core.BulkRunWaiting, Limit: 1})
		if err != nil || len(next) == 0 {
			return err
		}
		aside = next[0].Run
		part, item, err := part.Refuse(next[0], &core.Error{
			Code: core.CodeInternal, Message: fmt.Sprintf("something went wrong on our side %d times in a row, so it was left out; the operator's log says what", bulkTries),
		}, s.clock.Now())
		if err != nil {
			return err
		}
		return tx.BulkParts().Save(ctx, part, item)
	})
	if err == nil && aside != "" {
		s.log.Error("a run of a bulk continue could not be continued, and is left out of it", "bulk", b.ID, "run", aside, "error", why)
	}
	return err
}

// lockBulkPart locks a part for the server that drives b: errBulkLost if another one does.
func lockBulkPart(ctx context.Context, tx ports.Tx, b core.Bulk) (core.BulkPart, error) {
	part, err := tx.BulkParts().Lock(ctx, b.ID)
	if err != nil {
		return part, err
	}
	if part.Fence != b.Fence {
		return part, errBulkLost
	}
	return part, nil
}

// bulkRun reads one run of a part.
func bulkRun(ctx context.Context, tx ports.Tx, id core.BulkID, run core.RunID) (core.BulkRun, error) {
	found, err := tx.BulkParts().Runs(ctx, id, ports.BulkRunFilter{Run: run, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return core.BulkRun{}, err
	}
	return found[0], nil
}

// undoBulkStep lets the run of a dispatch that is compensated wait again, in the same
// transaction. The caller holds the run's lock.
func undoBulkStep(ctx context.Context, tx ports.Tx, d dispatch) error {
	part, err := tx.BulkParts().Lock(ctx, d.bulk)
	if err != nil {
		return err
	}
	item, err := bulkRun(ctx, tx, d.bulk, d.run.ID)
	if err != nil {
		return err
	}
	part, item, changed, err := part.Undone(item, d.attempt)
	if err != nil || !changed {
		return err
	}
	return tx.BulkParts().Save(ctx, part, item)
}

// watchBulk records which of the continued runs have closed, of a page of those that are
// open from a place on. It gives the part after it and where the next page begins; 0 after
// the last one.
func (s *Service) watchBulk(ctx context.Context, b core.Bulk, part core.BulkPart, from int) (core.BulkPart, int, error) {
	var after core.BulkPart
	next := 0
	err := s.store.InTx(ctx, part.Tenant, func(tx ports.Tx) error {
		next = 0
		var err error
		if after, err = lockBulkPart(ctx, tx, b); err != nil {
			return err
		}
		open, err := tx.BulkParts().Runs(ctx, b.ID, ports.BulkRunFilter{From: from, Open: true, Limit: watchPage})
		if err != nil || len(open) == 0 {
			return err
		}
		if len(open) == watchPage {
			next = open[len(open)-1].Place + 1
		}
		ids := make([]core.RunID, len(open))
		for i := range open {
			ids[i] = open[i].Run
		}
		list, err := tx.Find().RunsByID(ctx, ids)
		if err != nil {
			return err
		}
		runs := make(map[core.RunID]core.Run, len(list))
		for _, run := range list {
			runs[run.ID] = run
		}
		var changed []core.BulkRun
		for _, item := range open {
			run, there := runs[item.Run]
			if !there {
				continue
			}
			var later *core.Attempt
			if run.Attempt > item.Attempt {
				a, err := tx.Attempts().Get(ctx, run.ID, item.Attempt+1)
				if err != nil {
					return err
				}
				later = &a
			}
			var closed bool
			if after, item, closed = after.Closed(item, run, later, s.clock.Now()); closed {
				changed = append(changed, item)
			}
		}
		if len(changed) == 0 {
			return nil
		}
		return tx.BulkParts().Save(ctx, after, changed...)
	})
	return after, next, err
}

// watchPage is how many open runs are looked at in one transaction.
const watchPage = 200
