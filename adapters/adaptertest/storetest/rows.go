package storetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testRuns has what is particular about runs.
func testRuns(t *testing.T, newStore Factory, _ Options) {
	t.Run("WithoutFiles", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		for _, files := range [][]core.File{nil, {}} {
			run := w.closed
			run.ID, run.CreatedAt = core.RunID("run-empty"), at(90)
			if files != nil {
				run.ID, run.CreatedAt = "run-empty-2", at(91)
			}
			run.Tally, run.TotalJobs, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = core.Tally{}, 0, 0, 0, 0
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				require.NoError(t, tx.Runs().Insert(ctx, run, files))
				same(t, run)(tx.Runs().Get(ctx, run.ID))
				same(t, []core.Run{run})(tx.Runs().List(ctx, ports.RunFilter{Limit: 1}))
				return nil
			})
			view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				same(t, []core.Run{run})(tx.Runs().List(ctx, ports.RunFilter{Limit: 1}))
				empty(t)(tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: 0, Limit: 10, OutputBytes: 1 << 20}))
				empty(t)(tx.FileViews().AnyMaxed(ctx, run.ID, 0))
				return nil
			})
		}
	})

	t.Run("FilesOfOneRunAreNotAnothers", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		file := w.files[2]
		file.Output = "changed"
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			return tx.Runs().Save(ctx, ports.RunRows{Run: w.closed, Files: []core.File{file}, FilesOnly: true})
		})
		c := MustRead(t, s, "acme")
		equal(t, "changed", c.Files[w.closed.ID][2].Output)
		equal(t, w.files, c.Files[w.running.ID])
	})

	t.Run("SeveralWritesInOneTransaction", func(t *testing.T) { testSeveralWrites(t, newStore) })

	t.Run("SavedInTheTransactionThatInsertsIt", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		run, file := w.newRun("new"), w.files[1]
		file.Redeliveries = 42
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.Runs().Insert(ctx, run, w.files))
			run.Redispatches = 42
			require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run}))
			require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{file}, FilesOnly: true}))
			attempt := w.nextAttempt(run)
			require.NoError(t, tx.Attempts().Insert(ctx, attempt))
			require.NoError(t, tx.Attempts().MarkCompensated(ctx, run.ID, attempt.Number, at(80)))
			attempt.CompensatedAt = at(80)
			same(t, attempt)(tx.Attempts().Get(ctx, run.ID, attempt.Number))
			same(t, run)(ports.LockRun(ctx, tx, run.ID))
			return nil
		})
		c := MustRead(t, s, "acme")
		require.Contains(t, c.Runs, run)
		equal(t, file, c.Files[run.ID][1])
		equal(t, at(80), c.Attempts[run.ID][0].CompensatedAt)
	})
}

// testSeveralWrites: what one transaction writes adds up, row by row, and of two
// writes of one row the later one stays.
func testSeveralWrites(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	want := w.contents()
	files := slices.Clone(w.files)
	run, template, tenant, answer := w.running, w.template, w.tenant, w.answer
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for round := range 3 {
			for _, indexes := range [][]int{{0, 1}, {5}, {1, 2}} {
				var some []core.File
				for _, i := range indexes {
					files[i].Redeliveries += 10
					some = append(some, files[i])
				}
				require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: some, FilesOnly: true}))
			}
			run.Redispatches++
			require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run}))
			template.CreditsPerRun++
			require.NoError(t, tx.Templates().Save(ctx, template))
			tenant.MonthlyAllowance--
			require.NoError(t, tx.Tenants().Save(ctx, tenant))
			answer.Fingerprint += "x"
			require.NoError(t, tx.Answers().Save(ctx, answer))

			attempt, amendment := w.nextAttempt(run), w.amendment
			attempt.Number += core.AttemptNumber(round)
			amendment.At = at(100 + round)
			require.NoError(t, tx.Attempts().Insert(ctx, attempt))
			require.NoError(t, tx.Amendments().Insert(ctx, amendment))
			want.Attempts[run.ID] = append(slices.Clone(want.Attempts[run.ID]), attempt)
			want.Amendments[w.closed.ID] = append(want.Amendments[w.closed.ID], amendment)
		}
		want.Files[run.ID], want.Runs, want.Tenant = files, []core.Run{run, w.closed}, &tenant
		want.Templates, want.Answers[answer.Key] = []core.Template{template}, answer
		got, err := readAll(ctx, tx, w.keys())
		equal(t, want, got, "in the transaction")
		return err
	})
	equal(t, want, MustRead(t, s, "acme", w.keys()...))
}

