package app

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Renew extends the leases of jobs of one tenant, in one transaction, and says which
// are lost: their files were settled, cancelled or given to another worker, so work on
// them may stop. A renewal that a crash of the store forgets makes the lease run
// out early, which fences the worker.
//
// With SkipLocked, held are the jobs of runs that another transaction has locked,
// or that do not exist: renew them run by run with WaitForLock.
func (s *Service) Renew(ctx context.Context, jobs []core.Job, wait Wait) (lost, held []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil, nil
	}
	plans, held, unknown, err := onJobs(ports.Relaxed(ctx), s.store, jobs, wait, func() planner[core.LeasePlan] {
		now := s.clock.Now()
		return func(_ ports.Tx, run core.Run, files []core.File, jobs []core.Job) (core.LeasePlan, ports.RunRows, error) {
			p := core.Renew(run, files, jobs, now, s.opts.Recovery.Lease)
			return p, ports.RunRows{Run: run, Files: p.Files, FilesOnly: true}, nil
		}
	})
	if s.moved(err, jobs, "lease") {
		return jobs, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s.logDrops(ctx, "lease", dropUnknown(unknown))
	for _, p := range plans {
		s.logDrops(ctx, "lease", p.Lost)
		for _, d := range p.Lost {
			lost = append(lost, d.Job)
		}
	}
	return append(lost, unknown...), held, nil
}

// Lost says which of these jobs of one tenant are not held any more, because their runs
// were cancelled or closed, or their files given to another worker: work on them may
// stop. Nothing is locked or changed.
func (s *Service) Lost(ctx context.Context, jobs []core.Job) (lost []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	err = s.store.View(ctx, jobs[0].Tenant, func(tx ports.Tx) error {
		lost = nil
		for _, group := range ByRun(jobs) {
			run, err := tx.Runs().Get(ctx, group[0].Run)
			if errors.Is(err, ports.ErrNotFound) {
				lost = append(lost, group...)
				continue
			}
			if err != nil {
				return err
			}
			files, err := tx.Files().ByIndex(ctx, run.ID, core.FileIndexes(group))
			if err != nil {
				return err
			}
			for _, d := range core.Renew(run, files, group, s.clock.Now(), s.opts.Recovery.Lease).Lost {
				lost = append(lost, d.Job)
			}
		}
		return nil
	})
	return lost, err
}

// HandBack gives jobs of one run back unfinished, for another worker to claim
// at once. If enqueueing them fails, recovery sends them.
func (s *Service) HandBack(ctx context.Context, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	sent := false // by the transaction
	plans, _, unknown, err := onJobs(ctx, s.store, jobs, WaitForLock, func() planner[core.HandBackPlan] {
		sent = false
		return func(tx ports.Tx, run core.Run, files []core.File, jobs []core.Job) (core.HandBackPlan, ports.RunRows, error) {
			p, err := core.HandBack(run, files, jobs, s.clock.Now())
			if err == nil && ports.OutboxOf(tx) != nil {
				sent = true
				err = send(ctx, tx, p.Jobs)
			}
			return p, ports.RunRows{Run: p.Run, Files: p.Files, FilesOnly: len(p.Jobs) == 0}, err
		}
	})
	if s.moved(err, jobs, "handed back job") {
		return nil
	}
	if err != nil {
		return err
	}
	s.logDrops(ctx, "handed back job", dropUnknown(unknown))
	for _, p := range plans {
		s.logDrops(ctx, "handed back job", p.Dropped)
		if len(p.Jobs) > 0 && !sent {
			return s.enqueueAgain(ctx, p.Run, p.Jobs)
		}
	}
	return nil
}
