package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Interrupt closes the running runs of a template whose files all wait because of a fault
// of ours, why: their files stay pending, free to continue (spec 5).
//
// Some runs are skipped: a run of which a worker is processing files; a run that another
// transaction has locked, which the next call checks again; and a run for which one of
// the spare functions gives true. Those are called for each running run, perhaps twice.
//
// It gives the number of runs that it closed. An error with one run does not stop the
// others.
func (s *Service) Interrupt(ctx context.Context, template ports.TemplateKey, why core.Failure, spares ...func(core.Run) bool) (closed int, err error) {
	if !why.Blocks() {
		return 0, fmt.Errorf("%q is not a fault that blocks a whole template", why.Code)
	}
	var errs []error
	for before := (ports.RunCursor{}); ; {
		var runs []core.Run
		err := s.store.View(ctx, template.Tenant, func(tx ports.Tx) (err error) {
			runs, err = tx.Runs().List(ctx, ports.RunFilter{Statuses: []core.RunStatus{core.RunRunning}, Before: before, Limit: runsPage})
			return err
		})
		if err != nil {
			return closed, errors.Join(append(errs, err)...)
		}
		for i := range runs {
			before = ports.RunCursor{CreatedAt: runs[i].CreatedAt, ID: runs[i].ID}
			if runs[i].Template != template.Template || spared(runs[i], spares) {
				continue
			}
			done, err := s.interruptRun(ctx, template.Tenant, runs[i].ID, why, spares)
			if err != nil {
				errs = append(errs, fmt.Errorf("interrupt run %s: %w", runs[i].ID, err))
			}
			if done {
				closed++
			}
		}
		if len(runs) < runsPage {
			return closed, errors.Join(errs...)
		}
	}
}

// runsPage is how many runs are read at a time.
const runsPage = 1000

func spared(run core.Run, spares []func(core.Run) bool) bool {
	return slices.ContainsFunc(spares, func(spare func(core.Run) bool) bool { return spare(run) })
}

func (s *Service) interruptRun(ctx context.Context, tenant core.TenantID, id core.RunID, why core.Failure, spares []func(core.Run) bool) (done bool, err error) {
	var plan core.InterruptPlan
	err = s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		done = false
		free, err := tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: id})
		if err != nil || len(free) == 0 || spared(free[0].Run, spares) {
			return err
		}
		processing, err := tx.Files().InStatus(ctx, id, core.FileProcessing)
		if err != nil {
			return err
		}
		plan, done, err = core.PlanInterrupt(free[0].Run, processing, why, s.clock.Now())
		if err != nil || !done {
			return err
		}
		if err := tellClosed(ctx, tx, plan.Run); err != nil {
			return err
		}
		return tx.Runs().Save(ctx, ports.RunRows{Run: plan.Run, Files: plan.Files})
	})
	if err != nil || !done {
		return false, err
	}
	s.toldSomething()
	s.stats.interrupted.Add(1)
	s.log.Warn("run interrupted by a fault of ours; once it is fixed a Continue is free", "tenant", tenant, "run", id,
		"attempt", plan.Run.Attempt, "files", plan.Run.Tally.Unfinished, "fault", why.Code)
	return true, nil
}
