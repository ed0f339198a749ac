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
	plans, left, err := onJobs(ctx, s.store, jobs, wait, func() planner[claims] {
		var last core.Template // most jobs of a group are of one template and version
		return func(tx ports.Tx, run core.Run, files []core.File, jobs []core.Job) (claims, ports.RunRows, error) {
			p, err := core.Claim(run, files, jobs, s.clock.Now(), s.opts.Recovery.Lease)
			if err != nil || len(p.Claimed) == 0 {
				return claims{dropped: p.Dropped}, unchanged, err
			}
			if last.ID != run.Template || last.Version != run.TemplateVersion {
				if last, err = templateOf(ctx, tx, run); err != nil {
					return claims{}, unchanged, err
				}
			}
			return claimsOf(&p, last), ports.RunRows{Run: p.Run, Files: p.Files, FilesOnly: !p.RunChanged}, nil
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range plans {
		s.logDrops(ctx, "delivery", c.dropped)
		if claimed == nil {
			claimed = c.claimed
		} else {
			claimed = append(claimed, c.claimed...)
		}
	}
	return claimed, left, nil
}

// claims is what became of the jobs of one run.
type claims struct {
	claimed []Claimed
	dropped []core.Drop
}

func claimsOf(p *core.ClaimPlan, t core.Template) claims {
	c := claims{claimed: make([]Claimed, len(p.Claimed)), dropped: p.Dropped}
	rest := p.Files // in the order of the claimed jobs
	for i, job := range p.Claimed {
		c.claimed[i] = Claimed{Job: job, Template: t, Files: rest[:len(job.Files)]}
		rest = rest[len(job.Files):]
	}
	return c
}

// templateOf reads the run's template with the instructions of the run's version: what
// was edited since the initiation is for later runs.
func templateOf(ctx context.Context, tx ports.Tx, run core.Run) (core.Template, error) {
	t, err := tx.Templates().Get(ctx, run.Template)
	if err != nil || t.Version == run.TemplateVersion {
		return t, err
	}
	v, err := tx.TemplateVersions().Get(ctx, run.Template, run.TemplateVersion)
	return t.As(v), err
}
