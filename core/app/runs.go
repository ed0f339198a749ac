package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// RunView is a run, and whether it can be continued.
type RunView struct {
	Run core.Run
	// Refusal is why a Continue would be refused for any caller and any balance; nil if
	// the run can be continued.
	Refusal error
}

// Run reads one run.
func (s *Service) Run(ctx context.Context, actor core.Actor, id core.RunID) (RunView, error) {
	var v RunView
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, run core.Run) (err error) {
		v, err = viewOf(ctx, tx, run)
		return err
	})
	return v, err
}

// RunWithFiles reads one run and a page of its files, on one snapshot, so that counters
// and files agree.
func (s *Service) RunWithFiles(ctx context.Context, actor core.Actor, id core.RunID, filter ports.FileFilter) (RunView, []core.File, error) {
	var v RunView
	var files []core.File
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, run core.Run) (err error) {
		if v, err = viewOf(ctx, tx, run); err != nil {
			return err
		}
		files, err = tx.FileViews().Page(ctx, id, filter)
		return err
	})
	return v, files, err
}

// Runs lists a tenant's runs, newest first.
func (s *Service) Runs(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.RunFilter) ([]RunView, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return nil, err
	}
	var views []RunView
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		views = nil
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		runs, err := tx.Runs().List(ctx, filter)
		if err != nil {
			return err
		}
		for _, run := range runs {
			v, err := viewOf(ctx, tx, run)
			if err != nil {
				return err
			}
			views = append(views, v)
		}
		return nil
	})
	return views, err
}

// RunFiles reads a page of a run's files with their results.
func (s *Service) RunFiles(ctx context.Context, actor core.Actor, id core.RunID, filter ports.FileFilter) ([]core.File, error) {
	_, files, err := s.FilesPage(ctx, actor, id, filter)
	return files, err
}

// FilesPage is RunFiles with the run, on one snapshot.
func (s *Service) FilesPage(ctx context.Context, actor core.Actor, id core.RunID, filter ports.FileFilter) (core.Run, []core.File, error) {
	var run core.Run
	var files []core.File
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, is core.Run) (err error) {
		run = is
		files, err = tx.FileViews().Page(ctx, id, filter)
		return err
	})
	return run, files, err
}

// FileOutput reads one file of a run with its whole output, which is empty unless the
// file is completed. It holds no place while a client reads it, unlike DownloadOutput.
// Refusals: as Run, and core.CodeFileNotFound.
func (s *Service) FileOutput(ctx context.Context, actor core.Actor, id core.RunID, index int) (core.File, error) {
	var file core.File
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, _ core.Run) (err error) {
		file, err = tx.FileViews().Output(ctx, id, index)
		return notFound(err, fileNotFound(id, index))
	})
	return file, err
}

// FileCounts counts a run's files by status.
func (s *Service) FileCounts(ctx context.Context, actor core.Actor, id core.RunID) (core.FileCounts, error) {
	var counts core.FileCounts
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, _ core.Run) (err error) {
		counts, err = tx.FileViews().Counts(ctx, id)
		return err
	})
	return counts, err
}

// Receipt says for each file and attempt of a run why it was charged, was free or was
// refunded (spec 8).
func (s *Service) Receipt(ctx context.Context, actor core.Actor, id core.RunID) (core.Receipt, error) {
	var receipt core.Receipt
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, run core.Run) error {
		attempts, err := tx.Attempts().List(ctx, id)
		if err != nil {
			return err
		}
		pending, err := tx.Files().InStatus(ctx, id, core.FilePending)
		if err != nil {
			return err
		}
		receipt = core.NewReceipt(run, attempts, pending)
		if err := refundsByHand(ctx, tx, receipt.Attempts); err != nil {
			return err
		}
		receipt.Amendments, err = tx.Amendments().List(ctx, id)
		return err
	})
	return receipt, err
}

// refundsByHand finds what platform admins gave back of the attempts' charges, of which there
// are few: one for each attempt that had to be paid.
func refundsByHand(ctx context.Context, tx ports.Tx, attempts []core.AttemptReceipt) error {
	for i := range attempts {
		a := &attempts[i]
		if a.Attempt.Charge.IsZero() || a.Attempt.Compensated() {
			continue
		}
		var err error
		if a.ByHand, err = tx.Ledger().RefundsOf(ctx, a.Attempt.Charge.Key); err != nil {
			return err
		}
	}
	return nil
}

// viewRun reads a run that the actor may read, on one snapshot.
func (s *Service) viewRun(ctx context.Context, actor core.Actor, id core.RunID, fn func(ports.Tx, core.Run) error) error {
	tenant, err := s.AuthorizeRun(ctx, actor, core.ActionRead, id)
	if err != nil {
		return err
	}
	return s.store.View(ctx, tenant, func(tx ports.Tx) error {
		run, err := tx.Runs().Get(ctx, id)
		if err != nil {
			return notFound(err, runNotFound(id))
		}
		return fn(tx, run)
	})
}

func viewOf(ctx context.Context, tx ports.Tx, run core.Run) (RunView, error) {
	anyMaxed := false
	// This query reads the run's files, so it is made only if it can matter: no file has
	// been retried more often than the run was continued.
	if int(run.Attempt) >= run.MaxRetryCount && core.Continuable(run, false) == nil {
		var err error
		if anyMaxed, err = tx.FileViews().AnyMaxed(ctx, run.ID, run.MaxRetryCount); err != nil {
			return RunView{}, err
		}
	}
	return RunView{Run: run, Refusal: core.Continuable(run, anyMaxed)}, nil
}
