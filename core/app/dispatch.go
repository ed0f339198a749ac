package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// dispatch is a committed attempt whose jobs are to be enqueued.
type dispatch struct {
	run     core.Run // as it was answered
	attempt core.AttemptNumber
	jobs    []core.Job
	key     core.Key    // the caller's idempotency key, empty for none
	bulk    core.BulkID // of which it is a step; empty for none
}

// dispatch enqueues the jobs of an attempt that was committed, and undoes the
// attempt if that fails (spec 4). From the commit on the caller may go away: its
// cancellation must not decide between work and refund.
func (s *Service) dispatch(ctx context.Context, d dispatch) (core.Run, error) {
	ctx = detached(ctx)
	log := s.log.With("tenant", d.run.Tenant, "run", d.run.ID, "attempt", d.attempt)

	enqueueErr := s.enqueue(ctx, d.jobs)
	if enqueueErr == nil {
		if err := s.confirm(ctx, d.run, d.attempt); err != nil {
			// The jobs are out. Recovery will send them again, to no effect.
			s.stats.unconfirmed.Add(1)
			log.Warn("dispatch not confirmed, recovery will repeat it", "error", err)
		}
		return d.run, nil
	}

	undone, run, err := s.compensate(ctx, d)
	switch {
	case err != nil:
		// Neither done nor undone. The attempt stays unconfirmed, so recovery
		// dispatches it: the tenant gets the work. The caller is told what went
		// wrong first.
		s.stats.compensationFailures.Add(1)
		log.Error("enqueueing failed and so did the compensation; recovery will dispatch", "enqueue_error", enqueueErr, "error", err)
		return d.run, enqueueFailed(d.run.ID, enqueueErr)
	case !undone && run.Attempt == d.attempt && run.Dispatch == core.DispatchConfirmed:
		log.Warn("enqueueing failed, but the attempt is under way; recovery sends what is missing", "enqueue_error", enqueueErr)
		return run, nil
	case !undone: // cancelled meanwhile: what is paid for is pending and free to continue
		log.Warn("enqueueing failed, and the run was closed meanwhile", "enqueue_error", enqueueErr)
		return run, enqueueFailed(d.run.ID, enqueueErr)
	default:
		s.toldSomething()
		s.stats.compensated.Add(1)
		s.outcomes.undone(d.attempt == 0, d.run.CreditsConsumed-run.CreditsConsumed, run)
		log.Warn("enqueueing failed; the attempt was undone and refunded", "enqueue_error", enqueueErr)
		return run, enqueueFailed(d.run.ID, enqueueErr)
	}
}

// detached is ctx without its end: what was committed is followed up.
func detached(ctx context.Context) context.Context {
	return context.WithoutCancel(ctx)
}

// bounded bounds what follows a commit.
func (s *Service) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.opts.DispatchTimeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.opts.DispatchTimeout)
}

// enqueue hands jobs to the queue. Fewer taken than asked is an error: a job
// that was silently swallowed would be waited for until recovery notices.
func (s *Service) enqueue(ctx context.Context, jobs []core.Job) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	accepted, err := s.queue.Enqueue(ctx, jobs)
	if err != nil {
		return err
	}
	if accepted != len(jobs) {
		return fmt.Errorf("the queue took %d of %d jobs", accepted, len(jobs))
	}
	return nil
}

// confirm records that the attempt's jobs reached the queue. If a crash of the
// store forgets that, recovery sends them again, to no effect.
func (s *Service) confirm(ctx context.Context, run core.Run, n core.AttemptNumber) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	id := run.ID
	return s.store.InTx(ports.Relaxed(ctx), run.Tenant, func(tx ports.Tx) error {
		now, err := ports.LockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if confirmed, changed := core.ConfirmDispatch(now, n); changed {
			return tx.Runs().Save(ctx, ports.RunRows{Run: confirmed})
		}
		return nil
	})
}

