package app

import (
	"context"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// EachFileRef calls do with the references of the files of every run of a tenant, some at a
// time.
func EachFileRef(ctx context.Context, store ports.Store, tenant core.TenantID, do func(core.RunID, []core.FileRef) error) error {
	return eachRun(ports.RunFilter{Limit: exportFiles}, runPages(ctx, store, tenant), func(run core.Run) error {
		if err := fileRefsOf(ctx, store, tenant, run.ID, do); err != nil {
			return fmt.Errorf("files of run %s: %w", run.ID, err)
		}
		return nil
	})
}

func fileRefsOf(ctx context.Context, store ports.Store, tenant core.TenantID, run core.RunID, do func(core.RunID, []core.FileRef) error) error {
	from := 0
	return eachPage(ledgerPage, func(core.File) ([]core.File, error) {
		return viewed(ctx, store, tenant, func(tx ports.Tx) ([]core.File, error) {
			return tx.FileViews().Page(ctx, run, ports.FileFilter{From: from, Limit: ledgerPage})
		})
	}, func(page []core.File) error {
		refs := make([]core.FileRef, len(page))
		for i := range page {
			refs[i], from = page[i].Ref, page[i].Index+1
		}
		return do(run, refs)
	})
}
