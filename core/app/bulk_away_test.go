package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/partial"
	"github.com/redrive/redrive/ports"
)

// withParts lets tenants of the world be cut off.
func (w *world) withParts() *partial.Store {
	s := partial.New(w.faultyStore)
	deps := w.deps
	deps.Store = s
	w.svc = install.Service(w.t, deps, w.options)
	return s
}

// severalTenants has failed runs of acme and globex.
func severalTenants(t *testing.T, opts ...worldOption) (*world, *partial.Store) {
	t.Helper()
	w := newWorld(t, append(opts, withPrice(1))...)
	s := w.withParts()
	w.failedRuns(2)
	for range 2 {
		w.failedRunOf(globex)
	}
	return w, s
}

// drives passes, and fails if one does: what waits is no fault.
func (w *world) drives(d *app.BulkDriver, seconds int) {
	w.t.Helper()
	for range seconds {
		w.drive(d)
		w.workAll()
		w.clock.Advance(time.Second)
	}
}

func (w *world) viewOf(id core.BulkID) app.BulkView {
	w.t.Helper()
	v, err := w.svc.Bulk(w.ctx, platform, id)
	require.NoError(w.t, err)
	return v
}

// requireOnce requires that one of several tenants ended well: each of its four runs was
// continued once, and none counted against anything.
func (w *world) requireOnce(v app.BulkView) {
	w.t.Helper()
	require.Equal(w.t, core.BulkFinished, v.Bulk.Status)
	require.Equal(w.t, core.BulkReasonNone, v.Bulk.Reason)
	require.Zero(w.t, v.Bulk.Faults)
	require.NoError(w.t, v.Missing)
	require.Equal(w.t, core.BulkTotals{Continued: 4, Files: 4, Price: 4, Failures: core.BulkFailures{Closed: 4}}, v.Totals)
	for _, tenant := range []core.TenantID{acme, globex} {
		runs, err := w.svc.Runs(w.ctx, platform, tenant, ports.RunFilter{Limit: 100})
		require.NoError(w.t, err)
		require.Len(w.t, runs, 2)
		for _, run := range runs {
			require.Equal(w.t, core.AttemptNumber(1), run.Run.Attempt, "continued once")
			require.Equal(w.t, core.RunCompleted, run.Run.Status)
		}
	}
	w.requireBooks()
}

// Runs of tenants that can be asked go on, those of the others wait, and go on when they are
// back: at whatever moment the part of the store is lost, and with another driver too.
func TestBulkGoesOnWithoutTenantsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		terms  core.BulkTerms
		before int // seconds before it is lost
		other  bool
		cut    func(*partial.Store)
	}{
		"BeforeItIsTaken":     {cut: func(s *partial.Store) { s.Cut(acme) }},
		"WhileItGoesOn":       {terms: core.BulkTerms{RunsPerMinute: 30}, before: 1, cut: func(s *partial.Store) { s.Cut(acme) }},
		"AtACommit":           {cut: func(s *partial.Store) { s.CutAtCommit(acme, 0) }},
		"AtACommitOfAStep":    {cut: func(s *partial.Store) { s.CutAtCommit(acme, 1) }},
		"AtACommitOfALook":    {terms: core.BulkTerms{RunsPerMinute: 30}, before: 1, cut: func(s *partial.Store) { s.CutAtCommit(acme, 0) }},
		"OfAnotherDriver":     {terms: core.BulkTerms{RunsPerMinute: 30}, before: 1, other: true, cut: func(s *partial.Store) { s.Cut(acme) }},
		"TheSecondOfTheParts": {terms: core.BulkTerms{RunsPerMinute: 30}, before: 1, cut: func(s *partial.Store) { s.Cut(globex) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s := severalTenants(t)
			id := w.createBulkOfAll(c.terms)
			d := w.svc.NewBulkDriver("test")
			w.drives(d, c.before)
			c.cut(s)
			if c.other {
				d = w.svc.NewBulkDriver("other")
				w.clock.Advance(2 * app.DefaultOptions().BulkLease)
			}
			w.drives(d, 120)
			v := w.viewOf(id)
			require.Equal(t, core.BulkRunning, v.Bulk.Status)
			require.ErrorIs(t, v.Missing, ports.ErrIncomplete)
			require.Len(t, v.Parts, 1)
			require.Equal(t, 2, v.Parts[0].Totals.Continued, "those that can be asked have gone on")
			require.Equal(t, core.BulkTotals{Continued: 2, Files: 2, Price: 2, Failures: core.BulkFailures{Closed: 2}, Unknown: 2}, v.Totals)
			require.Less(t, s.Asked(acme)+s.Asked(globex), 10, "they are not asked again and again")
			page, next, err := w.svc.BulkRuns(w.ctx, platform, id, app.BulkRunCursor{}, "", 10)
			require.ErrorIs(t, err, ports.ErrIncomplete)
			require.Nil(t, next)
			require.Len(t, page, 2)

			s.Heal()
			_, err = w.svc.Recover(w.ctx, 100) // sends the jobs of a step of which nobody knew
			require.NoError(t, err)
			w.drives(d, 60)
			w.requireOnce(w.viewOf(id))
		})
	}
}

