package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testLarge: a run of many files is inserted, read and saved, by pages and as a
// whole, without a limit of the store's own making.
func testLarge(t *testing.T, newStore Factory, o Options) {
	s := newStore(t)
	w := build(t, s, "acme")
	n := o.LargeRun
	run := w.newRun("large")
	run.TotalJobs, run.AttemptJobs, run.Tally = n, n, core.Tally{Unfinished: n}
	files := make([]core.File, n)
	indexes := make([]int, n)
	attempt := w.nextAttempt(run)
	attempt.Files = make([]core.AttemptFile, n)
	for i := range files {
		files[i] = w.files[0]
		files[i].Index, files[i].Name = i, fmt.Sprintf("%d %s", i, awkward)
		indexes[n-1-i] = i
		attempt.Files[i] = core.AttemptFile{Index: i, Charged: i%2 == 0}
	}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		if err := tx.Runs().Insert(ctx, run, files); err != nil {
			return err
		}
		return tx.Attempts().Insert(ctx, attempt)
	})

	changed := append([]core.File(nil), files...)
	for i := range changed {
		changed[i].Status, changed[i].Output = core.FileCompleted, fmt.Sprint("output ", i)
		if i%3 == 0 {
			changed[i].Status, changed[i].Output, changed[i].Failure = core.FileFailed, "", core.Failure{Code: "timeout", Message: awkward}
		}
		changed[i].OutputBytes = int64(len(changed[i].Output))
	}
	check := func(ctx context.Context, tx ports.Tx, want []core.File) {
		t.Helper()
		same(t, want)(tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: 0, Limit: n, OutputBytes: 1 << 20}))
		var paged []core.File
		for from := 0; from < n; from += 999 {
			page, err := tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: from, Limit: 999, OutputBytes: 1 << 20})
			require.NoError(t, err)
			paged = append(paged, page...)
		}
		equal(t, want, paged)
		want = slices.Clone(want)
		for i := range want {
			want[i].Output = "" // which plans do not read
		}
		backwards, err := tx.Files().ByIndex(ctx, run.ID, indexes)
		require.NoError(t, err)
		require.Len(t, backwards, n)
		for i, f := range backwards {
			equal(t, want[n-1-i], f)
		}
		inStatus, err := tx.Files().InStatus(ctx, run.ID, core.FilePending, core.FileCompleted, core.FileFailed)
		require.NoError(t, err)
		equal(t, want, inStatus)
		same(t, attempt)(tx.Attempts().Get(ctx, run.ID, attempt.Number))
	}
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { check(ctx, tx, files); return nil })
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: changed, FilesOnly: true}))
		check(ctx, tx, changed)
		return nil
	})
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { check(ctx, tx, changed); return nil })
}