// compensate undoes the attempt if that is still allowed, in one transaction:
// either all of it and the refund, or nothing. undone is false if a job of it was
// claimed or the attempt is over; then recovery is told to send what is missing,
// and run is the run as it is.
//
// Nothing is written to by the same attempt twice: once it is undone, the run's
// attempt is over and Compensable says no to every later call.
func (s *Service) compensate(ctx context.Context, d dispatch) (undone bool, run core.Run, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	err = s.store.InTx(ctx, d.run.Tenant, func(tx ports.Tx) error {
		undone = false
		if run, err = ports.LockRun(ctx, tx, d.run.ID); err != nil {
			return err
		}
		if !core.Compensable(run, d.attempt) {
			if partly, changed := core.DispatchPartly(run, d.attempt, s.clock.Now()); changed {
				run = partly
				return tx.Runs().Save(ctx, ports.RunRows{Run: run})
			}
			return nil
		}
		undone = true
		run, err = s.undo(ctx, tx, run, d)
		return err
	})
	return undone, run, err
}

// undo writes the compensation. The caller holds the run's lock; the tenant's
// is taken before anything is refunded.
func (s *Service) undo(ctx context.Context, tx ports.Tx, run core.Run, d dispatch) (core.Run, error) {
	attempt, err := tx.Attempts().Get(ctx, run.ID, d.attempt)
	if err != nil {
		return core.Run{}, err
	}
	indexes := make([]int, len(attempt.Files))
	for i, f := range attempt.Files {
		indexes[i] = f.Index
	}
	files, err := tx.Files().ByIndex(ctx, run.ID, indexes)
	if err != nil {
		return core.Run{}, err
	}
	plan, err := core.Compensate(run, attempt, files, core.System, s.clock.Now())
	if err != nil {
		return core.Run{}, err
	}
	if d.bulk != "" { // its lock comes before that of the credits
		if err := undoBulkStep(ctx, tx, d); err != nil {
			return core.Run{}, err
		}
	}
	if len(plan.Refund) > 0 {
		if _, err := tx.Ledger().BalanceForUpdate(ctx, attempt.Charge.Period); err != nil {
			return core.Run{}, err
		}
		if err := post(ctx, tx, plan.Refund); err != nil {
			return core.Run{}, err
		}
	}
	if err := tx.WebhookEvents().Tell(ctx, core.ClosingEvent(plan.Run, true, plan.Attempt.CompensatedAt)); err != nil {
		return core.Run{}, err
	}
	if err := tx.Runs().Save(ctx, ports.RunRows{Run: plan.Run, Files: plan.Files}); err != nil {
		return core.Run{}, err
	}
	if err := tx.Attempts().MarkCompensated(ctx, run.ID, d.attempt, plan.Attempt.CompensatedAt); err != nil {
		return core.Run{}, err
	}
	return plan.Run, answerEnqueueFailed(ctx, tx, d.key, plan.Run)
}

// enqueueFailed is what the caller is told, with the queue's own error inside.
func enqueueFailed(run core.RunID, cause error) *core.Error {
	return &core.Error{
		Code: core.CodeEnqueueFailed, Run: run, Err: cause,
		Message: "the run's files could not be handed to the workers; look at the run, and continue it if it is closed",
	}
}

// logDrops counts and logs what had no effect.
func (s *Service) logDrops(ctx context.Context, what string, drops []core.Drop) {
	s.stats.dropped.Add(int64(len(drops)))
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, d := range drops {
		s.log.Debug(what+" had no effect", "tenant", d.Job.Tenant, "run", d.Job.Run, "job", d.Job.ID, "epoch", d.Job.Epoch, "reason", d.Reason)
	}
}

// moved reports whether nothing can be done for a tenant here any more, since it is being
// moved to another database. What its jobs were about goes on there: recovery sends them
// anew, as it does here if the tenant stays after all.
func (s *Service) moved(err error, jobs []core.Job, what string) bool {
	if !errors.Is(err, ports.ErrMoved) {
		return false
	}
	s.stats.dropped.Add(int64(len(jobs)))
	s.log.Warn(what+" had no effect: the tenant is being moved to another database, or was moved there", "tenant", jobs[0].Tenant, "jobs", len(jobs))
	return true
}

// ended reports whether err only says that ctx is over.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
