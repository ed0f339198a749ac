package app_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// A server that was taken for dead and lives on continues nothing more.
func TestBulkIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(4)
	id := w.createBulk(core.BulkTerms{RunsPerMinute: 60})
	slow, other := w.svc.NewBulkDriver("slow"), w.svc.NewBulkDriver("other")
	w.drive(slow)
	w.drive(other)
	require.Equal(t, "slow", w.bulk(id).Bulk.Holder)
	// The other one takes over while the slow one is in the midst of a step.
	taken := false
	w.clock.Advance(time.Second)
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if !taken {
			taken = true
			w.clock.Advance(app.DefaultOptions().BulkLease)
			w.drive(other)
			require.Equal(t, "other", w.bulk(id).Bulk.Holder)
			require.Equal(t, 2, w.bulk(id).Totals.Continued)
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	w.drive(slow)
	require.True(t, taken)
	v := w.bulk(id)
	require.Equal(t, 2, v.Totals.Continued, "the slow one continued nothing more")
	require.Equal(t, "other", v.Bulk.Holder)
	require.Equal(t, int64(2), v.Parts[0].Fence)
	for range 10 {
		w.clock.Advance(time.Second)
		w.drive(slow)
		w.drive(other)
		w.workAll()
	}
	v = w.bulk(id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 4, v.Totals.Continued)
	w.requireBooks()
}

// While no work can be handed out nothing is lost of a bulk continue: each run is tried
// again, and in the end it waits for an admin.
func TestBulkWhileTheQueueIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(2)
	before := w.balance().Total()
	id := w.createBulk(core.BulkTerms{})
	w.faultyQueue.fail(0)
	d := w.svc.NewBulkDriver("test")
	for range 100 {
		w.drive(d)
		w.clock.Advance(time.Second)
	}
	v := w.bulk(id)
	require.Equal(t, core.BulkReasonDispatchFailed, v.Bulk.Reason)
	require.Equal(t, core.BulkTotals{Waiting: 2}, v.Totals)
	require.Equal(t, before, w.balance().Total())
	require.Equal(t, core.AttemptNumber(core.BulkDispatchFaults), w.run(ids[0]).Attempt)
	w.faultyQueue.heal()
	_, err := w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.NoError(t, err)
	v = w.driveToTheEnd(id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 2, v.Totals.Continued)
	require.Equal(t, before-2, w.balance().Total())
	w.requireBooks()
}

// Whatever of the store fails, and whether it had its effect or not: each run is continued
// once.
func TestBulkSurvivesFaultsOfTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(5)
	id := w.createBulk(core.BulkTerms{})
	n := 0
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		switch n++; n % 4 {
		case 1:
			return errStore
		case 3:
			if err := w.store.InTx(ctx, tenant, fn); err != nil {
				return err
			}
			return ports.ErrCommitUnknown
		}
		return w.store.InTx(ctx, tenant, fn)
	})
	d := w.svc.NewBulkDriver("test")
	for range 100 {
		_, _ = d.Pass(w.ctx)
		w.clock.Advance(time.Second)
	}
	w.faultyStore.set(nil)
	_, err := w.svc.Recover(w.ctx, 100)
	require.NoError(t, err)
	w.workAll()
	v := w.driveToTheEnd(id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 5, v.Totals.Continued)
	for _, run := range ids {
		require.Equal(t, core.AttemptNumber(1), w.run(run).Attempt)
		require.Equal(t, core.RunCompleted, w.run(run).Status)
	}
	w.requireBooks()
}

func TestBulkGoesOnAtOnceWithASoleProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	id := w.createBulk(core.BulkTerms{RunsPerMinute: 60})
	w.drive(w.svc.NewBulkDriver("dies"))
	w.clock.Advance(time.Second)
	next := w.svc.NewBulkDriver("next")
	w.drive(next)
	require.Equal(t, 1, w.bulk(id).Totals.Continued)
	_, err := w.svc.Resume(w.ctx)
	require.NoError(t, err)
	w.drive(next)
	require.Equal(t, 2, w.bulk(id).Totals.Continued)
}

func TestBulkIsSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(1)
	id := w.createBulk(core.BulkTerms{})
	open := w.createBulk(core.BulkTerms{}, ids...)
	_, err := w.svc.PauseBulk(w.ctx, admin, open)
	require.NoError(t, err)
	w.driveToTheEnd(id)
	// One whose making was cut off.
	require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
		return tx.BulkParts().Insert(w.ctx, core.NewBulkPart(acme, "cut off", 1, w.clock.Now()), []core.BulkRun{{Run: ids[0], State: core.BulkRunWaiting}})
	}))
	parts := func(id core.BulkID) int {
		list, err := w.store.BulkContinues().Parts(w.ctx, ports.BulkKey{ID: id})
		require.NoError(t, err)
		return len(list)
	}
	require.NoError(t, w.svc.SweepBulk(w.ctx))
	require.Equal(t, 1, parts(id))
	require.Equal(t, 1, parts("cut off"))
	w.clock.Advance(app.DefaultOptions().BulkKeep + time.Minute)
	require.NoError(t, w.svc.SweepBulk(w.ctx))
	require.Zero(t, parts(id))
	require.Zero(t, parts("cut off"))
	require.Equal(t, 1, parts(open))
	_, err = w.svc.Bulk(w.ctx, admin, id)
	require.ErrorIs(t, err, core.ErrBulkNotFound)
}

func TestBulkOverSeveralTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	// The other tenant has one, too, and no credits for it.
	_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: template, Tenant: globex, Name: "T", Instructions: "T", CreditsPerRun: 1, Mode: core.ModePerFile})
	require.NoError(t, err)
	_, err = w.svc.PublishTemplate(w.ctx, platform, globex, template)
	require.NoError(t, err)
	_, err = w.svc.PurchaseCredits(w.ctx, platform, globex, "one", 1)
	require.NoError(t, err)
	w.script.set("f")
	run, err := w.svc.Initiate(w.ctx, stranger, app.InitiateRequest{Tenant: globex, Template: template, Files: []core.NewFile{{Name: "x", Ref: "x"}}})
	require.NoError(t, err)
	w.workAll()
	w.script.set("")
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.NoError(t, err)
	require.Equal(t, 3, v.Bulk.Runs)
	d := w.svc.NewBulkDriver("test")
	for range 10 {
		w.drive(d)
		w.workAll()
		w.clock.Advance(time.Second)
	}
	v, err = w.svc.Bulk(w.ctx, platform, v.Bulk.ID)
	require.NoError(t, err)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, 2, v.Parts[0].Totals.Continued)
	require.Equal(t, map[core.Code]int{core.CodeInsufficientCredits: 1}, v.Parts[1].Totals.RefusedBy)
	require.Equal(t, core.AttemptNumber(0), w.run(run.ID).Attempt)
	var all []app.BulkRunOf
	for from := (app.BulkRunCursor{}); ; {
		page, next, err := w.svc.BulkRuns(w.ctx, platform, v.Bulk.ID, from, "", 2)
		require.NoError(t, err)
		all = append(all, page...)
		if next == nil {
			break
		}
		from = *next
	}
	require.Len(t, all, 3)
	require.Equal(t, globex, all[2].Tenant)
	refused, _, err := w.svc.BulkRuns(w.ctx, platform, v.Bulk.ID, app.BulkRunCursor{}, core.BulkRunRefused, 2)
	require.NoError(t, err)
	require.Equal(t, all[2:], refused)
}

