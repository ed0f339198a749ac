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
	_, err := a.Get(ctx, attempt.Run, attempt.Number)
	if err == nil {
		return ports.ErrExists
	}
	if err := a.t.readRun(ctx, attempt.Run, func(*runState, *runWrites) error { return nil }); err != nil {
		return err
	}
	attempt.Tenant = a.t.tenant
	attempt.Files = slices.Clone(attempt.Files)
	w := a.t.writesOf(attempt.Run)
	w.attempts = append(w.attempts, attempt)
	return nil
}

func (a attempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	list, err := a.list(ctx, run, func(x core.Attempt) bool { return x.Number == n })
	if err != nil {
		return core.Attempt{}, err
	}
	if len(list) == 0 {
		return core.Attempt{}, ports.ErrNotFound
	}
	return list[0], nil
}

func (a attempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	if err := a.t.lock(ctx, lockAttempts, string(run)); err != nil {
		return err
	}
	if _, err := a.Get(ctx, run, n); err != nil {
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
	list, err := a.list(ctx, run, func(core.Attempt) bool { return true })
	return list, ignoreNotFound(err)
}

func (a attempts) list(ctx context.Context, run core.RunID, want func(core.Attempt) bool) ([]core.Attempt, error) {
	var list []core.Attempt
	err := a.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		var all []core.Attempt
		if s != nil {
			all = s.attempts
		}
		if w != nil {
			all = slices.Concat(all, w.attempts)
		}
		for _, x := range all {
			if !want(x) {
				continue
			}
			x.Files = slices.Clone(x.Files)
			if w != nil && !w.compensated[x.Number].IsZero() {
				x.CompensatedAt = w.compensated[x.Number]
			}
			list = append(list, x)
		}
		return nil
	})
	slices.SortFunc(list, func(x, y core.Attempt) int { return int(x.Number - y.Number) })
	return list, err
}

type amendments struct{ t *tx }

func (a amendments) Insert(ctx context.Context, amendment core.Amendment) error {
	if err := a.t.lock(ctx, lockAttempts, string(amendment.Run)); err != nil {
		return err
	}
	if err := a.t.readRun(ctx, amendment.Run, func(*runState, *runWrites) error { return nil }); err != nil {
		return err
	}
	amendment.Tenant = a.t.tenant
	w := a.t.writesOf(amendment.Run)
	w.amendments = append(w.amendments, amendment)
	return nil
}

func (a amendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	var list []core.Amendment
	err := a.t.readRun(ctx, run, func(s *runState, w *runWrites) error {
		if s != nil {
			list = slices.Clone(s.amendments)
		}
		if w != nil {
			list = append(list, w.amendments...)
		}
		return nil
	})
	return list, ignoreNotFound(err)
}
