package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/ports"
)

// Sweep settles the uploads that a crash, or an answer that was lost, left behind:
// those that are older than Options.UploadGrace and were neither made a run nor
// removed. One whose run exists is kept, every other is removed. It looks at these
// alone, however many runs there are, and may run on every instance at once. What
// goes wrong with one stops none of the others.
func (s *Service) Sweep(ctx context.Context) error {
	var errs []error
	failed := 0
	for left, err := range s.files.Leftovers(ctx, s.clock.Now().Add(-s.opts.UploadGrace)) {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err == nil {
			err = s.sweepUpload(ctx, left)
		}
		if err != nil {
			if failed++; failed <= maxSweepErrors {
				errs = append(errs, fmt.Errorf("sweep upload %s of tenant %s: %w", left.Upload, left.Tenant, err))
			}
		}
	}
	if failed > maxSweepErrors {
		errs = append(errs, fmt.Errorf("and %d more uploads", failed-maxSweepErrors))
	}
	return errors.Join(errs...)
}

// maxSweepErrors bounds what one sweep reports.
const maxSweepErrors = 20

func (s *Service) sweepUpload(ctx context.Context, left ports.Leftover) error {
	owner, err := s.store.TenantOf(ctx, left.Upload)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		if err := s.files.Remove(ctx, left.Tenant, left.Upload); err != nil {
			return err
		}
		s.stats.sweptUploads.Add(1)
		s.log.Info("an upload that became no run was removed", "tenant", left.Tenant, "upload", left.Upload, "begun", left.Begun)
		return nil
	case err != nil:
		return err
	case owner != left.Tenant: // cannot be, and nothing is removed on a doubt
		return fmt.Errorf("the run of that ID is of tenant %s", owner)
	}
	return s.files.Keep(ctx, left.Tenant, left.Upload)
}
