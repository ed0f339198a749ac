package app

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Renew extends the leases of jobs of one run and says which are lost: their
// files were settled, cancelled or given to another worker, so whoever works on
// them may stop. A renewal that a crash of the store forgets makes the lease run
// out early, which fences the worker.
func (s *Service) Renew(ctx context.Context, jobs []core.Job) (lost []core.Job, err error) {
	lost, unknown, err := s.renew(ctx, jobs, waitForRun)
	s.logDrops(ctx, "lease", dropUnknown(unknown))
	return append(lost, unknown...), err
}

// RenewFree is Renew for jobs of several runs of one tenant, in one transaction
// that waits for nobody: held are those of runs that somebody else has locked,
// which are to be renewed run by run.
func (s *Service) RenewFree(ctx context.Context, jobs []core.Job) (lost, held []core.Job, err error) {
	return s.renew(ctx, jobs, passHeldRun)
}

func (s *Service) renew(ctx context.Context, jobs []core.Job, wait waitMode) (lost, left []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil, nil
	}
	plans, left, err := onJobs(ports.Relaxed(ctx), s.store, jobs, wait, func() planner[core.LeasePlan] {
		return func(_ ports.Tx, run core.Run, files []core.File, jobs []core.Job) (core.LeasePlan, ports.RunRows, error) {
			p := core.Renew(run, files, jobs, s.clock.Now(), s.opts.Recovery.Lease)
			return p, ports.RunRows{Run: run, Files: p.Files, FilesOnly: true}, nil
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range plans {
		s.logDrops(ctx, "lease", p.Lost)
		for _, d := range p.Lost {
			lost = append(lost, d.Job)
		}
	}
	return lost, left, nil
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
	plans, unknown, err := onJobs(ctx, s.store, jobs, waitForRun, func() planner[core.HandBackPlan] {
		return func(_ ports.Tx, run core.Run, files []core.File, jobs []core.Job) (core.HandBackPlan, ports.RunRows, error) {
			p, err := core.HandBack(run, files, jobs, s.clock.Now())
			return p, ports.RunRows{Run: p.Run, Files: p.Files, FilesOnly: len(p.Jobs) == 0}, err
		}
	})
	if err != nil {
		return err
	}
	s.logDrops(ctx, "handed back job", dropUnknown(unknown))
	for _, p := range plans {
		s.logDrops(ctx, "handed back job", p.Dropped)
		if len(p.Jobs) > 0 {
			return s.enqueueAgain(ctx, p.Run, p.Jobs)
		}
	}
	return nil
}
