package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testAlike saves files that become alike, as those of a Continue and of a claim do, which
// a store may write by ranges and with one value for all: exactly those of the list change,
// each to what it was given, wherever they stand in the run.
func testAlike(t *testing.T, newStore Factory, _ Options) {
	const files = 60
	every := func(step int) []int {
		var list []int
		for i := 0; i < files; i += step {
			list = append(list, i)
		}
		return list
	}
	descending := every(1)
	slices.Reverse(descending)
	for name, indexes := range map[string][]int{
		"All": every(1), "Descending": descending, "EveryOther": every(2), "EveryNinth": every(9),
		"FirstAndLast": {0, files - 1}, "One": {17}, "Gaps": {3, 4, 5, 9, 10, 12, 20}, "Unordered": {12, 3, 9, 4, 10, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			runs := []core.Run{w.newRun("alike-1"), w.newRun("alike-2")}
			of := map[core.RunID][]core.File{}
			for i := range files {
				f := w.files[3] // failed
				f.Index, f.Name, f.RetryAttempt, f.FreeRetries = i, fmt.Sprintf("%d.txt", i), 1, 0
				of[runs[0].ID], of[runs[1].ID] = append(of[runs[0].ID], f), append(of[runs[1].ID], f)
			}
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				for _, run := range runs {
					require.NoError(t, tx.Runs().Insert(ctx, run, of[run.ID]))
				}
				return nil
			})
			change := func(of2 []core.Run, to func(place int, f *core.File)) {
				t.Helper()
				commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
					var want []ports.FilesOf
					for _, run := range of2 {
						want = append(want, ports.FilesOf{Run: run.ID, Indexes: indexes})
					}
					rows, err := tx.Runs().Lock(ctx, ports.WaitForLock, want...)
					require.NoError(t, err)
					for i := range rows {
						rows[i].FilesOnly = true
						for k := range rows[i].Files {
							f := &rows[i].Files[k]
							to(k, f)
							of[rows[i].Run.ID][f.Index] = *f
						}
					}
					return tx.Runs().Save(ctx, rows...)
				})
				c := MustRead(t, s, "acme")
				for _, run := range runs {
					equal(t, of[run.ID], c.Files[run.ID])
				}
			}
			pending := func(_ int, f *core.File) {
				f.Status, f.Failure, f.RetryAttempt, f.PaidBy, f.Epoch, f.Redeliveries = core.FilePending, core.Failure{}, f.RetryAttempt+1, 1, 77, 0
			}
			change(runs[:1], pending)
			change(runs, func(_ int, f *core.File) {
				f.Status, f.LeaseUntil, f.Failure = core.FileProcessing, at(50), core.Failure{}
			})
			change(runs[1:], func(_ int, f *core.File) { f.LeaseUntil = at(55) })
			change(runs, func(_ int, f *core.File) { f.Status, f.LeaseUntil = core.FilePending, time.Time{} })
			change(runs[:1], func(place int, f *core.File) { f.Redeliveries, f.FreeRetries = place%3, place%2 })
			change(runs, func(place int, f *core.File) { f.Redeliveries = 100 + place }) // no two alike
		})
	}
}
