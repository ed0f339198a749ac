package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Recover looks at all runs that are due, a page at a time, and gives each what it needs
// (spec 6): expired leases, unconfirmed dispatches and lost messages are
// dispatched again, and a run on which redelivery was tried often enough is
// closed INTERRUPTED. It may run on every instance at once: each run is decided
// under its lock, and a run that another transaction holds is passed over, so the instances
// share the work. It gives the number of runs it acted on. However many runs fail
// or are held, the others get their turn: those stay due, for the next call. While a part of the
// store cannot be reached, it recovers what the others have, and says so (ports.ErrIncomplete).
func (s *Service) Recover(ctx context.Context, page int) (visited int, err error) {
	passed := map[ports.RunKey]bool{} // they failed, or are locked
	failed := 0
	var errs []error
	for {
		due, missing := s.store.DueRuns(ctx, s.clock.Now(), s.opts.Recovery.Horizon(), page+len(passed))
		if unanswered(missing) {
			return visited, errors.Join(append(errs, missing)...)
		}
		looked := false
		for _, key := range due {
			if passed[key] {
				continue
			}
			if err := ctx.Err(); err != nil {
				return visited, errors.Join(append(errs, err)...)
			}
			looked = true
			acted, err := s.recoverRun(ctx, key, false)
			if err != nil {
				if failed++; failed <= maxRecoveryErrors {
					errs = append(errs, fmt.Errorf("recover run %s: %w", key.Run, err))
				}
			}
			if acted {
				visited++
			}
			if err != nil || !acted {
				passed[key] = true
			}
		}
		if !looked || len(due) < page {
			if failed > maxRecoveryErrors {
				errs = append(errs, fmt.Errorf("and %d more runs", failed-maxRecoveryErrors))
			}
			return visited, errors.Join(append(errs, missing)...)
		}
	}
}

// unanswered reports whether a question over all tenants was not answered at all: of what
// was answered in part, the part is gone on with.
func unanswered(err error) bool { return err != nil && !errors.Is(err, ports.ErrIncomplete) }

// maxRecoveryErrors bounds what one pass of recovery reports.
const maxRecoveryErrors = 10

// Resume is Recover for the start of a process that is the only one on its store, and
// whose queue was lost with the previous process: of every run that is under way, what was
// claimed or waits is dispatched at once, without waiting for leases to run out. A store that
// one process has at a time makes sure of it, such as adapters/sqlite. Call it before the
// process accepts or claims anything: it would take the process's own leases for void. It
// gives the number of runs it acted on. What it could not dispatch, Recover will.
func (s *Service) Resume(ctx context.Context) (visited int, err error) {
	// Every run that is RUNNING is due by then.
	end := s.clock.Now().Add(endOfTime)
	running, err := s.store.DueRuns(ctx, end, s.opts.Recovery.Horizon(), math.MaxInt32)
	if err != nil {
		return 0, err
	}
	failed := 0
	var errs []error
	for _, key := range running {
		if err := ctx.Err(); err != nil {
			return visited, errors.Join(append(errs, err)...)
		}
		acted, err := s.recoverRun(ctx, key, true)
		if err != nil {
			if failed++; failed <= maxRecoveryErrors {
				errs = append(errs, fmt.Errorf("resume run %s: %w", key.Run, err))
			}
		}
		if acted {
			visited++
		}
	}
	if failed > maxRecoveryErrors {
		errs = append(errs, fmt.Errorf("and %d more runs", failed-maxRecoveryErrors))
	}
	return visited, errors.Join(append(errs, s.releaseBulks(ctx))...)
}

// endOfTime is further than any clock's mistake.
const endOfTime = 100 * 365 * 24 * time.Hour

// recoverRun looks at one run. alone says that no other process can be at work on it.
func (s *Service) recoverRun(ctx context.Context, key ports.RunKey, alone bool) (acted bool, err error) {
	var plan *core.RecoveryPlan
	sent := false // by the transaction
	err = s.store.InTx(ctx, key.Tenant, func(tx ports.Tx) error {
		acted = false
		free, err := tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: key.Run})
		if err != nil || len(free) == 0 {
			return err
		}
		run, now := free[0].Run, s.clock.Now()
		planRecovery := core.PlanRecovery
		if alone {
			planRecovery, run.RecoverAt = core.PlanResume, now // due if it is running
		}
		if !core.RecoveryDue(run, now, s.opts.Recovery.Horizon()) {
			return nil
		}
		unfinished, err := tx.Files().InStatus(ctx, run.ID, core.FilePending, core.FileProcessing)
		if err != nil {
			return err
		}
		planned, err := planRecovery(run, unfinished, now, s.opts.Recovery)
		if err != nil {
			return err
		}
		if sent = ports.OutboxOf(tx) != nil && len(planned.Jobs) > 0; sent {
			planned.Run, _ = core.ConfirmDispatch(planned.Run, planned.Run.Attempt)
		}
		plan, acted = &planned, true
		if planned.Closed {
			if err := tellClosed(ctx, tx, planned.Run); err != nil {
				return err
			}
		}
		free[0] = ports.RunRows{Run: plan.Run, Files: plan.Files} // in the place of what was read
		if err := tx.Runs().Save(ctx, free...); err != nil || !sent {
			return err
		}
		return send(ctx, tx, planned.Jobs)
	})
	if err != nil || !acted {
		return false, err
	}

	// What is committed is followed up, also while the process stops.
	ctx = detached(ctx)
	log := s.log.With("tenant", key.Tenant, "run", key.Run, "attempt", plan.Run.Attempt)
	s.stats.expiredLeases.Add(int64(plan.Expired))
	if plan.Closed {
		s.toldSomething()
		s.stats.givenUp.Add(1)
		s.outcomes.closed(plan.Run.Status, plan.Run.Reason)
		log.Warn("run interrupted: redelivery was tried often enough", "files", plan.Run.Tally.Unfinished)
		return true, nil
	}
	if len(plan.Jobs) == 0 {
		return true, nil
	}
	s.stats.redispatched.Add(int64(len(plan.Jobs)))
	log.Info("dispatching again", "jobs", len(plan.Jobs), "expired", plan.Expired, "unconfirmed", plan.Unconfirmed)
	if sent {
		return true, nil
	}
	if err := s.enqueueAgain(ctx, plan.Run, plan.Jobs); err != nil {
		return true, err
	}
	if plan.Unconfirmed {
		return true, s.confirm(ctx, plan.Run, plan.Run.Attempt)
	}
	return true, nil
}

// enqueueAgain enqueues jobs of an attempt that is under way. If that fails, the
// run is due for recovery at once instead of after its usual distance.
func (s *Service) enqueueAgain(ctx context.Context, run core.Run, jobs []core.Job) error {
	ctx = detached(ctx)
	enqueueErr := s.enqueue(ctx, jobs)
	if enqueueErr == nil {
		return nil
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	id, attempt := run.ID, run.Attempt
	err := s.store.InTx(ctx, run.Tenant, func(tx ports.Tx) error {
		now, err := ports.LockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if due, changed := core.DispatchPartly(now, attempt, s.clock.Now()); changed {
			return tx.Runs().Save(ctx, ports.RunRows{Run: due})
		}
		return nil
	})
	return errors.Join(enqueueErr, err)
}
