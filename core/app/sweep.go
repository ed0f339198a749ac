package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Sweep settles the uploads that were left by a crash or a commit with unknown outcome:
// those that are older than Options.UploadGrace and were neither kept nor removed. If
// its run exists, an upload is kept, else it is removed. Sweep reads only these uploads,
// and not the runs, and may run on every server at once. An error with one upload does
// not stop the others.
//
// A folder may be that of two databases, after a move that left the contents where they are.
// So uploads of tenants that do not live in this one are left to the servers of the other,
// which know whether there is a run.
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

// maxSweepErrors bounds the errors that one sweep reports.
const maxSweepErrors = 20

func (s *Service) sweepUpload(ctx context.Context, left ports.Leftover) error {
	owner, err := s.store.TenantOf(ports.LikelyOwner(ctx, left.Tenant), left.Upload)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		if here, err := s.livesHere(ctx, left.Tenant); err != nil || !here {
			return err
		}
		if err := s.files.Remove(ctx, left.Tenant, left.Upload); err != nil {
			return err
		}
		s.stats.sweptUploads.Add(1)
		s.log.Info("an upload that became no run was removed", "tenant", left.Tenant, "upload", left.Upload, "begun", left.Begun)
		return nil
	case err != nil:
		return err
	case owner != left.Tenant: // impossible; in doubt nothing is removed
		return fmt.Errorf("the run of that ID is of tenant %s", owner)
	}
	return s.files.Keep(ctx, left.Tenant, left.Upload)
}

// livesHere reports whether a tenant's runs are made in this store.
func (s *Service) livesHere(ctx context.Context, tenant core.TenantID) (bool, error) {
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		_, err := tx.Tenants().Get(ctx)
		return err
	})
	if errors.Is(err, ports.ErrNotFound) {
		return false, nil
	}
	mover, moves := s.store.(ports.Mover)
	if err != nil || !moves {
		return err == nil, err
	}
	move, err := mover.MoveOf(ctx, tenant)
	return err == nil && !move.State.Closed(), err
}
