package app

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Claimed is a job in a worker's hands, with what is needed to execute it.
type Claimed struct {
	Job      core.Job
	Template core.Template
	Files    []core.File
}

// Work does the first job of a delivery from claim to settlement: claim, ack once the
// claim is durable, execute outside any transaction, settle. It passes the delivery's
// other jobs on before that, because it renews no lease while it executes; the worker
// pool does, with the same steps, and takes as many jobs as it has places for. A
// delivery that has no effect is acked. If the claim fails, the delivery is nacked and
// the error returned; if the settlement fails, the lease runs out and recovery sends
// the job again.
func (s *Service) Work(ctx context.Context, d ports.Delivery) error {
	jobs := d.Jobs()
	if err := d.Release(ctx, jobs[1:]); err != nil {
		return errors.Join(d.Nack(detached(ctx)), err)
	}
	claimed, _, err := s.Claim(ctx, jobs[:1], WaitForLock)
	if err != nil {
		return errors.Join(err, d.Nack(detached(ctx)))
	}
	if err := d.Ack(ctx); err != nil {
		// The queue will deliver it again and the claim will refuse it.
		s.log.Warn("ack failed", "job", jobs[0].ID, "epoch", jobs[0].Epoch, "error", err)
	}
	for _, c := range claimed {
		results, err := s.Execute(ctx, c, func(ctx context.Context, r core.FileResult) error {
			_, err := s.Settle(ctx, []core.Settlement{{Job: c.Job, Results: []core.FileResult{r}, Partial: true}}, WaitForLock)
			return err
		})
		if err != nil {
			return errors.Join(err, s.HandBack(detached(ctx), []core.Job{c.Job}))
		}
		if _, err := s.Settle(ctx, []core.Settlement{{Job: c.Job, Results: results}}, WaitForLock); err != nil {
			return err
		}
	}
	return nil
}
