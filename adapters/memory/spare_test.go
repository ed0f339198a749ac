package memory_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Transactions use the memory of ended ones, and whoever still holds an ended one
// must not write into the one that has it now.
func TestEndedTransactionsAreRefused(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memory.NewStore()
	var ended []ports.Tx
	keep := func(tx ports.Tx) error {
		ended = append(ended, tx)
		return tx.Tenants().Insert(ctx, core.Tenant{ID: "acme", Name: "Acme"})
	}
	require.NoError(t, s.InTx(ctx, "acme", keep))
	require.ErrorIs(t, s.InTx(ctx, "acme", keep), ports.ErrExists, "rolled back")
	require.NoError(t, s.View(ctx, "acme", func(tx ports.Tx) error {
		ended = append(ended, tx)
		return nil
	}))
	use := func(tx ports.Tx) error {
		for _, old := range ended {
			_, err := old.Tenants().Get(ctx)
			require.Error(t, err)
			require.Error(t, old.Tenants().Save(ctx, core.Tenant{ID: "acme", Name: "Other"}))
		}
		return nil
	}
	require.NoError(t, s.View(ctx, "acme", use))
	require.NoError(t, s.InTx(ctx, "acme", use))
	require.NoError(t, s.View(ctx, "acme", func(tx ports.Tx) error {
		row, err := tx.Tenants().Get(ctx)
		require.Equal(t, "Acme", row.Name)
		return err
	}))
}
