package sqlite_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// While users work, copies are made one after the other. Each is whole: the ledger check
// and the invariants hold on it, and it has all that was answered before it was begun.
func TestBackupOfARunningStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noExecution)
	ctx := bounded(t)
	var answered atomic.Int64
	stop := make(chan struct{})
	working := make(chan error, 1)
	go func() {
		working <- func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if _, err := w.Start(ctx, "acme", 5); err != nil {
					return err
				}
				answered.Add(1)
			}
		}()
	}()
	folder := t.TempDir()
	for i, back := range []func(context.Context, string) error{
		w.store.Backup,
		func(ctx context.Context, to string) error { return sqlite.Backup(ctx, w.store.Path(), to) },
		w.store.Backup,
	} {
		before := answered.Load()
		to := filepath.Join(folder, strings.Repeat("copy 100%?#", i+1)+".db")
		require.NoError(t, back(ctx, to))
		require.ErrorIs(t, back(ctx, to), fs.ErrExist, "a copy is not written over")
		info, err := os.Stat(to)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

		copied := worldOn(t, openStore(t, to), noExecution)
		require.GreaterOrEqual(t, copied.Number(t, `SELECT count(*) FROM runs`), before)
		differences, err := copied.CheckLedger(ctx, admin, "acme")
		require.NoError(t, err)
		require.Empty(t, differences)
		copied.requireInvariants(t)
	}
	close(stop)
	require.NoError(t, <-working)
	require.Positive(t, answered.Load())
}

// What was copied goes on where the original was.
func TestBackupIsWorkedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noExecution)
	run := w.Settled(t, 3, allFail)
	to := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, w.store.Backup(bounded(t), to))
	restored := worldOn(t, openStore(t, to), noExecution)
	_, err := restored.RetryFailed(bounded(t), customer, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	require.Equal(t, core.RunFailed, w.Read(t, run.ID).Status, "the original is another database")
}

func TestBackupFails(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	folder := t.TempDir()
	require.Error(t, store.Backup(bounded(t), filepath.Join(folder, "no such folder", "copy.db")))
	require.Error(t, sqlite.Backup(bounded(t), filepath.Join(folder, "no such.db"), filepath.Join(folder, "copy.db")))
	stopped, cancel := context.WithCancel(bounded(t))
	cancel()
	require.ErrorIs(t, store.Backup(stopped, filepath.Join(folder, "copy.db")), context.Canceled)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is left of what failed")
}
