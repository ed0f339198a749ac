package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Renew extends the leases of jobs of one run and says which are lost: their
// files were settled, cancelled or given to another worker, so whoever works on
// them may stop. A renewal that a crash of the store forgets makes the lease run
// out early, which fences the worker.
func (s *Service) Renew(ctx context.Context, jobs []core.Job) (lost []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	var plan core.LeasePlan
	drops, err := s.onJobs(ports.Relaxed(ctx), jobs, func(tx ports.Tx, run core.Run, files []core.File) error {
		plan = core.Renew(run, files, jobs, s.clock.Now(), s.opts.Recovery.Lease)
		if len(plan.Files) == 0 {
			return nil
		}
		return tx.Files().Save(ctx, run.ID, plan.Files)
	})
	if err != nil {
		return nil, err
	}
	drops = append(drops, plan.Lost...)
	s.logDrops(ctx, "lease", drops)
	for _, d := range drops {
		lost = append(lost, d.Job)
	}
	return lost, nil
}

// HandBack gives jobs of one run back unfinished, for another worker to claim
// at once. If enqueueing them fails, recovery sends them.
func (s *Service) HandBack(ctx context.Context, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	var plan core.HandBackPlan
	drops, err := s.onJobs(ctx, jobs, func(tx ports.Tx, run core.Run, files []core.File) (err error) {
		if plan, err = core.HandBack(run, files, jobs, s.clock.Now()); err != nil || len(plan.Jobs) == 0 {
			return err
		}
		return saveRunAndFiles(ctx, tx, plan.Run, plan.Files)
	})
	if err != nil {
		return err
	}
	s.logDrops(ctx, "handed back job", append(drops, plan.Dropped...))
	if len(plan.Jobs) == 0 {
		return nil
	}
	return s.enqueueAgain(ctx, plan.Run, plan.Jobs)
}
