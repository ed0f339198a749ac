package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// bulkOf is a bulk continue with every field filled.
func bulkOf(id core.BulkID, tenant core.TenantID, key core.Key) core.Bulk {
	most := core.Credits(math.MaxInt64)
	return core.Bulk{
		ID: id, Tenant: tenant, Key: key, Fingerprint: "print " + awkward,
		By: core.Actor{Subject: "ada " + awkward, Tenant: tenant, Role: core.RolePlatformAdmin}, CreatedAt: at(1),
		Selection: core.BulkSelection{
			Named: 3, Template: "template-1", Statuses: []core.RunStatus{core.RunFailed, core.RunInterrupted},
			CreatedFrom: at(-9), CreatedTo: at(-8), FailureCode: "rate_limited",
		},
		Terms: core.BulkTerms{
			MaxPrice: &most, RunsPerMinute: 7, Canary: &core.BulkCanary{Runs: 2, MaxFailedPercent: 20}, Stop: &core.BulkStop{MaxFailedPercent: 50, MinFiles: 9},
		},
		Runs: 10, Expected: math.MaxInt64 - 1, Status: core.BulkRunning, Reason: core.BulkReasonMaxPrice,
		ChangedBy: core.System, ChangedAt: at(2), CanaryPassed: true, Before: core.BulkFailures{Closed: 4, Failed: 3}, Faults: 2, Moved: []core.TenantID{"beta", "gone"},
		Changes: []core.BulkChange{{Key: "first", Asked: "pause"}, {Key: awkwardKey, Asked: "resume " + awkward}},
		Holder:  "server 1", LeaseUntil: at(3), Fence: math.MaxInt64, Version: 5,
	}
}

