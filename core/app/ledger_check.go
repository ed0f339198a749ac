package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CheckLedger recomputes a tenant's balances and its runs' credit fields from
// the ledger's entries, on one snapshot, and gives every difference; none means
// that the books agree.
func (s *Service) CheckLedger(ctx context.Context, actor core.Actor, tenant core.TenantID) ([]core.Difference, error) {
	if err := core.Authorize(actor, core.ActionManageCredits, tenant); err != nil {
		return nil, err
	}
	const page = 1000
	var found []core.Difference
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		audit := core.NewAudit(tenant)
		for after := int64(0); ; {
			entries, err := tx.Books().Entries(ctx, after, page)
			if err != nil {
				return err
			}
			for _, e := range entries {
				audit.Entry(e)
				after = e.Seq
			}
			if len(entries) < page {
				break
			}
		}
		balances, err := tx.Books().Balances(ctx)
		if err != nil {
			return err
		}
		for _, b := range balances {
			audit.Balance(b)
		}
		for cursor := (ports.RunCursor{}); ; {
			runs, err := tx.Runs().List(ctx, ports.RunFilter{Before: cursor, Limit: page})
			if err != nil {
				return err
			}
			for _, r := range runs {
				audit.Run(r)
				cursor = ports.RunCursor{CreatedAt: r.CreatedAt, ID: r.ID}
			}
			if len(runs) < page {
				break
			}
		}
		found = audit.Differences()
		return nil
	})
	return found, err
}
