package app

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// CheckLedger recomputes a tenant's balances and its runs' credit fields from the ledger's
// entries, and finds paid work that can no longer be done, on one snapshot. It gives every
// difference; none means that the ledger and the records agree.
func (s *Service) CheckLedger(ctx context.Context, actor core.Actor, tenant core.TenantID) ([]core.Difference, error) {
	if err := core.Authorize(actor, core.ActionManageCredits, tenant); err != nil {
		return nil, err
	}
	audit, err := CheckLedger(ctx, s.store, tenant)
	if err != nil {
		return nil, err
	}
	return audit.Differences(), nil
}

// CheckLedger is Service.CheckLedger for commands that have only a store.
func CheckLedger(ctx context.Context, store ports.Store, tenant core.TenantID) (*core.Audit, error) {
	var audit *core.Audit
	err := store.View(ctx, tenant, func(tx ports.Tx) error {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		audit = core.NewAudit(tenant)
		if err := eachEntry(ctx, tx, func(e core.Entry) error { audit.Entry(e); return nil }); err != nil {
			return err
		}
		balances, err := tx.Ledger().Balances(ctx)
		if err != nil {
			return err
		}
		for _, b := range balances {
			audit.Balance(b)
		}
		list := func(filter ports.RunFilter) ([]core.Run, error) { return tx.Runs().List(ctx, filter) }
		return eachRun(ports.RunFilter{Limit: ledgerPage}, list, func(run core.Run) error {
			audit.Run(run)
			return checkWork(ctx, tx, audit, run)
		})
	})
	return audit, err
}

// ExportLedger calls do for every entry of a tenant, in order, on one snapshot.
func ExportLedger(ctx context.Context, store ports.Store, tenant core.TenantID, do func(core.Entry) error) error {
	return store.View(ctx, tenant, func(tx ports.Tx) error {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		return eachEntry(ctx, tx, do)
	})
}

// ledgerPage is how many rows are read at a time.
const ledgerPage = 1000

func eachEntry(ctx context.Context, tx ports.Tx, do func(core.Entry) error) error {
	return eachPage(ledgerPage, func(last core.Entry) ([]core.Entry, error) {
		return tx.Ledger().Entries(ctx, last.Seq, ledgerPage)
	}, eachOf(do))
}

// checkWork checks that the paid work of a run can still be done.
func checkWork(ctx context.Context, tx ports.Tx, audit *core.Audit, run core.Run) error {
	counts, err := tx.FileViews().Counts(ctx, run.ID)
	if err != nil {
		return err
	}
	anyMaxed, err := tx.FileViews().AnyMaxed(ctx, run.ID, run.MaxRetryCount)
	if err != nil {
		return err
	}
	_, err = templateOf(ctx, tx, run)
	if err != nil && !errors.Is(err, ports.ErrNotFound) {
		return err
	}
	audit.Work(run, counts, anyMaxed, err == nil)
	return nil
}
