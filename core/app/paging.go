package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// eachPage reads a list page by page, until one has less than limit: from the beginning, for
// which last is the zero value, then after the last one of the page before. take gets the
// pages that have something.
func eachPage[T any](limit int, read func(last T) ([]T, error), take func(page []T) error) error {
	for last := *new(T); ; {
		page, err := read(last)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			if err := take(page); err != nil {
				return err
			}
			last = page[len(page)-1]
		}
		if len(page) < limit {
			return nil
		}
	}
}

// viewed reads in a transaction of its own.
func viewed[T any](ctx context.Context, store ports.Store, tenant core.TenantID, read func(ports.Tx) (T, error)) (found T, err error) {
	err = store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		found, err = read(tx)
		return err
	})
	return found, err
}

// eachOf does something with each of a page.
func eachOf[T any](do func(T) error) func(page []T) error {
	return func(page []T) error {
		for i := range page {
			if err := do(page[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

// eachRun does something with each run that a filter without a Before selects, the newest
// first. It keeps a page of Limit.
func eachRun(filter ports.RunFilter, list func(ports.RunFilter) ([]core.Run, error), do func(core.Run) error) error {
	return eachPage(filter.Limit, func(last core.Run) ([]core.Run, error) {
		filter.Before = ports.RunCursor{CreatedAt: last.CreatedAt, ID: last.ID}
		return list(filter)
	}, eachOf(do))
}

// runPages lists runs, each page in a transaction of its own.
func runPages(ctx context.Context, store ports.Store, tenant core.TenantID) func(ports.RunFilter) ([]core.Run, error) {
	return func(filter ports.RunFilter) ([]core.Run, error) {
		return viewed(ctx, store, tenant, func(tx ports.Tx) ([]core.Run, error) { return tx.Runs().List(ctx, filter) })
	}
}
