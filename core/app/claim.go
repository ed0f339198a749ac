package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Claim takes jobs of one run for a worker (spec 5). What it leaves out of its
// answer had no effect: stale, delivered twice, or of a run that has closed. It
// is safe to repeat: files that are being processed are not claimed again. After
// an error nothing may be assumed; deliver the jobs again.
func (s *Service) Claim(ctx context.Context, jobs []core.Job) ([]Claimed, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	var plan core.ClaimPlan
	var template core.Template
	drops, err := s.onJobs(ctx, jobs, func(tx ports.Tx, run core.Run, files []core.File) (err error) {
		if plan, err = core.Claim(run, files, jobs, s.clock.Now(), s.opts.Recovery.Lease); err != nil || len(plan.Claimed) == 0 {
			return err
		}
		if template, err = tx.Templates().Get(ctx, run.Template); err != nil {
			return err
		}
		if plan.RunChanged {
			if err := tx.Runs().Save(ctx, plan.Run); err != nil {
				return err
			}
		}
		return tx.Files().Save(ctx, run.ID, plan.Files)
	})
	if err != nil {
		return nil, err
	}
	s.logDrops(ctx, "delivery", append(drops, plan.Dropped...))
	claimed := make([]Claimed, len(plan.Claimed))
	rest := plan.Files // in the order of the claimed jobs
	for i, job := range plan.Claimed {
		claimed[i] = Claimed{Job: job, Template: template, Files: rest[:len(job.Files)]}
		rest = rest[len(job.Files):]
	}
	return claimed, nil
}
