package memory

import (
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type attempts struct{ t *tx }

func (a attempts) Insert(ctx context.Context, attempt core.Attempt) error {
	if err := a.t.lock(ctx, lockAttempts, string(attempt.Run)); err != nil {
		return err
	}
	if _, err := a.get(ctx, attempt.Run, attempt.Number); err == nil {
		return ports.ErrExists
	}
	if err := a.t.runExists(ctx, attempt.Run); err != nil {
		return err
	}
	attempt.Tenant = a.t.tenant
	attempt.Files = slices.Clone(attempt.Files)
	w := a.t.writesOf(attempt.Run)
	w.attempts = append(w.attempts, attempt)
	return nil
}

func (a attempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	x, err := a.get(ctx, run, n)
	x.Files = slices.Clone(x.Files)
	return x, err
}

// get is Get, and shares the attempt's files.
func (a attempts) get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	s, w, err := a.t.readRun(ctx, run)
	if err != nil {
		return core.Attempt{}, err
	}
	defer a.t.done()
	for _, list := range lists(s, w) {
		for i := range list {
			if list[i].Number == n {
				return w.compensation(list[i]), nil
			}
		}
	}
	return core.Attempt{}, ports.ErrNotFound
}

// lists are a run's attempts: those that are committed, and the transaction's own.
func lists(s *runState, w *runWrites) (lists [2][]core.Attempt) {
	if s != nil {
		lists[0] = s.attempts
	}
	if w != nil {
		lists[1] = w.attempts
	}
	return lists
}

// compensation gives the attempt as the transaction has marked it.
func (w *runWrites) compensation(x core.Attempt) core.Attempt {
	if w == nil {
		return x
	}
	if at, marked := w.compensated[x.Number]; marked {
		x.CompensatedAt = at
	}
	return x
}

func (a attempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	if err := a.t.lock(ctx, lockAttempts, string(run)); err != nil {
		return err
	}
	if _, err := a.get(ctx, run, n); err != nil {
		return err
	}
	w := a.t.writesOf(run)
	if w.compensated == nil {
		w.compensated = map[core.AttemptNumber]time.Time{}
	}
	w.compensated[n] = at
	return nil
}

func (a attempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	s, w, err := a.t.readRun(ctx, run)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	defer a.t.done()
	both := lists(s, w)
	list := make([]core.Attempt, 0, len(both[0])+len(both[1]))
	for _, some := range both {
		for _, x := range some {
			x.Files = slices.Clone(x.Files)
			list = append(list, w.compensation(x))
		}
	}
	slices.SortFunc(list, func(x, y core.Attempt) int { return int(x.Number - y.Number) })
	return list, nil
}

type amendments struct{ t *tx }

func (a amendments) Insert(ctx context.Context, amendment core.Amendment) error {
	if err := a.t.lock(ctx, lockAttempts, string(amendment.Run)); err != nil {
		return err
	}
	if err := a.t.runExists(ctx, amendment.Run); err != nil {
		return err
	}
	amendment.Tenant = a.t.tenant
	w := a.t.writesOf(amendment.Run)
	w.amendments = append(w.amendments, amendment)
	return nil
}

func (a amendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	s, w, err := a.t.readRun(ctx, run)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	defer a.t.done()
	var list []core.Amendment
	if s != nil {
		list = slices.Clone(s.amendments)
	}
	if w != nil {
		list = append(list, w.amendments...)
	}
	return list, nil
}
