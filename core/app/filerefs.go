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
	for before := (ports.RunCursor{}); ; {
		var page []core.Run
		if err := store.View(ctx, tenant, func(tx ports.Tx) (err error) {
			page, err = tx.Runs().List(ctx, ports.RunFilter{Before: before, Limit: exportFiles})
			return err
		}); err != nil {
			return err
		}
		for _, run := range page {
			if err := fileRefsOf(ctx, store, tenant, run.ID, do); err != nil {
				return fmt.Errorf("files of run %s: %w", run.ID, err)
			}
			before = ports.RunCursor{CreatedAt: run.CreatedAt, ID: run.ID}
		}
		if len(page) < exportFiles {
			return nil
		}
	}
}

func fileRefsOf(ctx context.Context, store ports.Store, tenant core.TenantID, run core.RunID, do func(core.RunID, []core.FileRef) error) error {
	for from := 0; ; {
		var page []core.File
		if err := store.View(ctx, tenant, func(tx ports.Tx) (err error) {
			page, err = tx.FileViews().Page(ctx, run, ports.FileFilter{From: from, Limit: ledgerPage})
			return err
		}); err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		refs := make([]core.FileRef, len(page))
		for i := range page {
			refs[i], from = page[i].Ref, page[i].Index+1
		}
		if err := do(run, refs); err != nil {
			return err
		}
		if len(page) < ledgerPage {
			return nil
		}
	}
}