func testBulk(t *testing.T, newStore Factory, _ Options) {
	t.Run("RoundTrip", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		b, ctx := s.BulkContinues(), bounded(t)
		for _, row := range []core.Bulk{
			bulkOf("b1", "acme", "key"), bulkOf("b2", "", "key"), bulkOf("b3", "acme", ""), bulkOf("b4", "acme", ""),
			{ID: "b5", Tenant: "acme", Status: core.BulkAborted, CreatedAt: at(0), ChangedAt: at(0), By: core.System, ChangedBy: core.System},
		} {
			require.NoError(t, b.Insert(ctx, row, nil))
			same(t, row)(b.Get(ctx, row.ID))
			require.ErrorIs(t, b.Insert(ctx, row, nil), ports.ErrExists)
		}
		require.ErrorIs(t, b.Insert(ctx, bulkOf("b6", "acme", "key"), nil), ports.ErrExists, "the key was used")
		require.NoError(t, b.Insert(ctx, bulkOf("b6", "beta", "key"), nil))
		for _, id := range []core.BulkID{"", "unknown", "B1", "\x00", "\xff"} {
			_, err := b.Get(ctx, id)
			require.ErrorIs(t, err, ports.ErrNotFound)
			empty(t)(b.Parts(ctx, ports.BulkKey{ID: id}))
		}
		require.ErrorIs(t, b.Save(ctx, core.Bulk{ID: "unknown", Status: core.BulkRunning}), ports.ErrNotFound)
		// What was given belongs to the caller.
		got, err := b.Get(ctx, "b1")
		require.NoError(t, err)
		*got.Terms.MaxPrice, got.Terms.Canary.Runs, got.Selection.Statuses[0], got.Changes[0].Asked, got.Moved[0] = 1, 99, "spoilt", "spoilt", "spoilt"
		same(t, bulkOf("b1", "acme", "key"))(b.Get(ctx, "b1"))
	})

	t.Run("SaveComparesTheVersion", func(t *testing.T) {
		t.Parallel()
		b, ctx := newStore(t).BulkContinues(), bounded(t)
		row := bulkOf("b1", "acme", "key")
		require.NoError(t, b.Insert(ctx, row, nil))
		changed, err := row.Pause(core.System, at(9))
		require.NoError(t, err)
		changed.Terms, changed.Faults, changed.CanaryPassed = core.BulkTerms{}, 0, false
		require.NoError(t, b.Save(ctx, changed))
		changed.Version = 6
		same(t, changed)(b.Get(ctx, "b1"))
		require.ErrorIs(t, b.Save(ctx, row), ports.ErrBulkChanged)
		same(t, changed)(b.Get(ctx, "b1"))
		// Of many at once one wins.
		won := 0
		for _, err := range together(t, 10, func(i int) error {
			mine := changed
			mine.Holder = fmt.Sprint(i)
			return b.Save(ctx, mine)
		}) {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, ports.ErrBulkChanged)
		}
		require.Equal(t, 1, won)
	})

	t.Run("Keys", func(t *testing.T) { testBulkKeys(t, newStore) })
	t.Run("Made", func(t *testing.T) { testBulkMade(t, newStore) })
	t.Run("Lists", func(t *testing.T) { testBulkLists(t, newStore) })

	t.Run("Parts", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		acme, beta := build(t, s, "acme"), build(t, s, "beta")
		b, ctx := s.BulkContinues(), bounded(t)
		same(t, []core.BulkPart{acme.bulk, beta.bulk})(b.Parts(ctx, ports.BulkKey{ID: "bulk-1"}))
		same(t, []core.BulkPart{beta.bulk})(b.Parts(ctx, ports.BulkKey{Tenant: "beta", ID: "bulk-1"}))
		empty(t)(b.Parts(ctx, ports.BulkKey{Tenant: "nobody", ID: "bulk-1"}))
		part, err := acme.bulk, error(nil)
		part.Totals.RefusedBy, part.LastAt = nil, time.Time{}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			locked, err := tx.BulkParts().Lock(ctx, "bulk-1")
			require.NoError(t, err)
			equal(t, acme.bulk, locked)
			_, err = tx.BulkParts().Lock(ctx, "unknown")
			require.ErrorIs(t, err, ports.ErrNotFound)
			require.NoError(t, tx.BulkParts().Save(ctx, part, acme.bulkRuns[2]))
			locked, err = tx.BulkParts().Lock(ctx, "bulk-1")
			require.NoError(t, err)
			equal(t, part, locked)
			return nil
		})
		same(t, []core.BulkPart{part, beta.bulk})(b.Parts(ctx, ports.BulkKey{ID: "bulk-1"}))
		// A run that is not of the part is not written, and neither is anything else.
		for _, strange := range []core.BulkRun{{Place: 2, Run: "strange", State: core.BulkRunWaiting}, {Place: 7, Run: "another", State: core.BulkRunWaiting}} {
			err = s.InTx(ctx, "acme", func(tx ports.Tx) error { return tx.BulkParts().Save(ctx, acme.bulk, strange) })
			require.ErrorIs(t, err, ports.ErrNotFound)
		}
		err = s.InTx(ctx, "acme", func(tx ports.Tx) error { return tx.BulkParts().Save(ctx, core.BulkPart{Bulk: "unknown"}) })
		require.ErrorIs(t, err, ports.ErrNotFound)
		same(t, []core.BulkPart{part, beta.bulk})(b.Parts(ctx, ports.BulkKey{ID: "bulk-1"}))

		empty(t)(b.Orphans(ctx, at(33), 10)) // not at that very moment
		found, err := b.Orphans(ctx, at(34), 10)
		require.NoError(t, err)
		require.ElementsMatch(t, []ports.BulkPartKey{{Tenant: "acme", Bulk: "bulk-1"}, {Tenant: "beta", Bulk: "bulk-1"}}, found)
		found, err = b.Orphans(ctx, at(34), 1)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.NoError(t, b.Insert(ctx, bulkOf("bulk-1", "", ""), nil))
		empty(t)(b.Orphans(ctx, at(34), 10))
		commit(t, s, "beta", func(ctx context.Context, tx ports.Tx) error { return tx.BulkParts().Delete(ctx, "bulk-1") })
		same(t, []core.BulkPart{part})(b.Parts(ctx, ports.BulkKey{ID: "bulk-1"}))
	})

	t.Run("Runs", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		many := core.NewBulkPart("acme", "many", core.MaxBulkRuns, at(0))
		runs := make([]core.BulkRun, core.MaxBulkRuns)
		for i := range runs {
			runs[i] = core.BulkRun{Place: i, Run: core.RunID(fmt.Sprintf("run-%05d", len(runs)-i)), State: core.BulkRunWaiting}
		}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.BulkParts().Insert(ctx, many, runs))
			require.ErrorIs(t, tx.BulkParts().Insert(ctx, many, nil), ports.ErrExists)
			return nil
		})
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			b := tx.BulkParts()
			for _, f := range []ports.BulkRunFilter{
				{Limit: 9},
				{Limit: 2},
				{From: 1, Limit: 9},
				{State: core.BulkRunContinued, Limit: 9},
				{State: core.BulkRunWaiting, Limit: 9},
				{State: core.BulkRunRefused, Limit: 9},
				{Open: true, Limit: 9},
				{Run: "another", Limit: 9},
				{Run: "unknown", Limit: 9},
				{From: 1, State: core.BulkRunContinued, Limit: 1},
				{From: 9, Limit: 9},
				{Run: "\x00", Limit: 9},
			} {
				var want []core.BulkRun
				for _, r := range w.bulkRuns {
					if f.Selects(r) && len(want) < f.Limit {
						want = append(want, r)
					}
				}
				got, err := b.Runs(ctx, "bulk-1", f)
				require.NoError(t, err)
				equal(t, want, orNil(got), fmt.Sprint(f))
			}
			empty(t)(b.Runs(ctx, "unknown", ports.BulkRunFilter{Limit: 9}))
			same(t, runs)(b.Runs(ctx, "many", ports.BulkRunFilter{Limit: 20_000}))
			same(t, runs[5000:5001])(b.Runs(ctx, "many", ports.BulkRunFilter{From: 5000, State: core.BulkRunWaiting, Limit: 1}))
			return nil
		})
	})

	t.Run("FailedWith", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		other := build(t, s, "beta")
		all := []core.RunID{w.closed.ID, "unknown", w.running.ID, other.running.ID, "\x00"}
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for code, want := range map[string][]core.RunID{
				"rate_limited":          {w.closed.ID, w.running.ID},
				"provider_unauthorized": {w.closed.ID, w.running.ID}, // it is pending
				"refused":               nil,                         // it is never continued
				"unknown":               nil, "\x00": nil,
			} {
				got, err := tx.FileViews().FailedWith(ctx, all, code)
				require.NoError(t, err)
				require.ElementsMatch(t, want, got, code)
			}
			empty(t)(tx.FileViews().FailedWith(ctx, nil, "rate_limited"))
			return nil
		})
	})
}

