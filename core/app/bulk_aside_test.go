package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

var errUnforeseen = errors.New("nobody foresaw that")

// brokenTx breaks one run, and, if parts is set, the writing of parts.
type brokenTx struct {
	ports.Tx
	run   core.RunID
	panic bool
	parts bool
}

func (t brokenTx) Runs() ports.Runs { return brokenRuns{t.Tx.Runs(), t} }

func (t brokenTx) BulkParts() ports.BulkParts { return brokenParts{t.Tx.BulkParts(), t} }

type brokenRuns struct {
	ports.Runs
	of brokenTx
}

func (r brokenRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	if want[0].Run == r.of.run {
		if r.of.panic {
			panic("nobody foresaw that")
		}
		return nil, errUnforeseen
	}
	return r.Runs.Lock(ctx, wait, want...)
}

type brokenParts struct {
	ports.BulkParts
	of brokenTx
}

func (p brokenParts) Save(ctx context.Context, part core.BulkPart, runs ...core.BulkRun) error {
	if p.of.parts && len(runs) > 0 {
		return errUnforeseen
	}
	return p.BulkParts.Save(ctx, part, runs...)
}

func (w *world) breakRun(tx brokenTx) {
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		return w.store.InTx(ctx, tenant, func(inner ports.Tx) error {
			tx.Tx = inner
			return fn(tx)
		})
	})
}

// passes drives as a worker does: a pass that fails is repeated.
func (w *world) passes(d *app.BulkDriver, n int) (failed int) {
	for range n {
		if _, err := d.Pass(w.ctx); err != nil {
			failed++
		}
		w.workAll()
		w.clock.Advance(time.Second)
	}
	return failed
}

// A run that can never be continued, nobody knows why, is left out after some tries, later
// each time: it holds up neither the others nor the end.
func TestBulkLeavesOutARunThatFailsForEver(t *testing.T) {
	t.Parallel()
	for name, panics := range map[string]bool{"Error": false, "Panic": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withPrice(1))
			ids := w.failedRuns(3)
			before := w.balance().Total()
			id := w.createBulk(core.BulkTerms{})
			other := w.createBulk(core.BulkTerms{}, ids[2])
			w.breakRun(brokenTx{run: ids[0], panic: panics})
			d := w.svc.NewBulkDriver("test")
			require.Equal(t, 1, w.passes(d, 1))
			require.Zero(t, w.bulk(other).Totals.Waiting, "another one's turn comes all the same")
			require.Equal(t, 3, w.passes(d, 13), "after 1, 2 and 4 seconds")
			require.Equal(t, 3, w.bulk(id).Totals.Waiting)
			w.passes(d, 20)
			v := w.bulk(id)
			require.Equal(t, core.BulkFinished, v.Bulk.Status)
			require.Equal(t, 1, v.Totals.RefusedBy[core.CodeInternal])
			runs := w.bulkRuns(id)
			require.Equal(t, core.BulkRunRefused, runs[0].State)
			require.Equal(t, core.CodeInternal, runs[0].Code)
			require.NotContains(t, runs[0].Message, "nobody foresaw", "what it was is in the log")
			require.Equal(t, core.BulkRunContinued, runs[1].State)
			require.Equal(t, core.AttemptNumber(0), w.run(ids[0]).Attempt)
			require.Equal(t, before-2, w.balance().Total())
			w.faultyStore.heal()
			w.requireBooks()
		})
	}
}

// If it cannot even be recorded that a run is left out, it pauses until an admin resumes it.
func TestBulkPausesIfNothingCanBeRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	ids := w.failedRuns(2)
	id := w.createBulk(core.BulkTerms{})
	w.breakRun(brokenTx{run: ids[0], parts: true})
	w.passes(w.svc.NewBulkDriver("test"), 200)
	v := w.bulk(id)
	require.Equal(t, core.BulkPaused, v.Bulk.Status)
	require.Equal(t, core.BulkReasonInternal, v.Bulk.Reason)
	require.Equal(t, core.BulkTotals{Waiting: 2}, v.Totals)
	w.faultyStore.heal()
	_, err := w.svc.ResumeBulk(w.ctx, admin, id, nil)
	require.NoError(t, err)
	require.Equal(t, 2, w.driveToTheEnd(id).Totals.Continued)
}

// A store that is away leaves no run out, however long that lasts.
func TestBulkWaitsForTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	w.failedRuns(2)
	id := w.createBulk(core.BulkTerms{})
	w.faultyStore.set(func(context.Context, core.TenantID, func(ports.Tx) error) error { return ports.ErrUnavailable })
	require.NotZero(t, w.passes(w.svc.NewBulkDriver("test"), 100))
	w.faultyStore.heal()
	require.Equal(t, core.BulkTotals{Waiting: 2}, w.bulk(id).Totals)
	w.clock.Advance(time.Minute)
	require.Equal(t, 2, w.driveToTheEnd(id).Totals.Continued)
}
