package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Claim takes jobs of one tenant for a worker (spec 5), in one transaction. What
// it leaves out of its answer had no effect: stale, delivered twice, or of a run
// that has closed. It is safe to repeat: files that are being processed are not
// claimed again. After an error nothing may be assumed; deliver the jobs again.
//
// With SkipLocked, held are the jobs of runs that another transaction has locked,
// or that do not exist: claim them run by run with WaitForLock.
func (s *Service) Claim(ctx context.Context, jobs []core.Job, wait Wait) (claimed []Claimed, held []core.Job, err error) {
	if len(jobs) == 0 {
		return nil, nil, nil
	}
	plans, held, unknown, err := onJobs(ctx, s.store, jobs, wait, func() planner[claims] {
		now := s.clock.Now()   // one for all: their leases are written together
		var last core.Template // most jobs of a group are of one template and version
		return func(tx ports.Tx, run core.Run, files []core.File, jobs []core.Job) (claims, ports.RunRows, error) {
			p, err := core.Claim(run, files, jobs, now, s.opts.Recovery.Lease)
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
	if s.moved(err, jobs, "delivery") {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s.logDrops(ctx, "delivery", dropUnknown(unknown))
	for _, c := range plans {
		s.logDrops(ctx, "delivery", c.dropped)
		claimed = append(claimed, c.claimed...)
	}
	s.outcomes.claimed(claimed)
	return claimed, held, nil
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