func testBulkLists(t *testing.T, newStore Factory) {
	t.Parallel()
	b, ctx := newStore(t).BulkContinues(), bounded(t)
	var rows []core.Bulk
	for i := range 12 {
		row := bulkOf(core.BulkID(fmt.Sprintf("b%02d", i)), []core.TenantID{"acme", "beta", ""}[i%3], "")
		row.CreatedAt = at(i / 2)
		row.Status = []core.BulkStatus{core.BulkRunning, core.BulkPaused, core.BulkFinished, core.BulkAborted}[i%4]
		row.ChangedAt, row.LeaseUntil = at(20+i), at(30-i)
		if i == 8 {
			row.LeaseUntil = time.Time{}
		}
		require.NoError(t, b.Insert(ctx, row, nil))
		rows = append(rows, row)
	}
	slices.Reverse(rows) // the newest first
	for _, tenant := range []core.TenantID{"", "acme", "beta", "nobody", "\x00"} {
		for _, unended := range []bool{false, true} {
			var want []core.Bulk
			for _, row := range rows {
				if (tenant == "" || row.Tenant == tenant) && (!unended || !row.Status.Ended()) {
					want = append(want, row)
				}
			}
			got, err := b.List(ctx, ports.BulkFilter{Tenant: tenant, Unended: unended, Limit: 100})
			require.NoError(t, err)
			equal(t, want, orNil(got))
			var paged []core.Bulk
			for before := (ports.BulkCursor{}); ; {
				page, err := b.List(ctx, ports.BulkFilter{Tenant: tenant, Unended: unended, Limit: 2, Before: before})
				require.NoError(t, err)
				if len(page) == 0 {
					break
				}
				paged = append(paged, page...)
				last := page[len(page)-1]
				before = ports.BulkCursor{CreatedAt: last.CreatedAt, ID: last.ID}
			}
			equal(t, want, paged)
		}
	}
	b00, b04, b08 := ports.BulkKey{Tenant: "acme", ID: "b00"}, ports.BulkKey{Tenant: "beta", ID: "b04"}, ports.BulkKey{ID: "b08"}
	// b00 until 30, b04 until 26, b08 without.
	same(t, []ports.BulkKey{b08})(b.Free(ctx, at(25), time.Hour, 10))
	same(t, []ports.BulkKey{b08, b04})(b.Free(ctx, at(26), time.Hour, 10))
	same(t, []ports.BulkKey{b08, b04, b00})(b.Free(ctx, at(30), time.Hour, 10))
	same(t, []ports.BulkKey{b08, b04})(b.Free(ctx, at(30), time.Hour, 2))

	// A lease that ends beyond the horizon is none.
	same(t, []ports.BulkKey{b08, b00})(b.Free(ctx, at(25), 4*time.Minute, 10))

	same(t, 0)(b.DeleteEnded(ctx, at(22), 10)) // not at that very moment
	same(t, 1)(b.DeleteEnded(ctx, at(23), 10))
	same(t, 0)(b.DeleteEnded(ctx, at(90), 0))
	require.NoError(t, b.Delete(ctx, "b11"))
	_, err := b.Get(ctx, "b11")
	require.ErrorIs(t, err, ports.ErrNotFound)
	same(t, 4)(b.DeleteEnded(ctx, at(90), 10))
	require.NoError(t, b.Delete(ctx, "b00"), "it has not ended")
	require.NoError(t, b.Delete(ctx, "unknown"))
	left, err := b.List(ctx, ports.BulkFilter{Limit: 100})
	require.NoError(t, err)
	require.Len(t, left, 6)
	for _, row := range left {
		require.False(t, row.Status.Ended())
	}
}

