package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// usagePage is how many entries are read at a time.
const usagePage = 1000

// Usage says how a tenant's credits were used in a period: granted, bought, charged and
// refunded, by template and by day, and the rest.
//
// The balance and the latest entries are of one snapshot. Older entries never change, and
// none is added among them, so they are read afterwards in short transactions of their
// own: a long month does not block other transactions.
func (s *Service) Usage(ctx context.Context, actor core.Actor, tenant core.TenantID, p core.Period) (core.Usage, error) {
	count, balance, err := s.usage(ctx, actor, tenant, p, nil)
	if err != nil {
		return core.Usage{}, err
	}
	return count.Usage(balance, s.clock.Now()), nil
}

// Statement is the statement of a tenant's month (core.Statement): the same count, with the
// balances before and after it.
func (s *Service) Statement(ctx context.Context, actor core.Actor, tenant core.TenantID, p core.Period) (core.Statement, error) {
	later := core.Credits(0)
	count, balance, err := s.usage(ctx, actor, tenant, p, func(tx ports.Tx) (err error) {
		later, err = tx.Find().PurchasedAfter(ctx, p)
		return err
	})
	if err != nil {
		return core.Statement{}, err
	}
	return count.Statement(balance, later, s.clock.Now())
}

// usage counts a period's entries. also reads on the snapshot of the balance; it may be nil.
func (s *Service) usage(ctx context.Context, actor core.Actor, tenant core.TenantID, p core.Period, also func(ports.Tx) error) (*core.UsageCount, core.Balance, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return nil, core.Balance{}, err
	}
	var balance core.Balance
	count := core.NewUsageCount(p)
	for before := int64(0); ; {
		var page ports.EntryPage
		templates := map[core.RunID]core.TemplateID{}
		err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
			if before == 0 {
				if balance, err = tx.Ledger().Balance(ctx, p); err != nil {
					return notFound(err, tenantNotFound(tenant))
				}
				if also != nil {
					if err := also(tx); err != nil {
						return err
					}
				}
			}
			page, err = tx.Find().Entries(ctx, ports.EntryFilter{Period: p, Before: before, Limit: usagePage}, ports.Look{})
			if err != nil {
				return err
			}
			return templatesOf(ctx, tx, page.Entries, templates)
		})
		if err != nil {
			return nil, core.Balance{}, err
		}
		for _, e := range page.Entries {
			if err := count.Add(e, templates[e.Run]); err != nil {
				return nil, core.Balance{}, err
			}
		}
		if before = page.Next; before == 0 {
			return count, balance, nil
		}
	}
}

// templatesOf finds the templates of the runs that entries are about.
func templatesOf(ctx context.Context, tx ports.Tx, entries []core.Entry, templates map[core.RunID]core.TemplateID) error {
	clear(templates)
	var ids []core.RunID
	for _, e := range entries {
		if _, known := templates[e.Run]; e.Run != "" && !known {
			templates[e.Run] = ""
			ids = append(ids, e.Run)
		}
	}
	runs, err := tx.Find().RunsByID(ctx, ids)
	for _, run := range runs {
		templates[run.ID] = run.Template
	}
	return err
}
