package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// mixedIDs sort differently by bytes than by most languages' rules; "ascending"
// means by bytes, as Go compares strings, so that pages are the same everywhere.
var mixedIDs = []string{"B", "a", "A", "b", "_x", "a-b", "a.b", "ab", "a_b", "Z9", "z10", "z2", "0", "a-B"}

func testLists(t *testing.T, newStore Factory, _ Options) {
	t.Run("Runs", func(t *testing.T) { testRunList(t, newStore) })
	t.Run("DueRuns", func(t *testing.T) { testDueRuns(t, newStore) })
	t.Run("Ungranted", func(t *testing.T) { testUngranted(t, newStore) })
	t.Run("AllTenants", func(t *testing.T) { testAllTenants(t, newStore) })
	t.Run("TemplateVersions", func(t *testing.T) { testTemplateVersions(t, newStore) })
	t.Run("Templates", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		_, template := bare(t, s, "acme")
		want := []core.Template{template}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for i, id := range mixedIDs {
				more := template
				more.ID = core.TemplateID(id)
				if i%2 == 0 {
					more.DeletedAt = at(3) // the soft-deleted ones are listed too
				}
				require.NoError(t, tx.Templates().Insert(ctx, more))
				want = append(want, more)
			}
			slices.SortFunc(want, func(a, b core.Template) int { return cmp.Compare(a.ID, b.ID) })
			same(t, want)(tx.Templates().List(ctx))
			return nil
		})
		equal(t, want, MustRead(t, s, "acme").Templates)
	})
	t.Run("AttemptsAndAmendments", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		attempts, amendments := slices.Clone(w.attempts[:2]), []core.Amendment(nil)
		for n := 2; n < 13; n++ { // above 10, where text would sort otherwise
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				a := w.nextAttempt(w.running)
				a.Number = core.AttemptNumber(n)
				attempts = append(attempts, a)
				m := w.amendment
				m.Run, m.At = w.running.ID, at(100+n)
				amendments = append(amendments, m)
				require.NoError(t, tx.Attempts().Insert(ctx, a))
				return tx.Amendments().Insert(ctx, m)
			})
		}
		c := MustRead(t, s, "acme")
		equal(t, attempts, c.Attempts[w.running.ID], "ascending")
		equal(t, amendments, c.Amendments[w.running.ID], "oldest first")
	})
}

func testRunList(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	build(t, s, "other") // whose runs are as old
	all := []core.Run{w.running, w.closed}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for i, id := range mixedIDs {
			run := w.running
			if i%3 == 0 {
				run = w.closed
			}
			run.ID = core.RunID(id)
			// Many were made in the same microsecond, some one microsecond apart.
			run.CreatedAt = base.Add(time.Duration(i/5) * time.Microsecond)
			require.NoError(t, tx.Runs().Insert(ctx, run, w.files[:1]))
			all = append(all, run)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b core.Run) int {
		return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})

	check := func(ctx context.Context, tx ports.Tx, want []core.Run) {
		t.Helper()
		for _, statuses := range [][]core.RunStatus{
			nil,
			{core.RunRunning},
			{core.RunInterrupted},
			{core.RunCompleted},
			{core.RunInterrupted, core.RunRunning, core.RunInterrupted},
			{core.RunFailed, core.RunCompleted},
		} {
			selected := slices.DeleteFunc(slices.Clone(want), func(r core.Run) bool {
				return len(statuses) > 0 && !slices.Contains(statuses, r.Status)
			})
			for limit := 1; limit <= len(want)+1; limit++ {
				var got []core.Run
				for before := (ports.RunCursor{}); ; {
					page, err := tx.Runs().List(ctx, ports.RunFilter{Statuses: statuses, Before: before, Limit: limit})
					require.NoError(t, err)
					require.LessOrEqual(t, len(page), limit)
					got = append(got, page...)
					if len(page) < limit {
						break
					}
					before = ports.RunCursor{CreatedAt: page[limit-1].CreatedAt, ID: page[limit-1].ID}
				}
				equal(t, orNil(selected), orNil(got), "statuses %q by pages of %d", statuses, limit)
			}
		}
	}
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { check(ctx, tx, all); return nil })

	// A cursor is a place and need not be a row; what a transaction wrote is
	// among what it lists.
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		page, err := tx.Runs().List(ctx, ports.RunFilter{Before: ports.RunCursor{CreatedAt: base.Add(time.Microsecond), ID: "a!"}, Limit: 100})
		require.NoError(t, err)
		older := slices.DeleteFunc(slices.Clone(all), func(r core.Run) bool {
			return cmp.Or(r.CreatedAt.Compare(base.Add(time.Microsecond)), cmp.Compare(r.ID, "a!")) >= 0
		})
		equal(t, older, page)

		run := w.newRun("own")
		run.CreatedAt = base.Add(time.Microsecond)
		require.NoError(t, tx.Runs().Insert(ctx, run, w.files))
		closed := w.running
		closed.Status, closed.Failure, closed.ClosedAt, closed.RecoverAt = core.RunCompleted, core.Failure{}, at(99), time.Time{}
		require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: closed}))
		want := append(slices.Clone(all), run)
		want[slices.IndexFunc(want, func(r core.Run) bool { return r.ID == closed.ID })] = closed
		slices.SortFunc(want, func(a, b core.Run) int {
			return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
		check(ctx, tx, want)
		return nil
	})
}

