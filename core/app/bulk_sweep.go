package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// bulkMaking is longer than making a bulk continue can take.
const bulkMaking = time.Hour

// SweepBulk removes bulk continues that ended before Options.BulkKeep, and parts whose
// making was cut off. It may run on every server at once.
func (s *Service) SweepBulk(ctx context.Context) error {
	const page = 100
	all := s.store.BulkContinues()
	for {
		n, err := all.DeleteEnded(ctx, s.clock.Now().Add(-s.opts.BulkKeep), page)
		if err != nil {
			return err
		}
		if n < page {
			break
		}
	}
	for {
		orphans, missing := all.Orphans(ctx, s.clock.Now().Add(-bulkMaking), page)
		if unanswered(missing) {
			return missing
		}
		var errs []error
		for _, o := range orphans {
			if err := s.removeBulkParts(ctx, o.Bulk, []core.TenantID{o.Tenant}); err != nil {
				errs = append(errs, err)
			}
		}
		// Those that could not be removed come again: without one that could there is no end.
		if len(orphans) < page || len(errs) == len(orphans) || ctx.Err() != nil {
			return errors.Join(append(errs, missing)...)
		}
	}
}

// makePlaceForBulk removes the oldest of a tenant's bulk continues that have ended, so that
// with another one there are core.MaxBulksKept at most. Those whose idempotency key may
// still be used stay: if there are too many of them it is core.CodeBulkTooManyNow. Those over
// several tenants are made by platform admins, and only swept.
func (s *Service) makePlaceForBulk(ctx context.Context, tenant core.TenantID) error {
	if tenant == "" {
		return nil
	}
	all := s.store.BulkContinues()
	list, err := all.List(ctx, ports.BulkFilter{Tenant: tenant, Limit: core.MaxBulksKept + 2*core.MaxBulkUnended})
	if err != nil {
		return err
	}
	young := s.clock.Now().Add(-s.opts.IdempotencyTTL)
	over := len(list) + 1 - core.MaxBulksKept
	for i := len(list) - 1; i >= 0 && over > 0; i-- {
		if !list[i].Status.Ended() || list[i].CreatedAt.After(young) {
			continue
		}
		over--
		if err := all.Delete(ctx, list[i].ID); err != nil {
			return err
		}
		// At once, and not when they are swept: many may be made in an hour.
		if err := s.removeBulkParts(ctx, list[i].ID, []core.TenantID{tenant}); err != nil {
			return err
		}
	}
	if over > 0 {
		return &core.Error{Code: core.CodeBulkTooManyNow, Message: fmt.Sprintf("%d bulk continues were made within %s, as many as may be; wait until the first of them is older than that", core.MaxBulksKept, s.opts.IdempotencyTTL)}
	}
	return nil
}

// releaseBulks lets those be driven at once that the process before this one drove. Only a
// process that is alone on its store may call it.
func (s *Service) releaseBulks(ctx context.Context) error {
	all := s.store.BulkContinues()
	list, err := all.List(ctx, ports.BulkFilter{Unended: true, Limit: 10_000})
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Holder == "" {
			continue
		}
		b = b.Release()
		if err := all.Save(ctx, b); err != nil && !errors.Is(err, ports.ErrBulkChanged) {
			return err
		}
	}
	return nil
}
