package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func TestFindRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	failed := w.closedRun("cf")
	w.clock.Advance(time.Hour)
	running := w.initiate(3)

	page, err := w.svc.FindRuns(w.ctx, user, acme, ports.RunFilter{FileName: "FILE-1", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []app.RunView{{Run: w.run(running.ID), Refusal: core.Continuable(running, false)}}, page.Runs)
	page, err = w.svc.FindRuns(w.ctx, user, acme, ports.RunFilter{FileName: "FILE-1", Limit: 1, Before: page.Next})
	require.NoError(t, err)
	require.Equal(t, app.RunsPage{Runs: []app.RunView{{Run: failed}}}, page)
	page, err = w.svc.FindRuns(w.ctx, stranger, globex, ports.RunFilter{FileName: "file", Limit: 1})
	require.NoError(t, err)
	require.Empty(t, page)

	_, err = w.svc.FindRuns(w.ctx, stranger, acme, ports.RunFilter{Limit: 1})
	require.ErrorIs(t, err, core.ErrWrongTenant)
	_, err = w.svc.FindRuns(w.ctx, platform, "ghost", ports.RunFilter{Limit: 1})
	require.ErrorIs(t, err, core.ErrTenantNotFound)
	_, err = w.svc.Runs(w.ctx, user, acme, ports.RunFilter{FileName: "file", Limit: 1})
	require.ErrorIs(t, err, ports.ErrSearch)
}

func TestFindEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cf")
	w.script.set("")
	w.continueRun(run.ID)
	page, err := w.svc.FindEntries(w.ctx, user, acme, ports.EntryFilter{Run: run.ID, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, core.ChargeKey(run.ID, 1), page.Entries[0].Key, "the latest first")
	page, err = w.svc.FindEntries(w.ctx, user, acme, ports.EntryFilter{Run: run.ID, Limit: 1, Before: page.Next})
	require.NoError(t, err)
	require.Equal(t, core.ChargeKey(run.ID, 0), page.Entries[0].Key)
	require.Zero(t, page.Next)

	_, err = w.svc.FindEntries(w.ctx, stranger, acme, ports.EntryFilter{Limit: 1})
	require.ErrorIs(t, err, core.ErrWrongTenant)
	_, err = w.svc.FindEntries(w.ctx, platform, "ghost", ports.EntryFilter{Limit: 1})
	require.ErrorIs(t, err, core.ErrTenantNotFound)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: "dear", Tenant: acme, Name: "Dear", Instructions: "Do it.", CreditsPerRun: 40, Mode: core.ModePerFile})
	require.NoError(t, err)
	_, err = w.svc.PublishTemplate(w.ctx, platform, acme, "dear")
	require.NoError(t, err)
	w.closedRun("cf") // 20 monthly
	w.clock.Advance(24 * time.Hour)
	dear := w.request(2)
	dear.Template = "dear"
	_, err = w.svc.Initiate(w.ctx, user, dear) // 80 monthly
	require.NoError(t, err)
	w.workAll()
	w.faultyQueue.fail(0)
	_, err = w.svc.Initiate(w.ctx, user, w.request(1)) // 10 purchased, refunded
	require.ErrorIs(t, err, core.ErrEnqueueFailed)

	november := core.PeriodOf(began)
	got, err := w.svc.Usage(w.ctx, user, acme, november)
	require.NoError(t, err)
	require.Len(t, got.Days, 30)
	require.Equal(t, core.Credits(80), got.Days[9].Left, "the 10th")
	require.Equal(t, core.Credits(0), got.Days[10].Left, "the 11th")
	require.Equal(t, core.Split{Purchased: 10}, got.Days[10].Refunded)
	got.Days = nil
	require.Equal(t, core.Usage{
		Period: november, Granted: 100, Bought: 50,
		Charged: core.Split{Monthly: 100, Purchased: 10}, Refunded: core.Split{Purchased: 10},
		Left: 0, Ends: november.End(), Purchased: 50,
		Kinds: []core.KindUsage{
			{Kind: core.EntryAllowance, Entries: 1, Amount: core.Split{Monthly: 100}},
			{Kind: core.EntryPurchase, Entries: 1, Amount: core.Split{Purchased: 50}},
			{Kind: core.EntryCharge, Entries: 3, Amount: core.Split{Monthly: 100, Purchased: 10}},
			{Kind: core.EntryRefund, Entries: 1, Amount: core.Split{Purchased: 10}},
		},
		Templates: []core.TemplateUsage{
			{Template: "dear", Charges: 1, Charged: core.Split{Monthly: 80}},
			{Template: template, Charges: 2, Charged: core.Split{Monthly: 20, Purchased: 10}, Refunded: core.Split{Purchased: 10}},
		},
	}, got)

	got, err = w.svc.Usage(w.ctx, user, acme, november.Next())
	require.NoError(t, err)
	require.Empty(t, got.Templates)
	require.Zero(t, got.Left)
	require.Equal(t, core.Credits(50), got.Purchased)

	_, err = w.svc.Usage(w.ctx, stranger, acme, november)
	require.ErrorIs(t, err, core.ErrWrongTenant)
	_, err = w.svc.Usage(w.ctx, platform, "ghost", november)
	require.ErrorIs(t, err, core.ErrTenantNotFound)
}