// testFiles has the ways in which a run's files are selected, before and after
// the commit of what they are selected by.
func testFiles(t *testing.T, newStore Factory, _ Options) {
	s := newStore(t)
	tenant, template := bare(t, s, "acme")
	w := newWorld(tenant.ID)
	run := w.running
	run.Template = template.ID
	shuffled := slices.Clone(w.files)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

	check := func(t *testing.T, ctx context.Context, tx ports.Tx, files []core.File) {
		t.Helper()
		pick := func(indexes ...int) []core.File {
			picked := make([]core.File, len(indexes))
			for i, index := range indexes {
				picked[i] = files[index]
				picked[i].Output = "" // which plans do not read
			}
			return picked
		}
		same(t, pick(5, 0, 3))(tx.Files().ByIndex(ctx, run.ID, []int{5, 0, 77, 3, 6, -1}))
		empty(t)(tx.Files().ByIndex(ctx, run.ID, nil))
		empty(t)(tx.Files().ByIndex(ctx, run.ID, []int{6, 77}))

		for _, statuses := range [][]core.FileStatus{
			{core.FilePending},
			{core.FileProcessing},
			{core.FileCompleted},
			{core.FileFailed},
			{core.FileError},
			{core.FilePending, core.FileFailed},
			{core.FileFailed, core.FileProcessing, core.FilePending},
		} {
			want := slices.DeleteFunc(slices.Clone(files), func(f core.File) bool { return !slices.Contains(statuses, f.Status) })
			paged, err := tx.FileViews().Page(ctx, run.ID, ports.FileFilter{Limit: 9, Statuses: statuses, OutputBytes: 1 << 20})
			require.NoError(t, err)
			equal(t, orNil(want), orNil(paged), "page of status %v", statuses)
			for i := range want {
				want[i].Output = ""
			}
			got, err := tx.Files().InStatus(ctx, run.ID, statuses...)
			require.NoError(t, err)
			equal(t, orNil(want), orNil(got), "in status %v", statuses)
		}
		empty(t)(tx.Files().InStatus(ctx, run.ID))

		for from := 0; from <= len(files); from++ {
			for limit := 1; limit <= len(files)+1; limit++ {
				got, err := tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: from, Limit: limit, OutputBytes: 1 << 20})
				require.NoError(t, err)
				equal(t, orNil(files[from:min(from+limit, len(files))]), orNil(got), "from %d, limit %d", from, limit)
			}
		}
		for limit := range 9 {
			want := slices.ContainsFunc(files, func(f core.File) bool { return f.Maxed(limit) })
			got, err := tx.FileViews().AnyMaxed(ctx, run.ID, limit)
			require.NoError(t, err)
			equal(t, want, got, "AnyMaxed(%d)", limit)
		}
		checkViews(t, ctx, tx, run.ID, files)
	}

	commit(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Runs().Insert(ctx, run, shuffled))
		check(t, ctx, tx, w.files)
		return nil
	})
	view(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error { check(t, ctx, tx, w.files); return nil })

	// Everything changes its status; files that have not failed have the most charged
	// retries, which must not make AnyMaxed say so.
	changed := slices.Clone(w.files)
	for i := range changed {
		next := w.files[(i+2)%6]
		changed[i].Status, changed[i].Output, changed[i].Failure, changed[i].LeaseUntil = next.Status, next.Output, next.Failure, next.LeaseUntil
		changed[i].OutputBytes = next.OutputBytes
		changed[i].RetryAttempt, changed[i].FreeRetries = 4, 0
		if changed[i].Status == core.FileFailed {
			changed[i].RetryAttempt, changed[i].FreeRetries = 9, 8
		}
	}
	commit(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: nil, FilesOnly: true}), "no files are a success")
		require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{changed[4], changed[1], changed[0], changed[5], changed[2], changed[3]}, FilesOnly: true}))
		check(t, ctx, tx, changed)
		return nil
	})
	view(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error { check(t, ctx, tx, changed); return nil })
}

// checkViews has what clients look at of files: outputs up to a length, one whole
// output, parts of names, counts.
func checkViews(t *testing.T, ctx context.Context, tx ports.Tx, run core.RunID, files []core.File) {
	t.Helper()
	counts := core.FileCounts{}
	for _, f := range files {
		same(t, f)(tx.FileViews().Output(ctx, run, f.Index))
		for bytes, whole := range map[int]bool{0: false, int(f.OutputBytes) - 1: false, int(f.OutputBytes): true} {
			want := f
			if !whole {
				want.Output = ""
			}
			same(t, []core.File{want})(tx.FileViews().Page(ctx, run, ports.FileFilter{From: f.Index, Limit: 1, OutputBytes: bytes}))
		}
		switch f.Status {
		case core.FilePending:
			counts.Pending++
			if f.Failure.Code != "" {
				counts.Interrupted++
			}
		case core.FileProcessing:
			counts.Processing++
		case core.FileCompleted:
			counts.Completed++
		case core.FileFailed:
			counts.Failed++
		case core.FileError:
			counts.Error++
		}
	}
	same(t, counts)(tx.FileViews().Counts(ctx, run))
	require.Equal(t, core.TallyOf(files), counts.Tally())
	same(t, core.FileCounts{})(tx.FileViews().Counts(ctx, "nothing"))
	for _, index := range []int{-1, len(files), 1 << 40} {
		_, err := tx.FileViews().Output(ctx, run, index)
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	for part, want := range map[string]int{"3 ": 3, ".TXT": 0, "%": 0, "O'BRIEN": 0} {
		got, err := tx.FileViews().Page(ctx, run, ports.FileFilter{Limit: 1, Name: part, OutputBytes: 1 << 20})
		require.NoError(t, err)
		equal(t, []core.File{files[want]}, got, "name %q", part)
	}
	for _, part := range []string{"no such name", "_", "7 "} {
		empty(t)(tx.FileViews().Page(ctx, run, ports.FileFilter{Limit: 1, Name: part + "\u0001"}))
	}
}
