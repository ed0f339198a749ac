package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Settle records the results of jobs of one run, and closes the run if they
// complete its attempt. It is safe to repeat, also after an error: a result is
// recorded once, and one of a job that is not held any more is dropped.
func (s *Service) Settle(ctx context.Context, settlements []core.Settlement) error {
	if len(settlements) == 0 {
		return nil
	}
	jobs := make([]core.Job, len(settlements))
	for i := range settlements {
		jobs[i] = settlements[i].Job
	}
	var plan core.SettlePlan
	drops, err := s.onJobs(ctx, jobs, func(tx ports.Tx, run core.Run, files []core.File) (err error) {
		if plan, err = core.Settle(run, files, settlements, s.clock.Now()); err != nil || !plan.Changed() {
			return err
		}
		return saveRunAndFiles(ctx, tx, plan.Run, plan.Files)
	})
	if err != nil {
		return err
	}
	s.logDrops(ctx, "result", append(drops, plan.Dropped...))
	if plan.Closed {
		s.log.Info("run closed", "tenant", plan.Run.Tenant, "run", plan.Run.ID, "attempt", plan.Run.Attempt, "status", plan.Run.Status)
	}
	return nil
}