// While it is not known what some tenants have used up of a limit to the sum, no other is
// continued; a driver that knows it goes on within the limit.
func TestBulkKeepsToItsLimitWithoutTenantsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (*world, *partial.Store, *app.BulkDriver, core.BulkID) {
		t.Helper()
		w, s := severalTenants(t)
		most := core.Credits(4)
		id := w.createBulkOfAll(core.BulkTerms{MaxPrice: &most, RunsPerMinute: 30})
		return w, s, w.svc.NewBulkDriver("test"), id
	}
	t.Run("ItIsKnown", func(t *testing.T) {
		t.Parallel()
		w, s, d, id := begin(t)
		w.drives(d, 1)
		s.Cut(acme) // after the first of its runs
		w.drives(d, 60)
		require.Equal(t, 2, w.viewOf(id).Totals.Continued)
		s.Heal()
		w.drives(d, 60)
		w.requireOnce(w.viewOf(id))
	})
	t.Run("ItMayHaveHadItsEffect", func(t *testing.T) {
		t.Parallel()
		w, s := severalTenants(t)
		w.failedRunOf(globex)
		w.failedRunOf(globex)
		most := core.Credits(6)
		id := w.createBulkOfAll(core.BulkTerms{MaxPrice: &most, RunsPerMinute: 60})
		// So that the limit is above the sum when it is made, and below it from then on.
		b, err := w.store.BulkContinues().Get(w.ctx, id)
		require.NoError(t, err)
		*b.Terms.MaxPrice = 2
		require.NoError(t, w.store.BulkContinues().Save(w.ctx, b))
		d := w.svc.NewBulkDriver("test")
		s.CutAtCommit(acme, 1) // when the first of its runs is continued
		w.drives(d, 60)
		v := w.viewOf(id)
		require.Equal(t, 1, v.Totals.Continued, "one of globex's: with that of which nobody knows it is the limit")
		require.Equal(t, core.BulkReasonMaxPrice, v.Bulk.Reason)
	})
	t.Run("NobodyKnowsIt", func(t *testing.T) {
		t.Parallel()
		w, s, d, id := begin(t)
		w.drives(d, 1)
		require.NoError(t, d.Release(w.ctx))
		s.Cut(acme)
		d = w.svc.NewBulkDriver("other")
		w.drives(d, 60)
		v := w.viewOf(id)
		require.Equal(t, core.BulkRunning, v.Bulk.Status)
		require.Zero(t, v.Totals.Continued)
		s.Heal()
		w.drives(d, 60)
		w.requireOnce(w.viewOf(id))
	})
}

