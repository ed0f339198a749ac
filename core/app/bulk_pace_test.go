package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestBulkCanary(t *testing.T) {
	t.Parallel()
	terms := core.BulkTerms{Canary: &core.BulkCanary{Runs: 1, MaxFailedPercent: 0}}
	t.Run("Passes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(1))
		w.failedRuns(3)
		id := w.createBulk(terms)
		d := w.svc.NewBulkDriver("test")
		w.drive(d)
		require.Equal(t, 1, w.bulk(id).Totals.Continued, "the others wait for the first to close")
		w.clock.Advance(time.Minute)
		w.drive(d)
		require.Equal(t, 1, w.bulk(id).Totals.Continued)
		v := w.driveToTheEnd(id)
		require.Equal(t, core.BulkFinished, v.Bulk.Status)
		require.Equal(t, 3, v.Totals.Continued)
		require.True(t, v.Bulk.CanaryPassed)
	})
	t.Run("Fails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(1))
		w.failedRuns(3)
		id := w.createBulk(terms)
		w.script.set("f")
		v := w.driveToTheEnd(id)
		require.Equal(t, core.BulkPaused, v.Bulk.Status)
		require.Equal(t, core.BulkReasonCanaryFailed, v.Bulk.Reason)
		require.Equal(t, 1, v.Totals.Continued)
		require.Equal(t, core.BulkFailures{Closed: 1, Failed: 1}, v.Totals.Failures)
		w.script.set("")
		_, err := w.svc.ResumeBulk(w.ctx, admin, id, nil)
		require.NoError(t, err)
		v = w.driveToTheEnd(id)
		require.Equal(t, core.BulkFinished, v.Bulk.Status, "who resumes it goes on with the rest")
		require.Equal(t, 3, v.Totals.Continued)
	})
}

func TestBulkStopsWhenTooMuchFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(6)
	id := w.createBulk(core.BulkTerms{RunsPerMinute: 60, Stop: &core.BulkStop{MaxFailedPercent: 50, MinFiles: 2}})
	w.script.set("f")
	v := w.driveToTheEnd(id)
	require.Equal(t, core.BulkReasonFailures, v.Bulk.Reason)
	require.Less(t, v.Totals.Continued, 6)
	require.GreaterOrEqual(t, v.Totals.Continued, 2)
	w.script.set("")
	_, err := w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.NoError(t, err)
	require.Equal(t, core.BulkFinished, w.driveToTheEnd(id).Bulk.Status)
}

func TestBulkSpeedLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(3)
	id := w.createBulk(core.BulkTerms{RunsPerMinute: 6})
	d := w.svc.NewBulkDriver("test")
	w.drive(d)
	require.Equal(t, 1, w.bulk(id).Totals.Continued)
	w.clock.Advance(9 * time.Second)
	w.drive(w.svc.NewBulkDriver("another, after a crash")) // it holds nothing
	w.drive(d)
	require.Equal(t, 1, w.bulk(id).Totals.Continued)
	w.clock.Advance(time.Second)
	w.drive(d)
	require.Equal(t, 2, w.bulk(id).Totals.Continued)
	// The limit holds over a takeover.
	w.clock.Advance(time.Second)
	require.NoError(t, d.Release(w.ctx))
	other := w.svc.NewBulkDriver("other")
	w.drive(other)
	require.Equal(t, 2, w.bulk(id).Totals.Continued)
	w.clock.Advance(9 * time.Second)
	w.drive(other)
	require.Equal(t, 3, w.bulk(id).Totals.Continued)
}

func TestBulkMaxPrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(3)
	most := core.Credits(5)
	id := w.createBulk(core.BulkTerms{MaxPrice: &most})
	price := core.Credits(2)
	_, err := w.svc.ChangeTemplate(w.ctx, platform, acme, template, core.TemplateChange{CreditsPerRun: &price})
	require.NoError(t, err)
	v := w.driveToTheEnd(id)
	require.Equal(t, core.BulkPaused, v.Bulk.Status)
	require.Equal(t, core.BulkReasonMaxPrice, v.Bulk.Reason)
	require.Equal(t, core.Credits(4), v.Totals.Price)
	require.Equal(t, 1, v.Totals.Waiting)
	_, err = w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.ErrorIs(t, err, core.ErrInvalidRequest)
	more := core.Credits(6)
	_, err = w.svc.ResumeBulk(w.ctx, admin, id, &more)
	require.NoError(t, err)
	v = w.driveToTheEnd(id)
	require.Equal(t, core.BulkFinished, v.Bulk.Status)
	require.Equal(t, core.Credits(6), v.Totals.Price)
	w.requireBooks()
}

func TestBulkPauseAndAbort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(3)
	id := w.createBulk(core.BulkTerms{RunsPerMinute: 60})
	d := w.svc.NewBulkDriver("test")
	w.drive(d)
	_, err := w.svc.PauseBulk(w.ctx, admin, id)
	require.NoError(t, err)
	w.clock.Advance(time.Hour)
	w.drive(d)
	require.Equal(t, 1, w.bulk(id).Totals.Continued)
	_, err = w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.NoError(t, err)
	w.drive(d)
	require.Equal(t, 2, w.bulk(id).Totals.Continued)
	_, err = w.svc.AbortBulk(w.ctx, admin, id)
	require.NoError(t, err)
	w.clock.Advance(time.Hour)
	w.drive(d)
	v := w.bulk(id)
	require.Equal(t, 2, v.Totals.Continued)
	require.Equal(t, 1, v.Totals.Waiting)
	_, err = w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.ErrorIs(t, err, core.ErrBulkEnded)
}