// A month with more entries than are read at a time.
func TestUsageOfManyEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const more = 2500
	for i := range more {
		_, err := w.svc.PurchaseCredits(w.ctx, platform, acme, core.Key(fmt.Sprint("more-", i)), 1)
		require.NoError(t, err)
	}
	got, err := w.svc.Usage(w.ctx, user, acme, core.PeriodOf(began))
	require.NoError(t, err)
	require.Equal(t, core.Credits(50+more), got.Bought)
	require.Equal(t, core.Credits(50+more), got.Purchased)
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cancelled := w.mixedRun("cp")
	w.script.set("")
	given := w.initiate(1)
	for w.run(given.ID).Status == core.RunRunning { // its worker dies each time
		deliveries, err := w.queue.Receive(w.ctx, 1, ports.Skip{})
		require.NoError(t, err)
		_, _, err = w.svc.Claim(w.ctx, deliveries[0].Jobs(), app.WaitForLock)
		require.NoError(t, err)
		require.NoError(t, deliveries[0].Ack(w.ctx))
		w.clock.Advance(2 * time.Minute)
		_, err = w.svc.Recover(w.ctx, 10)
		require.NoError(t, err)
	}
	interruptedAt := w.clock.Now()
	stuck := w.initiate(2) // and no recovery runs any more

	look := func(dueFor time.Duration, since time.Time, limit int) app.Trouble {
		t.Helper()
		got, err := w.svc.Trouble(w.ctx, platform, dueFor, since, limit)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, app.Trouble{Interrupted: []core.Run{w.run(given.ID)}}, look(time.Hour, began, 10))
	require.Empty(t, look(time.Hour, interruptedAt.Add(1), 10))
	w.clock.Advance(2 * time.Hour)
	require.Equal(t, app.Trouble{Stuck: []core.Run{w.run(stuck.ID)}, Interrupted: []core.Run{w.run(given.ID)}}, look(time.Hour, began, 10))
	w.initiate(1)
	w.clock.Advance(2 * time.Hour)
	got := look(time.Hour, began, 1)
	require.True(t, got.More)
	require.Equal(t, []core.Run{w.run(stuck.ID)}, got.Stuck, "longest due first")
	require.NotEqual(t, cancelled.ID, got.Interrupted[0].ID, "a run that a user cancelled is not listed")

	for _, actor := range []core.Actor{admin, user, stranger} {
		_, err := w.svc.Trouble(w.ctx, actor, time.Hour, began, 10)
		require.ErrorIs(t, err, core.ErrRoleNotAllowed)
	}
}