// testBulkKeys: what is remembered under a key of those over several tenants. A refusal is
// forgotten; what was made keeps its key, also when it is gone.
func testBulkKeys(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	b, ctx := s.BulkContinues(), bounded(t)
	reply := func(key core.Key) core.Reply {
		return core.Reply{Operation: core.OperationBulkContinue, Key: key, Fingerprint: "print " + awkward, At: at(1)}
	}
	made, refused := reply("made"), reply("refused")
	made.Result = []byte(`{"Bulk":"b1"}`)
	refused.Refusal = &core.Error{Code: core.CodePriceChanged, Price: 7, Message: awkward}
	row := bulkOf("b1", "", "made")
	row.Status = core.BulkFinished
	require.NoError(t, b.Insert(ctx, row, &made))
	require.NoError(t, b.Refuse(ctx, refused))
	for range 2 {
		same(t, made)(b.Reply(ctx, "made"))
		same(t, refused)(b.Reply(ctx, "refused"))
		// One key has one answer, and what is refused leaves nothing.
		for _, used := range []core.Reply{made, refused} {
			again := refused
			again.Key = used.Key
			require.ErrorIs(t, b.Refuse(ctx, again), ports.ErrExists)
			second := made
			second.Key = used.Key
			require.ErrorIs(t, b.Insert(ctx, bulkOf("b2", "", ""), &second), ports.ErrExists)
			_, err := b.Get(ctx, "b2")
			require.ErrorIs(t, err, ports.ErrNotFound)
		}
		same(t, 1)(b.DeleteEnded(ctx, at(9), 10))
		require.NoError(t, b.Insert(ctx, row, nil)) // for the next round
	}
	fresh := made
	fresh.Key = "fresh"
	require.ErrorIs(t, b.Insert(ctx, row, &fresh), ports.ErrExists)
	for _, key := range []core.Key{"", "fresh", "unknown", "\x00", "Made"} {
		_, err := b.Reply(ctx, key)
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	same(t, 0)(s.Forget(ctx, at(1), 10))
	same(t, 1)(s.Forget(ctx, at(2), 10))
	same(t, 0)(s.Forget(ctx, at(10_000), 10))
	same(t, made)(b.Reply(ctx, "made"))
	_, err := b.Reply(ctx, "refused")
	require.ErrorIs(t, err, ports.ErrNotFound)
}

// testBulkMade: one of a tenant is made in a transaction of its tenant.
func testBulkMade(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	build(t, s, "acme")
	b, ctx := s.BulkContinues(), bounded(t)
	row := bulkOf("b1", "acme", "key")
	insert := func(row core.Bulk) error {
		return s.InTx(ctx, "acme", func(tx ports.Tx) error { return tx.BulkParts().Make(ctx, row) })
	}
	err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, tx.BulkParts().Make(ctx, row))
		_, err := b.Get(ctx, row.ID)
		require.ErrorIs(t, err, ports.ErrNotFound, "it is not committed")
		return errRollback
	})
	require.ErrorIs(t, err, errRollback)
	_, err = b.Get(ctx, row.ID)
	require.ErrorIs(t, err, ports.ErrNotFound)
	require.NoError(t, insert(row))
	same(t, row)(b.Get(ctx, row.ID))
	require.ErrorIs(t, insert(row), ports.ErrExists)
	require.ErrorIs(t, insert(bulkOf("b2", "acme", "key")), ports.ErrExists)
	require.NoError(t, insert(bulkOf("b2", "acme", "")))
	require.NoError(t, insert(bulkOf("b3", "acme", "")))
	// It is of the transaction's tenant.
	require.NoError(t, insert(bulkOf("b4", "beta", "another")))
	same(t, bulkOf("b4", "acme", "another"))(func() (core.Bulk, error) {
		got, err := b.Get(ctx, "b4")
		got.By.Tenant = "acme"
		return got, err
	}())
	err = s.InTx(ctx, "nobody", func(tx ports.Tx) error { return tx.BulkParts().Make(ctx, bulkOf("b5", "nobody", "")) })
	require.ErrorIs(t, err, ports.ErrNotFound)
	err = s.View(ctx, "acme", func(tx ports.Tx) error { return tx.BulkParts().Make(ctx, bulkOf("b6", "acme", "")) })
	require.ErrorIs(t, err, ports.ErrReadOnly)
	_, err = b.Get(ctx, "b6")
	require.ErrorIs(t, err, ports.ErrNotFound)
}