func testDueRuns(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	now := at(1000)
	var want []ports.RunKey
	for i, id := range []core.TenantID{"acme", "beta", "gamma"} {
		tenant, template := bare(t, s, id)
		w := newWorld(tenant.ID)
		commit(t, s, id, func(ctx context.Context, tx ports.Tx) error {
			for j, due := range []time.Duration{
				-time.Hour + time.Duration(i)*time.Minute, -time.Duration(i+1) * time.Microsecond, time.Microsecond, time.Hour,
			} {
				run := w.newRun(fmt.Sprint(j))
				run.Template, run.RecoverAt = template.ID, now.Add(due)
				require.NoError(t, tx.Runs().Insert(ctx, run, w.files[:1]))
			}
			for _, status := range []core.RunStatus{core.RunCompleted, core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted} {
				run := w.closed
				run.ID, run.Template, run.Status = core.RunID("closed-"+string(id)+string(status)), template.ID, status
				require.NoError(t, tx.Runs().Insert(ctx, run, w.files[:1]))
			}
			return nil
		})
	}
	for _, name := range []string{"acme-0", "beta-0", "gamma-0", "gamma-1", "beta-1", "acme-1"} { // longest due first
		id := core.TenantID(name[:len(name)-2])
		want = append(want, ports.RunKey{Tenant: id, Run: core.RunID("run-" + name)})
	}
	ctx := bounded(t)
	for limit := 1; limit <= len(want)+1; limit++ {
		same(t, want[:min(limit, len(want))])(s.DueRuns(ctx, now, horizon, limit))
	}
	empty(t)(s.DueRuns(ctx, now.Add(-2*time.Hour), horizon, 10))
	same(t, want[:1])(s.DueRuns(ctx, now.Add(-time.Hour), horizon, 10)) // due at this very moment

	// What is due follows the commits: closed, put off, opened again.
	run := newWorld("acme").newRun("0")
	run.Status, run.ClosedAt, run.RecoverAt = core.RunFailed, at(99), time.Time{}
	save := func(r core.Run) {
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.Runs().Save(ctx, ports.RunRows{Run: r}) })
	}
	save(run)
	same(t, want[1:])(s.DueRuns(ctx, now, horizon, 10))
	run.Status, run.ClosedAt, run.RecoverAt = core.RunRunning, time.Time{}, now.Add(time.Minute)
	save(run)
	same(t, want[1:])(s.DueRuns(ctx, now, horizon, 10))
	run.RecoverAt = now
	save(run)
	same(t, append(slices.Clone(want[1:]), want[0]))(s.DueRuns(ctx, now, horizon, 10))

	// Other transactions' uncommitted changes are not seen, and their locks do not hinder.
	require.ErrorIs(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
		locked, err := ports.LockRun(ctx, tx, want[5].Run)
		require.NoError(t, err)
		locked.RecoverAt = now.Add(time.Hour)
		require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: locked}))
		same(t, append(slices.Clone(want[1:]), want[0]))(s.DueRuns(ctx, now, horizon, 10))
		return errRollback
	}), errRollback)
	same(t, append(slices.Clone(want[1:]), want[0]))(s.DueRuns(ctx, now, horizon, 10))
}

