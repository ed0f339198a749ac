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
	claimed, unknown, err := s.claim(ctx, jobs, waitForRun)
	s.logDrops(ctx, "delivery", dropUnknown(unknown))
	return claimed, err
}

// ClaimFree is Claim for jobs of several runs of one tenant, in one transaction
// that waits for nobody: held are those of runs that somebody else has locked,
// which are to be claimed run by run.
func (s *Service) ClaimFree(ctx context.Context, jobs []core.Job) (claimed []Claimed, held []core.Job, err error) {
	return s.claim(ctx, jobs, passHeldRun)
}

func (s *Service) claim(ctx context.Context, jobs []core.Job, wait waitMode) (claimed []Claimed, left []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil, nil
	}
	plans, left, err := onJobs(ctx, s.store, jobs, wait, func() planner[claimPlan] {
		var last core.Template // most jobs of a group are of one template
		return func(tx ports.Tx, run core.Run, files []core.File, jobs []core.Job) (p claimPlan, rows ports.RunRows, err error) {
			if p.ClaimPlan, err = core.Claim(run, files, jobs, s.clock.Now(), s.opts.Recovery.Lease); err != nil || len(p.Claimed) == 0 {
				return p, unchanged, err
			}
			if last.ID != run.Template {
				if last, err = tx.Templates().Get(ctx, run.Template); err != nil {
					return p, unchanged, err
				}
			}
			p.template = last
			return p, ports.RunRows{Run: p.Run, Files: p.Files, FilesOnly: !p.RunChanged}, nil
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range plans {
		s.logDrops(ctx, "delivery", p.Dropped)
		rest := p.Files // in the order of the claimed jobs
		for _, job := range p.Claimed {
			claimed = append(claimed, Claimed{Job: job, Template: p.template, Files: rest[:len(job.Files)]})
			rest = rest[len(job.Files):]
		}
	}
	return claimed, left, nil
}

// claimPlan is a plan with the template that its jobs are worked by.
type claimPlan struct {
	core.ClaimPlan
	template core.Template
}
