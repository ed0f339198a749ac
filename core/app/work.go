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

// Work does one delivery from claim to settlement: claim, ack once the claim is
// durable, execute outside any transaction, settle. It renews no lease while it
// executes; the worker pool does, with the same steps. A delivery that has no
// effect is acked. If the claim fails, the delivery is nacked and the error
// returned; if the settlement fails, the lease runs out and recovery sends the
// job again.
func (s *Service) Work(ctx context.Context, d ports.Delivery) error {
	claimed, err := s.Claim(ctx, []core.Job{d.Job()})
	if err != nil {
		return errors.Join(err, d.Nack(context.WithoutCancel(ctx)))
	}
	if err := d.Ack(ctx); err != nil {
		// The queue will deliver it again and the claim will refuse it.
		s.log.Warn("ack failed", "job", d.Job().ID, "epoch", d.Job().Epoch, "error", err)
	}
	for _, c := range claimed {
		results, err := s.Execute(ctx, c)
		if err != nil {
			return errors.Join(err, s.HandBack(context.WithoutCancel(ctx), []core.Job{c.Job}))
		}
		if err := s.Settle(ctx, []core.Settlement{{Job: c.Job, Results: results}}); err != nil {
			return err
		}
	}
	return nil
}

// onJobs runs fn in one transaction under the lock of the run that these jobs
// belong to, with their files. If there is no such run, fn is not called and all
// jobs are dropped.
func (s *Service) onJobs(ctx context.Context, jobs []core.Job, fn func(ports.Tx, core.Run, []core.File) error) (dropped []core.Drop, err error) {
	err = s.store.InTx(ctx, jobs[0].Tenant, func(tx ports.Tx) error {
		dropped = nil
		run, err := tx.Runs().GetForUpdate(ctx, jobs[0].Run)
		if errors.Is(err, ports.ErrNotFound) {
			for _, j := range jobs {
				dropped = append(dropped, core.Drop{Job: j, Reason: core.DropRunUnknown})
			}
			return nil
		}
		if err != nil {
			return err
		}
		files, err := tx.Files().ByIndex(ctx, run.ID, core.FileIndexes(jobs))
		if err != nil {
			return err
		}
		return fn(tx, run, files)
	})
	return dropped, err
}

func saveRunAndFiles(ctx context.Context, tx ports.Tx, run core.Run, files []core.File) error {
	if err := tx.Runs().Save(ctx, run); err != nil {
		return err
	}
	if len(files) == 0 {
		return nil
	}
	return tx.Files().Save(ctx, run.ID, files)
}

// ByRun groups jobs by the run that they belong to, in order of appearance:
// claims, renewals and settlements of one run share a transaction.
func ByRun(jobs []core.Job) [][]core.Job {
	var groups [][]core.Job
	place := make(map[ports.RunKey]int, len(jobs))
	for _, j := range jobs {
		key := ports.RunKey{Tenant: j.Tenant, Run: j.Run}
		i, ok := place[key]
		if !ok {
			i = len(groups)
			place[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], j)
	}
	return groups
}
