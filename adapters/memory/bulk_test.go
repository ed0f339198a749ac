package memory_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// What was loaded is there as if use cases had written it, and is gone after Reset.
func TestLoad(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memory.NewStore()
	now := time.Date(2026, time.November, 10, 12, 0, 0, 0, time.UTC)
	bought, err := core.NewPurchase("acme", "client/first", 50, core.System, now)
	require.NoError(t, err)
	bought.Seq = 1
	balance, err := core.Balance{Period: core.PeriodOf(now)}.Apply(bought)
	require.NoError(t, err)
	run := core.Run{ID: "r", Tenant: "acme", Template: "t", Status: core.RunFailed, CreatedAt: now}
	files := []core.File{{Index: 0, Name: "a", Status: core.FileFailed}}
	contents := memory.Contents{
		Tenant: core.Tenant{ID: "acme", Name: "Acme"}, Templates: []core.Template{{ID: "t", Tenant: "acme", Name: "T"}},
		Entries: []core.Entry{bought}, Balance: balance,
		Runs: []memory.RunContents{{Run: run, Files: files, Attempts: []core.Attempt{{Run: "r", Tenant: "acme"}}}},
	}
	for range 2 { // the second time in what the first has left
		s.Load(&contents)
		require.NoError(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
			template, err := tx.Templates().Get(ctx, "t")
			require.NoError(t, err)
			require.Equal(t, contents.Templates[0], template)
			got, err := ports.LockRun(ctx, tx, "r")
			require.NoError(t, err)
			require.Equal(t, run, got)
			page, err := tx.FileViews().Page(ctx, "r", ports.FileFilter{From: 0, Limit: 10, OutputBytes: 1 << 20})
			require.NoError(t, err)
			require.Equal(t, files, page)
			attempts, err := tx.Attempts().List(ctx, "r")
			require.NoError(t, err)
			require.Len(t, attempts, 1)
			left, err := tx.Ledger().BalanceForUpdate(ctx, balance.Period)
			require.NoError(t, err)
			require.Equal(t, balance, left)
			_, err = tx.Ledger().Post(ctx, bought)
			require.ErrorIs(t, err, ports.ErrExists, "its key is used")
			return nil
		}))
		s.Reset()
		_, err := s.TenantOf(ctx, "r")
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
}
