package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// counter counts round trips. Preparing a statement is not counted: it happens
// once a connection.
type counter struct{ trips atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.trips.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.trips.Add(1)
	return ctx
}
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (c *counter) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	c.trips.Add(1)
	return ctx
}
func (c *counter) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

// The number of round trips does not grow with the number of files, whatever is
// done with a run.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	trips := func(n int) map[string]int64 {
		c := &counter{}
		w := newWorld(t, postgres.Config{Tracer: c}, noExecution)
		ctx := bounded(t)
		counts := map[string]int64{}
		counted := func(name string, fn func()) {
			before, began := c.trips.Load(), time.Now()
			fn()
			counts[name] = c.trips.Load() - before
			t.Logf("%6d files: %-10s %3d round trips, %v", n, name, counts[name], time.Since(began).Round(time.Millisecond))
		}
		var run core.Run
		var err error
		counted("initiate", func() { run, err = w.Start(ctx, "acme", n); require.NoError(t, err) })
		jobs := w.Queue.Drain(t)
		counted("claim", func() {
			claimed, _, err := w.Claim(ctx, jobs, app.WaitForLock)
			require.NoError(t, err)
			require.Len(t, claimed, n)
		})
		settlements := make([]core.Settlement, n)
		for i, job := range jobs {
			settlements[i] = core.Settlement{Job: job, Results: []core.FileResult{resultOf(job.Files[0], core.OutcomeTransient)}}
		}
		counted("settle", func() { require.NoError(t, settle(ctx, w.Service, settlements)) })
		counted("preview", func() { _, err := w.PreviewRetry(ctx, customer, run.ID); require.NoError(t, err) })
		counted("continue", func() {
			_, err := w.RetryFailed(ctx, customer, run.ID, app.RetryRequest{IdempotencyKey: "key"})
			require.NoError(t, err)
		})
		require.Len(t, w.Queue.Drain(t), n)
		w.Clock.Advance(time.Hour)
		counted("recover", func() { _, err := w.Recover(ctx, 1); require.NoError(t, err) })
		require.Len(t, w.Queue.Drain(t), n)
		counted("receipt", func() { _, err := w.Receipt(ctx, customer, run.ID); require.NoError(t, err) })
		counted("cancel", func() { _, err := w.Cancel(ctx, customer, run.ID); require.NoError(t, err) })
		w.Queue.FailWith(func() error { return errQueueDown })
		counted("compensate", func() {
			_, err := w.RetryFailed(ctx, customer, run.ID, app.RetryRequest{})
			require.ErrorIs(t, err, errQueueDown)
		})
		w.requireInvariants(t)
		return counts
	}
	few, many := trips(10), trips(10_000)
	require.Equal(t, few, many)
	for name, n := range many {
		require.LessOrEqual(t, n, int64(25), name)
	}
}

// A refill that finds nothing to do asks once a month's grant, and reads each tenant's
// key and not the ledger, however many tenants there are.
func TestRefillOfNobody(t *testing.T) {
	t.Parallel()
	c := &counter{}
	w := newWorld(t, postgres.Config{Tracer: c}, noExecution)
	ctx := bounded(t)
	for i := range 1100 { // more than two pages
		w.AddTenant(t, core.TenantID(fmt.Sprintf("t-%04d", i)))
	}
	require.NoError(t, w.Refill(ctx))
	before := c.trips.Load()
	require.NoError(t, w.Refill(ctx))
	months := int64(1) // the next one's grant comes the day before it begins
	if core.PeriodOf(w.Clock.Now()) != core.PeriodOf(w.Clock.Now().Add(24*time.Hour)) {
		months = 2
	}
	require.Equal(t, months, c.trips.Load()-before)
}