// testUngranted: those with an allowance and without the grant, whatever else they have
// and however they are asked for.
func testUngranted(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	ctx := bounded(t)
	period := core.PeriodOf(at(0))
	key := core.AllowanceKey(period)
	empty(t)(s.Ungranted(ctx, key, "", 10))

	grant := func(id core.TenantID, p core.Period, rollback error) {
		entry, err := core.NewAllowance(id, core.AllowanceKey(p), p, 5, core.System, at(0))
		require.NoError(t, err)
		err = s.InTx(ctx, id, func(tx ports.Tx) error {
			if _, err := tx.Ledger().BalanceForUpdate(ctx, p); err != nil {
				return err
			}
			if _, err := tx.Ledger().Post(ctx, entry); err != nil {
				return err
			}
			return rollback
		})
		require.Equal(t, rollback, err)
	}
	var lacking []core.Tenant
	for i, id := range mixedIDs {
		tenant := newWorld(core.TenantID(id)).tenant
		tenant.MonthlyAllowance = core.Credits(i % 5 * 100) // each fifth has none
		commit(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error { return tx.Tenants().Insert(ctx, tenant) })
		switch {
		case tenant.MonthlyAllowance == 0:
		case i%4 == 1:
			grant(tenant.ID, period, nil)
		case i%4 == 2:
			grant(tenant.ID, period.Next(), nil) // another month's is no grant of this one
			lacking = append(lacking, tenant)
		default:
			grant(tenant.ID, period, errRollback)
			lacking = append(lacking, tenant)
		}
	}
	slices.SortFunc(lacking, func(a, b core.Tenant) int { return cmp.Compare(a.ID, b.ID) })
	require.Greater(t, len(lacking), 4)
	same(t, lacking)(s.Ungranted(ctx, key, "", 100))
	same(t, lacking[1:3])(s.Ungranted(ctx, key, lacking[0].ID, 2))
	same(t, lacking[:1])(s.Ungranted(ctx, key, "!", 1)) // a place, not a tenant
	for _, tenant := range lacking {
		grant(tenant.ID, period, nil)
	}
	empty(t)(s.Ungranted(ctx, key, "", 100))
}

func testAllTenants(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	ctx := bounded(t)
	empty(t)(s.AllTenants(ctx, "", 10))
	var all []core.Tenant
	for _, id := range mixedIDs {
		tenant := newWorld(core.TenantID(id)).tenant
		commit(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error { return tx.Tenants().Insert(ctx, tenant) })
		all = append(all, tenant)
	}
	slices.SortFunc(all, func(a, b core.Tenant) int { return cmp.Compare(a.ID, b.ID) })
	for limit := 1; limit <= len(all)+1; limit++ {
		var got []core.Tenant
		for after := core.TenantID(""); ; {
			page, err := s.AllTenants(ctx, after, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[limit-1].ID
		}
		equal(t, all, got, "by pages of %d", limit)
	}
	same(t, all[3:5])(s.AllTenants(ctx, all[2].ID, 2))
	same(t, all[:1])(s.AllTenants(ctx, "!", 1)) // a place, not a tenant

	require.ErrorIs(t, s.InTx(ctx, "unborn", func(tx ports.Tx) error {
		tenant := all[0]
		tenant.ID = "unborn"
		require.NoError(t, tx.Tenants().Insert(ctx, tenant))
		return errRollback
	}), errRollback)
	same(t, all)(s.AllTenants(ctx, "", 100))
}