// A driver that was taken for dead continues no run of a part that the one after it could not
// reach at first.
func TestBulkIsFencedWhenItsTenantIsBack(t *testing.T) {
	t.Parallel()
	w, s := severalTenants(t)
	id := w.createBulkOfAll(core.BulkTerms{RunsPerMinute: 60})
	slow, other := w.svc.NewBulkDriver("slow"), w.svc.NewBulkDriver("other")
	w.drives(slow, 1)
	taken := false
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if !taken && tenant == acme {
			taken = true
			s.Cut(acme)
			w.clock.Advance(2 * app.DefaultOptions().BulkLease)
			w.drives(other, 10)
			s.Heal()
			w.drives(other, 40)
			w.requireOnce(w.viewOf(id))
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	_, _ = slow.Pass(w.ctx)
	require.True(t, taken)
	w.drives(slow, 5)
	w.requireOnce(w.viewOf(id))
}

// That of one tenant that cannot be asked waits, and is not asked again and again; those of
// other tenants notice nothing, and the list of all has it.
func TestBulkOfATenantThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w, s := severalTenants(t)
	mine := w.createBulk(core.BulkTerms{})
	others, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{Tenant: globex})
	require.NoError(t, err)
	s.Cut(acme)
	d := w.svc.NewBulkDriver("test")
	w.drives(d, 60)
	require.Less(t, s.Asked(acme), 10)
	v, err := w.svc.Bulk(w.ctx, platform, others.Bulk.ID)
	require.NoError(t, err)
	require.NoError(t, v.Missing)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	_, err = w.svc.Bulk(w.ctx, platform, mine)
	require.ErrorIs(t, err, ports.ErrUnavailable)
	list, err := w.svc.Bulks(w.ctx, platform, ports.BulkFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, v := range list {
		if v.Bulk.ID == mine {
			require.ErrorIs(t, v.Missing, ports.ErrIncomplete)
			require.Equal(t, core.BulkTotals{Unknown: 2}, v.Totals)
		} else {
			require.NoError(t, v.Missing)
		}
	}
	_, err = w.svc.Bulks(w.ctx, platform, ports.BulkFilter{Tenant: acme, Limit: 10})
	require.ErrorIs(t, err, ports.ErrUnavailable)
	s.Heal()
	w.drives(d, 60)
	require.Equal(t, core.BulkFinished, w.bulk(mine).Bulk.Status)
	require.Equal(t, 2, w.bulk(mine).Totals.Continued)
	w.requireBooks()
}

// One over several tenants can be stopped while some cannot be asked, and let go on when they
// are back.
func TestBulkIsStoppedWithoutTenantsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w, s := severalTenants(t)
	id := w.createBulkOfAll(core.BulkTerms{RunsPerMinute: 6})
	d := w.svc.NewBulkDriver("test")
	w.drives(d, 1)
	s.Cut(acme)
	v, err := w.svc.PauseBulk(w.ctx, platform, id)
	require.NoError(t, err)
	require.Equal(t, core.BulkPaused, v.Bulk.Status)
	require.ErrorIs(t, v.Missing, ports.ErrIncomplete)
	_, err = w.svc.ResumeBulk(w.ctx, platform, id, nil)
	require.ErrorIs(t, err, ports.ErrUnavailable, "what it may charge is not known")
	w.drives(d, 30)
	require.Equal(t, core.BulkPaused, w.viewOf(id).Bulk.Status)
	s.Heal()
	_, err = w.svc.ResumeBulk(w.ctx, platform, id, nil)
	require.NoError(t, err)
	w.drives(d, 60)
	w.requireOnce(w.viewOf(id))
}

// A new one over all tenants is refused while not all can be asked: it would be of some only.
func TestBulkOfAllTenantsNeedsAllOfThem(t *testing.T) {
	t.Parallel()
	w, s := severalTenants(t)
	s.Cut(acme)
	_, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.ErrorIs(t, err, ports.ErrUnavailable)
}

// Lists over all tenants give what can be had, and say what is missing.
func TestListsWithoutTenantsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w, s := severalTenants(t)
	s.Cut(acme)
	missing := func(err error) {
		t.Helper()
		var incomplete *ports.Incomplete
		require.ErrorAs(t, err, &incomplete)
		require.Equal(t, []core.TenantID{acme}, incomplete.Tenants)
	}
	tenants, err := w.svc.Tenants(w.ctx, platform, "", 10)
	missing(err)
	require.Len(t, tenants, 1)
	log, err := w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Page: ports.AuditPage{Limit: 3}})
	missing(err)
	require.Len(t, log.Events, 3)
	seen := log.Events
	for log.Next != (ports.AuditCursor{}) {
		log, err = w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Page: ports.AuditPage{Limit: 3, Before: log.Next}})
		missing(err)
		seen = append(seen, log.Events...)
	}
	all, err := w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Tenant: globex, Page: ports.AuditPage{Limit: 100}})
	require.NoError(t, err)
	require.Equal(t, all.Events, seen)
	filtered, err := w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Filter: core.AuditFilter{Action: core.AuditTenantCreated}, Page: ports.AuditPage{Limit: 10}})
	missing(err)
	for _, e := range filtered.Events {
		require.Equal(t, globex, e.Tenant)
	}
	trouble, err := w.svc.Trouble(w.ctx, platform, time.Minute, began, 10)
	missing(err)
	require.Empty(t, trouble.Stuck)
	_, err = w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Tenant: acme, Page: ports.AuditPage{Limit: 3}})
	require.ErrorIs(t, err, ports.ErrUnavailable)
	require.NotErrorIs(t, err, ports.ErrIncomplete)
}