// It is continued as who made it, as far as that goes at the time.
func TestBulkOfARevokedAPIKeyAndASuspendedTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(3)
	key, _, err := w.svc.MakeAPIKey(w.ctx, platform, core.APIKeyRequest{Tenant: acme, Name: "k", Role: core.RoleCustomerAdmin})
	require.NoError(t, err)
	v, _, err := w.svc.CreateBulk(w.ctx, key.Actor(), app.BulkRequest{Tenant: acme, Runs: ids[:2], Terms: core.BulkTerms{RunsPerMinute: 60}})
	require.NoError(t, err)
	d := w.svc.NewBulkDriver("test")
	w.drive(d)
	require.Equal(t, 1, w.bulk(v.Bulk.ID).Totals.Continued)
	_, err = w.svc.RevokeAPIKey(w.ctx, platform, acme, key.ID)
	require.NoError(t, err)
	w.clock.Advance(time.Minute)
	w.drive(d)
	after := w.bulk(v.Bulk.ID)
	require.Equal(t, 1, after.Totals.Continued)
	require.Equal(t, core.BulkReasonNotAllowed, after.Bulk.Reason)

	_, err = w.svc.SuspendTenant(w.ctx, platform, acme, "unpaid")
	require.NoError(t, err)
	preview, err := w.svc.PreviewBulk(w.ctx, admin, app.BulkRequest{Tenant: acme, Runs: ids[2:]})
	require.NoError(t, err)
	require.Equal(t, map[core.Code]int{core.CodeTenantSuspended: 1}, preview.Refused)
	id := w.createBulk(core.BulkTerms{}, ids[2:]...)
	require.Equal(t, map[core.Code]int{core.CodeTenantSuspended: 1}, w.driveToTheEnd(id).Totals.RefusedBy)
	require.Equal(t, core.AttemptNumber(0), w.run(ids[2]).Attempt)
	w.requireBooks()
}

// Parts over several tenants whose process died before it wrote the bulk continue itself, and
// that were made without a key, so that nobody comes back for them: no driver continues a run
// of them and nothing is charged, until they are swept. Their runs can be continued meanwhile.
func TestPartsThatWereCutOffChargeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	mine := w.failedRuns(2)
	theirs := w.failedRunOf(globex)
	cutOff := func(tenant core.TenantID, runs ...core.RunID) {
		rows := make([]core.BulkRun, len(runs))
		for i, id := range runs {
			rows[i] = core.BulkRun{Place: i, Run: id, State: core.BulkRunWaiting}
		}
		require.NoError(t, w.store.InTx(w.ctx, tenant, func(tx ports.Tx) error {
			return tx.BulkParts().Insert(w.ctx, core.NewBulkPart(tenant, "cut off", len(rows), w.clock.Now()), rows)
		}))
	}
	cutOff(acme, mine...)
	cutOff(globex, theirs)
	attempts := func() (n core.AttemptNumber) {
		for _, id := range append(slices.Clone(mine), theirs) {
			n += w.run(id).Attempt
		}
		return n
	}
	balances := func() (all []core.Balance) {
		for _, tenant := range []core.TenantID{acme, globex} {
			b, err := w.svc.Balance(w.ctx, platform, tenant)
			require.NoError(t, err)
			all = append(all, b)
		}
		return all
	}
	before := balances()
	drive := func() {
		d := w.svc.NewBulkDriver("test")
		for range 20 {
			w.drive(d)
			w.workAll()
			w.clock.Advance(time.Minute)
		}
	}
	drive()
	require.Equal(t, before, balances())
	require.Zero(t, attempts())

	// What was made whole continues each of the runs once, whatever is left beside it.
	_, err := w.svc.Bulk(w.ctx, platform, "cut off")
	require.ErrorIs(t, err, core.ErrBulkNotFound)
	v, _, err := w.svc.CreateBulk(w.ctx, platform, app.BulkRequest{})
	require.NoError(t, err)
	require.Equal(t, 3, v.Bulk.Runs)
	drive()
	require.EqualValues(t, 3, attempts())
	charged := balances()

	w.clock.Advance(2 * time.Hour)
	require.NoError(t, w.svc.SweepBulk(w.ctx))
	left, err := w.store.BulkContinues().Orphans(w.ctx, w.clock.Now(), 10)
	require.NoError(t, err)
	require.Empty(t, left)
	drive()
	require.Equal(t, charged, balances())
	require.EqualValues(t, 3, attempts())
	w.requireBooks()
}
