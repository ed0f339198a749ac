package sqlite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func (d *disk) setFull(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// The disk is full for a while, again and again: what is refused had no effect and says so,
// what was answered stays, and when there is room again the store goes on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := newDisk(t, folder)
	w := worldOn(t, openStore(t, filepath.Join(folder, "redrive.db"), sqlite.WithVFS(diskVFS)), noExecution)
	w.AddTenant(t, "acme")
	ctx := bounded(t)
	var mu sync.Mutex // of answered
	answered := map[core.RunID]bool{}
	for round := range 4 {
		d.setFull(true)
		refused := 0
		for range 200 {
			errs := together(3, func(int) error {
				run, err := w.Start(ctx, "acme", 40)
				if err == nil {
					mu.Lock()
					answered[run.ID] = true
					mu.Unlock()
				}
				return err
			})
			for _, err := range errs {
				if err != nil {
					refused++
					require.ErrorIs(t, err, ports.ErrUnavailable)
					require.NotErrorIs(t, err, ports.ErrCommitUnknown)
					require.ErrorContains(t, err, "full")
				}
			}
			if refused > 9 {
				break
			}
		}
		require.Greater(t, refused, 9, "round %d: the disk has to be full", round)
		_, err := w.Runs(ctx, admin, "acme", ports.RunFilter{Limit: 10})
		require.NoError(t, err, "reading goes on")

		d.setFull(false)
		run, err := w.Start(ctx, "acme", 40)
		require.NoError(t, err, "there is room again")
		answered[run.ID] = true
	}
	require.EqualValues(t, len(answered), w.Number(t, `SELECT count(*) FROM runs`), "exactly what was answered")
	for id := range answered {
		w.Read(t, id)
	}
	w.requireInvariants(t)
	differences, err := w.CheckLedger(ctx, admin, "acme")
	require.NoError(t, err)
	require.Empty(t, differences)
}

// Outputs of the greatest length that is allowed are kept whole, and a list of the files
// reads none of them.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	const files, length = 6, 4 << 20
	w := newWorld(t, noExecution)
	ctx := bounded(t)
	run, err := w.Start(ctx, "acme", files)
	require.NoError(t, err)
	jobs := w.Queue.Drain(t)
	_, _, err = w.Claim(ctx, jobs, app.WaitForLock)
	require.NoError(t, err)
	var results []core.Settlement
	for _, job := range jobs {
		results = append(results, core.Settlement{Job: job, Results: []core.FileResult{{
			Index: job.Files[0], Outcome: core.OutcomeCompleted, Output: strings.Repeat(fmt.Sprint(job.Files[0]%10), length),
		}}})
	}
	require.NoError(t, settle(ctx, w.Service, results))
	require.Equal(t, core.RunCompleted, w.Read(t, run.ID).Status)
	for i := range files {
		var file core.File
		require.NoError(t, w.store.View(ctx, "acme", func(tx ports.Tx) (err error) {
			file, err = tx.FileViews().Output(ctx, run.ID, i)
			return err
		}))
		require.True(t, strings.Repeat(fmt.Sprint(i%10), length) == file.Output)
	}
	w.requireInvariants(t)
}
