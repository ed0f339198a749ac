package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// createBulk makes a bulk continue as the tenant's admin.
func (w *world) createBulk(terms core.BulkTerms, runs ...core.RunID) core.BulkID {
	w.t.Helper()
	v, replayed, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, Runs: runs, Terms: terms})
	require.NoError(w.t, err)
	require.False(w.t, replayed)
	require.Equal(w.t, core.BulkRunning, v.Bulk.Status)
	return v.Bulk.ID
}

func (w *world) bulk(id core.BulkID) app.BulkView {
	w.t.Helper()
	v, err := w.svc.Bulk(w.ctx, admin, id)
	require.NoError(w.t, err)
	return v
}

func (w *world) bulkRuns(id core.BulkID) []app.BulkRunOf {
	w.t.Helper()
	runs, next, err := w.svc.BulkRuns(w.ctx, admin, id, app.BulkRunCursor{}, "", 1000)
	require.NoError(w.t, err)
	require.Nil(w.t, next)
	return runs
}

// drive lets a driver do what it can do now.
func (w *world) drive(d *app.BulkDriver) time.Time {
	w.t.Helper()
	next, err := d.Pass(w.ctx)
	require.NoError(w.t, err)
	return next
}

// driveToTheEnd drives and works until it is over, or paused.
func (w *world) driveToTheEnd(id core.BulkID) app.BulkView {
	w.t.Helper()
	d := w.svc.NewBulkDriver("test")
	for range 200 {
		w.drive(d)
		if v := w.bulk(id); v.Bulk.Status != core.BulkRunning {
			return v
		}
		w.workAll()
		w.clock.Advance(time.Second)
	}
	require.FailNow(w.t, "it does not end", "%+v", w.bulk(id))
	return app.BulkView{}
}

// failedRuns gives runs of which each has one file failed and one completed.
func (w *world) failedRuns(n int) (ids []core.RunID) {
	w.t.Helper()
	for range n {
		ids = append(ids, w.closedRun("fc").ID)
		w.clock.Advance(time.Second)
	}
	w.script.set("")
	return ids
}

func TestBulkContinuesEachRunOnItsOwnMerits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	good := w.failedRuns(2)
	free := w.mixedRun("cp").ID
	complete := w.closedRun("c").ID
	w.script.set("f")
	maxed := w.closedRun("f").ID
	for range core.DefaultMaxRetryCount {
		w.continueRun(maxed)
		w.workAll()
	}
	w.script.set("")
	running := w.initiate(1).ID
	deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
	require.NoError(t, err)

	before := w.balance().Total()
	all := []core.RunID{good[0], complete, free, maxed, running, good[1], good[0]}
	preview, err := w.svc.PreviewBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, Runs: all})
	require.NoError(t, err)
	refused := map[core.Code]int{core.CodeNoErrorsToRetry: 1, core.CodeMaxRetryCountExceeded: 1, core.CodeRunAlreadyRunning: 1}
	require.Equal(t, app.BulkPreviewTotals{Runs: 6, Accepted: 3, Charged: 2, Free: 1, Price: 2, Refused: refused}, preview.BulkPreviewTotals)
	require.Len(t, preview.Samples, 3)
	require.Equal(t, before, preview.Tenants[0].Available)
	require.Equal(t, before, w.balance().Total(), "a preview charges nothing")

	id := w.createBulk(core.BulkTerms{}, all...)
	require.Equal(t, 6, w.bulk(id).Bulk.Runs)
	d := w.svc.NewBulkDriver("test")
	w.drive(d)
	v := w.bulk(id)
	require.Equal(t, core.BulkTotals{Continued: 3, Refused: 3, Open: 3, Files: 3, Free: 1, Price: 2, RefusedBy: refused}, v.Totals)
	require.Equal(t, core.BulkRunning, v.Bulk.Status, "until they have closed")
	require.Equal(t, before-2, w.balance().Total())
	require.NoError(t, w.svc.Work(w.ctx, deliveries[0]))
	v = w.driveToTheEnd(id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, core.BulkFailures{Closed: 3}, v.Totals.Failures)

	runs := w.bulkRuns(id)
	for i, want := range []struct {
		run     core.RunID
		state   core.BulkRunState
		code    core.Code
		attempt core.AttemptNumber
		price   core.Credits
	}{
		{good[0], core.BulkRunContinued, "", 1, 1},
		{complete, core.BulkRunRefused, core.CodeNoErrorsToRetry, 0, 0},
		{free, core.BulkRunContinued, "", 1, 0},
		{maxed, core.BulkRunRefused, core.CodeMaxRetryCountExceeded, 0, 0},
		{running, core.BulkRunRefused, core.CodeRunAlreadyRunning, 0, 0},
		{good[1], core.BulkRunContinued, "", 1, 1},
	} {
		r := runs[i]
		require.Equal(t, want.run, r.Run)
		require.Equal(t, want.state, r.State)
		require.Equal(t, want.code, r.Code)
		require.Equal(t, want.attempt, r.Attempt)
		require.Equal(t, want.price, r.Price)
		if r.State == core.BulkRunContinued {
			require.Equal(t, core.RunCompleted, r.Status)
			require.Equal(t, core.RunCompleted, w.run(r.Run).Status)
		}
	}
	w.requireBooks()
}

func TestBulkSelectsAndPreviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(3)
	w.closedRun("c")
	interrupted := w.mixedRun("cp").ID
	refused := w.closedRun("e").ID
	at := func(id core.RunID) time.Time { return w.run(id).CreatedAt }
	for name, c := range map[string]struct {
		selection core.BulkSelection
		want      []core.RunID
	}{
		"all that can be continued": {core.BulkSelection{}, append(ids[:3:3], interrupted, refused)},
		"of a template":             {core.BulkSelection{Template: template}, append(ids[:3:3], interrupted, refused)},
		"of another":                {core.BulkSelection{Template: "other"}, nil},
		"by status":                 {core.BulkSelection{Statuses: []core.RunStatus{core.RunInterrupted}}, []core.RunID{interrupted}},
		"by time":                   {core.BulkSelection{CreatedFrom: at(ids[1]), CreatedTo: at(interrupted)}, ids[1:]},
		"by failure":                {core.BulkSelection{FailureCode: "rate_limited"}, ids},
		"by a permanent failure":    {core.BulkSelection{FailureCode: "refused"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := app.BulkRequest{Tenant: acme, Selection: c.selection}
			if c.want == nil {
				_, err := w.svc.PreviewBulk(w.ctx, admin, req)
				require.ErrorIs(t, err, core.ErrBulkEmpty)
				return
			}
			v, _, err := w.svc.CreateBulk(w.ctx, admin, req)
			require.NoError(t, err)
			var got []core.RunID
			for _, r := range w.bulkRuns(v.Bulk.ID) {
				got = append(got, r.Run)
			}
			require.Equal(t, c.want, got, "the oldest first")
			_, err = w.svc.AbortBulk(w.ctx, admin, v.Bulk.ID)
			require.NoError(t, err)
		})
	}
	for name, req := range map[string]app.BulkRequest{
		"a status that cannot be continued": {Selection: core.BulkSelection{Statuses: []core.RunStatus{core.RunCompleted}}},
		"an ID":                             {Selection: core.BulkSelection{Template: "a/b"}},
		"times":                             {Selection: core.BulkSelection{CreatedFrom: began, CreatedTo: began}},
		"named and filtered":                {Runs: ids, Selection: core.BulkSelection{FailureCode: "x"}},
		"too many":                          {Runs: make([]core.RunID, core.MaxBulkNamedRuns+1)},
		"terms":                             {Terms: core.BulkTerms{RunsPerMinute: -1}},
	} {
		req.Tenant = acme
		w.requireRefused(core.ErrInvalidRequest, func() error { _, _, err := w.svc.CreateBulk(w.ctx, admin, req); return err })
		_ = name
	}
}

func TestBulkPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	run := w.failedRuns(1)[0]
	create := func(actor core.Actor, req app.BulkRequest) error {
		_, preview := w.svc.PreviewBulk(w.ctx, actor, req)
		_, _, err := w.svc.CreateBulk(w.ctx, actor, req)
		require.Equal(t, preview == nil, err == nil)
		return err
	}
	for _, c := range []struct {
		actor core.Actor
		req   app.BulkRequest
		want  *core.Error
	}{
		{user, app.BulkRequest{Tenant: acme}, core.ErrRoleNotAllowed},
		{stranger, app.BulkRequest{Tenant: acme}, core.ErrWrongTenant},
		{admin, app.BulkRequest{}, core.ErrRoleNotAllowed},
		{stranger, app.BulkRequest{Tenant: globex, Runs: []core.RunID{run}}, core.ErrWrongTenant},
		{platform, app.BulkRequest{Tenant: globex, Runs: []core.RunID{run}}, core.ErrWrongTenant},
		{admin, app.BulkRequest{Tenant: acme, Runs: []core.RunID{"unknown"}}, core.ErrRunNotFound},
		{platform, app.BulkRequest{Tenant: "nobody"}, core.ErrTenantNotFound},
	} {
		w.requireRefused(c.want, func() error { return create(c.actor, c.req) })
	}
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.NoError(t, err)
	require.Len(t, v.Parts, 1, "of the tenants that have such runs")
	all := v.Bulk.ID
	own := w.createBulk(core.BulkTerms{})
	for _, c := range []struct {
		actor core.Actor
		id    core.BulkID
		read  *core.Error
		act   *core.Error
	}{
		{platform, all, nil, nil},
		{platform, own, nil, nil},
		{admin, own, nil, nil},
		{admin, all, core.ErrRoleNotAllowed, core.ErrRoleNotAllowed},
		{user, own, nil, core.ErrRoleNotAllowed},
		{stranger, own, core.ErrWrongTenant, core.ErrWrongTenant},
		{platform, "unknown", core.ErrBulkNotFound, core.ErrBulkNotFound},
	} {
		is := func(want *core.Error, err error) {
			t.Helper()
			if want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, want)
		}
		_, err := w.svc.Bulk(w.ctx, c.actor, c.id)
		is(c.read, err)
		_, _, err = w.svc.BulkRuns(w.ctx, c.actor, c.id, app.BulkRunCursor{}, "", 10)
		is(c.read, err)
		_, err = w.svc.PauseBulk(w.ctx, c.actor, c.id)
		is(c.act, err)
		_, err = w.svc.ResumeBulk(w.ctx, c.actor, c.id, nil)
		is(c.act, err)
		if c.act != nil {
			_, err = w.svc.AbortBulk(w.ctx, c.actor, c.id)
			is(c.act, err)
		}
	}
	list, err := w.svc.Bulks(w.ctx, user, ports.BulkFilter{Tenant: acme, Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, own, list[0].Bulk.ID)
	_, err = w.svc.Bulks(w.ctx, admin, ports.BulkFilter{Limit: 10})
	require.ErrorIs(t, err, core.ErrRoleNotAllowed)
	list, err = w.svc.Bulks(w.ctx, platform, ports.BulkFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 2)
}

func TestBulkBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(1)
	most := core.Credits(0)
	refusal := w.requireRefused(core.ErrPriceChanged, func() error {
		_, _, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, Terms: core.BulkTerms{MaxPrice: &most}})
		return err
	})
	require.Equal(t, core.Credits(1), refusal.Price)
	for range core.MaxBulkUnended {
		w.createBulk(core.BulkTerms{}, ids...)
	}
	_, _, err := w.svc.CreateBulk(w.ctx, admin, app.BulkRequest{Tenant: acme})
	require.ErrorIs(t, err, core.ErrBulkTooManyNow)
	_, _, err = w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.NoError(t, err, "those over several tenants are counted by themselves")
}
