package memory_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// A scheduler can own the waits: transactions that wait for a lock go on when it
// says so, and not when the lock becomes free.
func TestWithWaits(t *testing.T) {
	t.Parallel()
	waiting, goOn := make(chan int, 2), [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	woken, waits := make(chan int, 2), 0
	s := memory.NewStore(memory.WithWaits(func() (func(context.Context) error, func()) {
		n := waits // the lock table is locked: one at a time
		waits++
		wait := func(ctx context.Context) error {
			waiting <- n
			select {
			case <-goOn[n]:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return wait, func() { woken <- n }
	}))
	ctx := t.Context()
	require.NoError(t, s.InTx(ctx, "acme", func(tx ports.Tx) error { return tx.Tenants().Insert(ctx, core.Tenant{ID: "acme"}) }))
	lock := func(tx ports.Tx) error {
		_, err := tx.Ledger().BalanceForUpdate(ctx, core.Period{Year: 2026, Month: 11})
		return err
	}
	ended := make(chan int, 2)
	require.NoError(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, lock(tx))
		for n := range 2 {
			go func() {
				if err := s.InTx(ctx, "acme", lock); err != nil {
					t.Error(err)
				}
				ended <- n
			}()
			require.Equal(t, n, <-waiting)
		}
		return nil
	}))
	require.Equal(t, 0, <-woken, "the lock is handed to whoever waited longest")
	require.Empty(t, ended, "and nobody goes on before the scheduler says so")
	close(goOn[0])
	require.Equal(t, 0, <-ended)
	require.Equal(t, 1, <-woken)
	require.Empty(t, ended)
	close(goOn[1])
	require.Equal(t, 1, <-ended)
}
